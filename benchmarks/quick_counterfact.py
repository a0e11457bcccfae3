"""Sequential CounterFact with labelled entities: teach every pair once, then evaluate all.

    python benchmarks/quick_counterfact.py --data ../shared/data/counterfact --n 200

Efficacy and paraphrase: share of prompts where P(new answer) > P(true answer), the geometric mean
over tokens, as ROME's code compares them. Exact: share where greedy generation gives the new
answer word for word. Paraphrases carry an unrelated sentence in front, as in the data set.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from data import fail, read_json
from rich.console import Console
from rich.progress import track
from rich.table import Table

from kgt import Assistant, GraphStore, Settings, load_model

FILE = "counterfact_350.json.xz"


def main() -> None:
    arguments = parse()
    records = sample(arguments.data, arguments.n, arguments.seed)
    settings = Settings.load(model=arguments.model)
    console = Console(stderr=True)
    model = load_model(settings.model, Path(settings.cache), **settings.loading)
    with tempfile.TemporaryDirectory() as folder, GraphStore.open(Path(folder) / "graph.db") as store:
        untaught = Assistant("nobody", model=model, store=store, settings=settings)
        taught = Assistant("taught", model=model, store=store, settings=settings)
        taught.teach("The colour of the test sky is", "green", subject="test sky")  # warm up
        milliseconds = []
        for record in track(records, "Teaching  ", console=console):
            rewrite = record["requested_rewrite"]
            edit = taught.teach(
                rewrite["prompt"].format(rewrite["subject"]),
                rewrite["target_new"]["str"],
                subject=rewrite["subject"],
                object=rewrite["target_new"]["str"],
            )
            milliseconds.append(edit.milliseconds or 0.0)
        before = evaluate(untaught, track(records, "No edit   ", console=console))
        after = evaluate(taught, track(records, "Evaluating", console=console))
    cuts = statistics.quantiles(milliseconds, n=100)
    speed = {"edit_ms_p50": round(cuts[49], 1), "edit_ms_p95": round(cuts[94], 1)}
    if arguments.json:
        print(json.dumps({"n": len(records), **after, **speed}))
        return
    table = Table(title=f"CounterFact, {len(records)} edits in sequence, {model.name}, seed {arguments.seed}")
    for column in ("", *after, *speed):
        table.add_column(column, justify="right" if column else "left")
    table.add_row("no edit", *(f"{v:.1f}" for v in before.values()), "", "")
    table.add_row("KGT", *(f"{v:.1f}" for v in (*after.values(), *speed.values())))
    Console(width=110).print(table)


def evaluate(assistant: Assistant, records: Iterable[dict[str, Any]]) -> dict[str, float]:
    """Efficacy, paraphrase, exact and exact_paraphrase in percent."""
    wins: dict[str, list[bool]] = {"efficacy": [], "paraphrase": [], "exact": [], "exact_paraphrase": []}
    for record in records:
        rewrite = record["requested_rewrite"]
        answers = [rewrite["target_new"]["str"], rewrite["target_true"]["str"]]
        queries = [rewrite["prompt"].format(rewrite["subject"]), *record["paraphrase_prompts"]]
        for i, query in enumerate(queries):
            new, true = assistant.score_answers(query, answers, subject=rewrite["subject"])
            wins["paraphrase" if i else "efficacy"].append(new.mean > true.mean)
            wins["exact_paraphrase" if i else "exact"].append(new.greedy)
    return {name: round(100 * statistics.fmean(won), 1) for name, won in wins.items()}


def sample(data: Path, n: int, seed: int) -> list[dict[str, Any]]:
    """n records of a file in ROME's schema (or of the folder that holds it), drawn with the seed."""
    records = read_json(data / FILE if data.is_dir() else data)
    for i, record in enumerate(records):
        for field in ("requested_rewrite", "paraphrase_prompts"):
            if field not in record:
                fail(f"{data}: record {i} has no {field!r}; the file must be in CounterFact's original schema.")
    if not 2 <= n <= len(records):
        fail(f"--n is {n}; {data} has {len(records)} records (take 2 or more).")
    return random.Random(seed).sample(records, n)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help=f"folder with {FILE}, or a file of that schema")
    parser.add_argument("--n", type=int, default=200, help="records (default 200)")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (default 0)")
    parser.add_argument("--model", help="as for kgt --model")
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    return parser.parse_args()


if __name__ == "__main__":
    main()
