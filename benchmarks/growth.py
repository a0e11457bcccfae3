"""Does a process that goes on editing take more and more memory?

    python benchmarks/growth.py                   # 10,000 edits of the bundled model, a quarter of an hour
    python benchmarks/growth.py --edits 1000

Facts about made-up people are taught one after the other and asked for in other words, all of them one
user's. Vectors of 4,096 phrases and of 16,384 of facts' wordings are kept, so memory rises by up to 30 MB
until these are there, and a little for the kernels of lengths not met before; what rises on is growth.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from kgt import Assistant, GraphStore, Settings, load_model
from kgt.bench.linking import made_up_name, made_up_person
from kgt.bench.memory import peak_rss, restart_peaks

TENTHS = 10


def main() -> None:
    arguments = parse()
    settings = Settings.load(model=arguments.model)
    model = load_model(settings.model, Path(settings.cache), **settings.loading)
    with tempfile.TemporaryDirectory() as folder, GraphStore.open(Path(folder) / "graph.db") as store:
        me = Assistant("someone", model=model, store=store, settings=settings)
        found = grown(me, arguments.edits)
    if arguments.json:
        print(json.dumps(found))
        return
    table = Table("edits", "peak RSS, MB", "against the first tenth", "teach, median ms")
    for row in found:
        ratio = row["peak_rss_mb"] / found[0]["peak_rss_mb"]
        table.add_row(f"{row['edits']:,.0f}", f"{row['peak_rss_mb']:.0f}", f"{ratio:.3f}", f"{row['teach_ms_p50']:.0f}")
    Console().print(table)


def grown(me: Assistant, edits: int) -> list[dict[str, float]]:
    """Peak memory and the median time of an edit in each tenth of the edits."""
    draw = random.Random(0)
    found: list[dict[str, float]] = []
    with Progress(console=Console(stderr=True)) as progress:
        bar = progress.add_task("teaching", total=edits // TENTHS * TENTHS)
        for part in range(TENTHS):
            restart_peaks()
            took = []
            for _ in range(edits // TENTHS):
                took.append(taught(me, draw))
                progress.advance(bar)
            row = {"edits": (part + 1) * len(took), "peak_rss_mb": peak_rss(), "teach_ms_p50": median(took)}
            found.append({name: round(value, 1) for name, value in row.items()})
    return found


def taught(me: Assistant, draw: random.Random) -> float:
    """Milliseconds of one edit, whose fact is asked for besides."""
    person, town = made_up_person(draw), made_up_name(draw)
    started = perf_counter()
    me.teach(f"{person} was born in the town of", town, subject=person, object=town)
    took = (perf_counter() - started) * 1000
    me.ask(f"Where was {person} born?", max_tokens=1)
    return took


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edits", type=int, default=10_000, help="ten or more (default 10,000)")
    parser.add_argument("--model", help="as for the kgt commands")
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    arguments = parser.parse_args()
    if arguments.edits < TENTHS:
        parser.error(f"--edits must be {TENTHS} or more")
    return arguments


if __name__ == "__main__":
    main()
