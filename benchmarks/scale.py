"""Does an edit, and an answer's first word, take longer as the graph grows?

    python benchmarks/scale.py                    # up to 100,000 edits, users and base triples
    python benchmarks/scale.py --most 1000000     # a quarter of an hour
    python benchmarks/scale.py --only edits hub

Five graphs grow, each alone: one user's edits; the triples of one entity, in the base (a hub) and in the
user's own graph; the users; and the base that all share (ConceptNet's English part has 3.4 million triples).
In each, pairs on made-up people are taught and asked with the real model, the sizes taking turns so that all
see the same other load; the last column is the median against the smallest size's.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter

from rich.console import Console
from rich.progress import track
from rich.table import Table

from kgt import Assistant, Edit, GraphStore, Settings, Triple, load_model
from kgt.bench.linking import made_up_name, made_up_person
from kgt.graph import ScoredTriple

CONCEPTNET = 3_400_000
WARM_UP = 5
EDITS_A_TRANSACTION = 10_000
HUBS = [1, 10, 100, 1_000, 10_000]
RELATIONS = ("lives in", "works for", "owns a", "plays the", "comes from", "studies", "collects", "is afraid of")


def main() -> None:
    arguments = parse()
    settings = Settings.load(model=arguments.model)
    console = Console(stderr=True)
    model = load_model(settings.model, Path(settings.cache), device=settings.device, dtype=settings.dtype)
    grown: dict[str, tuple[Callable[[GraphStore, int], str], list[int]]] = {
        "edits": (with_edits, sizes(100, arguments.most)),
        "hub": (with_hub, HUBS),
        "own": (with_own, HUBS),
        "users": (with_users, sizes(1, arguments.most)),
        "base": (with_base, [*sizes(1_000, arguments.most), *([CONCEPTNET] if arguments.most >= 1_000_000 else [])]),
    }
    result = {}
    for name, (build, steps) in grown.items():
        if arguments.only and name not in arguments.only:
            continue
        with ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            me: dict[int, Assistant] = {}
            about: dict[int, str] = {}
            for size in track(steps, f"building {name}", console=console):
                store = stack.enter_context(GraphStore.open(Path(folder) / f"{size}.db"))
                about[size] = build(store, size)
                me[size] = Assistant("someone", model=model, store=store, settings=settings)
            result[name] = measure(me, about, arguments.n)
        if not arguments.json:
            Console().print(table(name, result[name]))
    if arguments.json:
        print(json.dumps(result))


def measure(me: dict[int, Assistant], about: dict[int, str], n: int) -> dict[int, dict[str, float]]:
    """p50 and p95 of teaching and asking at each size, milliseconds."""
    draw = random.Random(0)
    taken: dict[int, dict[str, list[float]]] = {size: {"teach": [], "ask": []} for size in me}
    for i in range(n + WARM_UP):
        for size, assistant in me.items():
            subject = about[size] or made_up_person(draw)
            town = made_up_name(draw)
            started = perf_counter()
            assistant.teach(f"{subject} was born in the town of", town, subject=subject, object=town)
            taught = perf_counter()
            assistant.ask(f"Where was {subject} born?", max_tokens=1)
            asked = perf_counter()
            assistant.undo()  # the graph stays at its size
            if i >= WARM_UP:
                taken[size]["teach"].append((taught - started) * 1000)
                taken[size]["ask"].append((asked - taught) * 1000)
    return {
        size: {
            f"{what}_ms_{name}": round(value, 1)
            for what, ms in both.items()
            for name, value in (("p50", median(ms)), ("p95", quantiles(ms, n=20)[-1]))
        }
        for size, both in taken.items()
    }


def with_edits(store: GraphStore, size: int) -> str:
    """A user who made so many edits, each of a fact."""
    draw = random.Random(size)
    left = iter(facts(draw, size))
    for start in range(0, size, EDITS_A_TRANSACTION):
        with store.transaction("someone") as graph:
            for _ in range(min(EDITS_A_TRANSACTION, size - start)):
                graph.commit(Edit("someone", "add", (ScoredTriple(next(left)),)))
    return ""


def with_hub(store: GraphStore, size: int) -> str:
    """An entity of the base with so many triples."""
    known = hub(size)
    store.add_base(known, "made up")
    return known[0].subject


def with_own(store: GraphStore, size: int) -> str:
    """An entity of the user's with so many triples."""
    known = hub(size)
    store.commit(Edit("someone", "add", tuple(ScoredTriple(z) for z in known)))
    return known[0].subject


def hub(size: int) -> list[Triple]:
    """Triples of one entity in eight relations, as in ConceptNet's hubs."""
    draw = random.Random(size)
    subject = made_up_person(draw)
    return [Triple(subject, draw.choice(RELATIONS), f"{made_up_person(draw)} {i}") for i in range(size)]


def with_users(store: GraphStore, size: int) -> str:
    """So many users with a fact each."""
    draw = random.Random(size)
    for i, fact in enumerate(facts(draw, size)):
        store.commit(Edit(f"user {i}", "add", (ScoredTriple(fact),)))
    return ""


def with_base(store: GraphStore, size: int) -> str:
    """A base of so many triples."""
    store.add_base(facts(random.Random(size), size), "made up")
    return ""


def facts(draw: random.Random, n: int) -> Iterator[Triple]:
    """Facts about made-up people, distinct."""
    for i in range(n):
        yield Triple(f"{made_up_person(draw)} {i}", draw.choice(RELATIONS), made_up_name(draw))


def sizes(first: int, most: int) -> list[int]:
    """Powers of ten times `first`."""
    found = [first]
    while found[-1] * 10 <= most:
        found.append(found[-1] * 10)
    return found


def table(name: str, rows: dict[int, dict[str, float]]) -> Table:
    found = Table(title=f"{name}: milliseconds")
    columns = ["teach_ms_p50", "teach_ms_p95", "ask_ms_p50", "ask_ms_p95"]
    for column in (name, "teach p50", "p95", "ask p50", "p95", "p50 of both to the first's"):
        found.add_column(column, justify="right")
    first = next(iter(rows.values()))
    for size, row in rows.items():
        both = [row[f"{what}_ms_p50"] / first[f"{what}_ms_p50"] for what in ("teach", "ask")]
        found.add_row(f"{size:,}", *(f"{row[c]:.1f}" for c in columns), " ".join(f"{x:.2f}" for x in both))
    return found


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, default=100_000, help="largest number of edits, users and base triples")
    parser.add_argument("--n", type=int, default=40, help="pairs at each size (default 40)")
    parser.add_argument("--only", nargs="+", choices=["edits", "hub", "own", "users", "base"], help="only these graphs")
    parser.add_argument("--model", help="as for the kgt commands")
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
