"""How fast ConceptNet comes into the base, and how fast an entity is looked up there, on a made-up file of its format.

    python benchmarks/import_conceptnet.py --n 3400000 [--english 0.1] [--packed] [--json]

The file is in order of URI, as the official one: relations by their share of English ConceptNet, a few concepts in
thousands of assertions and most in few, some with a sense, and one hub with 10,000. Nothing is fetched, and
nothing is left behind unless --keep names a folder. On a busy machine compare the seconds of the processor.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from kgt.graph import GraphStore

RELATIONS = {
    "Antonym": 0.006, "AtLocation": 0.008, "CapableOf": 0.007, "Causes": 0.005, "DerivedFrom": 0.096, "FormOf": 0.112,
    "HasContext": 0.069, "HasPrerequisite": 0.007, "HasProperty": 0.003, "HasSubevent": 0.007, "IsA": 0.068,
    "MannerOf": 0.004, "PartOf": 0.004, "RelatedTo": 0.505, "SimilarTo": 0.009, "Synonym": 0.066, "UsedFor": 0.012,
    "dbpedia/genre": 0.012,
}  # fmt: skip
"""Roughly the shares of the relations among ConceptNet 5.7's English assertions."""
SENSES = ("", "", "", "/n", "/v", "/a", "/n/wn/food", "/n/wp/album")
METADATA = (
    '{{"dataset": "/d/wiktionary/en", "license": "cc:by-sa/4.0", "sources": [{{"contributor": '
    '"/s/resource/wiktionary/en", "process": "/s/process/wikiparsec/2"}}], "surfaceText": "[[{start}]] is what a '
    '[[{end}]] is about", "weight": {weight}}}'
)
SYLLABLES = [consonant + vowel for consonant in "bdfghjklmnprstvz" for vowel in "aeiou"]
HUB, HUB_TRIPLES = "/c/en/person", 10_000
LOOKUPS = 2_000


def lines(n: int, english: float, seed: int = 0) -> Iterator[str]:
    """About n assertions of the official format, in order; a share of them English."""
    draw = np.random.default_rng(seed)
    shares = np.array(list(RELATIONS.values())) / sum(RELATIONS.values())
    for relation, share in zip(RELATIONS, shares, strict=True):
        for language, part in (("de", 1 - english), ("en", english)):
            yield from _block(draw, relation, language, round(n * share * part), max(10, n // 3))


def _block(draw: np.random.Generator, relation: str, language: str, count: int, concepts: int) -> Iterator[str]:
    """Assertions of one relation in one language: most concepts are rare, a few have thousands."""
    pairs = (concepts * draw.random((count, 2)) ** 2).astype(int)
    senses = draw.integers(0, len(SENSES), (count, 2))
    weights = draw.choice([1.0, 1.0, 1.0, 1.0, 1.0, 2.0, 0.5, 3.464], count)
    named = sorted(
        (f"/c/{language}/{_name(a)}{SENSES[i]}", f"/c/{language}/{_name(b)}{SENSES[j]}", w)
        for (a, b), (i, j), w in zip(pairs.tolist(), senses.tolist(), weights.tolist(), strict=True)
    )
    if relation == "CapableOf" and language == "en":
        named += [(HUB, f"/c/en/do_{_name(k)}", 1.0 + k % 7) for k in range(HUB_TRIPLES)]
    for start, end, weight in named:
        metadata = METADATA.format(start=start[6:], end=end[6:], weight=weight)
        yield f"/a/[/r/{relation}/,{start}/,{end}/]\t/r/{relation}\t{start}\t{end}\t{metadata}\n"


def _name(number: int) -> str:
    """A made-up concept of one or two words, another for every number."""
    syllables: list[str] = []
    left = number
    while left or len(syllables) < 3:
        left, syllable = divmod(left, len(SYLLABLES))
        syllables.append(SYLLABLES[syllable])
    return "".join(syllables[:2]) + ("_" if number % 3 else "") + "".join(syllables[2:])


def measure(n: int, english: float, packed: bool, folder: Path) -> dict[str, Any]:
    """Make the file, import it and look entities up."""
    file = folder / ("assertions.csv.gz" if packed else "assertions.csv")
    written = 0
    with gzip.open(file, "wt", 6, encoding="utf-8") if packed else file.open("w", encoding="utf-8") as stream:
        for line in lines(n, english):
            stream.write(line)
            written += 1
    database = folder / "graph.db"
    for old in folder.glob("graph.db*"):
        old.unlink()
    with GraphStore.open(database) as store:
        started, cpu = time.perf_counter(), time.process_time()
        report = store.import_conceptnet(file)
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    draw = np.random.default_rng(1)
    subjects = [_name(k) for k in draw.integers(0, max(10, n // 3), LOOKUPS).tolist()]
    with GraphStore.open(database) as store:
        store.about("somebody", "warm up")
        typical = [_milliseconds(lambda s=s: store.about("somebody", s.replace("_", " "))) for s in subjects]
        hub = [_milliseconds(lambda: store.about("somebody", "person", limit=2000)) for _ in range(50)]
        asked = "What should I give the person who is feeding my dog in the park".split()
        spans = [" ".join(asked[i:j]) for i in range(len(asked)) for j in range(i + 1, min(i + 6, len(asked)) + 1)]
        mentions = [_milliseconds(lambda: store.mentions("somebody", spans)) for _ in range(200)]
    return {
        "lines": written,
        "triples": report.triples,
        "kept": report.kept,
        "file_mb": round(file.stat().st_size / 1e6, 1),
        "database_mb": round(database.stat().st_size / 1e6, 1),
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu, 2),
        "lines_per_second": round(written / seconds),
        "triples_per_second": round(report.kept / seconds),
        "triples_per_cpu_second": round(report.kept / cpu),
        "load_average": round(os.getloadavg()[0], 1),
        **{f"about_{k}_ms": v for k, v in _quantiles(typical).items()},
        **{f"hub_2000_{k}_ms": v for k, v in _quantiles(hub).items()},
        **{f"mentions_{k}_ms": v for k, v in _quantiles(mentions).items()},
    }


def _milliseconds(call: Any) -> float:
    started = time.perf_counter()
    call()
    return (time.perf_counter() - started) * 1000


def _quantiles(milliseconds: list[float]) -> dict[str, float]:
    return {"p50": round(float(np.median(milliseconds)), 3), "p95": round(float(np.percentile(milliseconds, 95)), 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=1_000_000, help="assertions in the file")
    parser.add_argument(
        "--english", type=float, default=1.0, help="share of them in English (0.1 in the official file)"
    )
    parser.add_argument("--packed", action="store_true", help="pack the file with gzip, as the official one is")
    parser.add_argument("--keep", type=Path, help="folder to work in, and leave the file and the database in")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        found = measure(options.n, options.english, options.packed, folder)
    if options.json:
        print(json.dumps(found))
    else:
        for name, value in found.items():
            print(f"{name:>20}  {value:,}")


if __name__ == "__main__":
    main()
