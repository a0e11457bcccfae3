"""ParaRel (Elazar et al. 2021): wordings of Wikidata's relations, and facts to fill them with."""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from kgt.bench.datasets.files import Source, fetch, field, read_lines, text
from kgt.errors import BadInput

URL = "https://raw.githubusercontent.com/yanaiela/pararel/cb5554678457beb5ac163d888f1ce8cf174b3f0b/data"
FOLDERS = {"patterns": "pattern_data/graphs_json", "facts": "trex_lms_vocab"}

SAME_MEANING = [
    {"P178", "P176"}, {"P740", "P495"}, {"P407", "P364"}, {"P103", "P1412"}, {"P106", "P101"}, {"P27", "P495"},
    {"P19", "P27"}, {"P276", "P131"}, {"P17", "P131"}, {"P937", "P108"}, {"P17", "P276"}, {"P36", "P1376"},
    {"P17", "P30"}, {"P159", "P131"}, {"P740", "P159"}, {"P17", "P159"}, {"P276", "P159"}, {"P17", "P495"},
]  # fmt: skip
"""Relations whose wordings ask for the same thing of some entities; neither tests the other's locality."""

_ENDS_WITH_OBJECT = re.compile(r"\s*\[Y\]\s*\.?$")


class Fact(NamedTuple):
    """A true fact."""

    subject: str
    object: str


@dataclass(frozen=True)
class Pararel:
    """The data set.

    Attributes:
        openings: relation → its patterns that end with the object, cut before it; "[X]" is the subject.
        facts: relation → facts, without doubles, in the file's order.
        labels: relation → its English name.
    """

    openings: dict[str, list[str]]
    facts: dict[str, list[Fact]]
    labels: dict[str, str]

    @cached_property
    def relations_of(self) -> dict[tuple[str, str], list[str]]:
        """(subject, object) → the relations between them."""
        found: dict[tuple[str, str], list[str]] = defaultdict(list)
        for relation, facts in self.facts.items():
            for fact in facts:
                found[fact].append(relation)
        return found

    @cached_property
    def beside(self) -> dict[str, list[str]]:
        """Relation → other relations that entities of its kind have too, and that mean something else."""
        of_subject: dict[str, set[str]] = defaultdict(set)
        for relation, facts in self.facts.items():
            for fact in facts:
                of_subject[fact.subject].add(relation)
        together: Counter[tuple[str, str]] = Counter()
        for relations in of_subject.values():
            together.update((a, b) for a in relations for b in relations if a != b)
        return {
            a: [b for b in sorted(self.openings) if together[a, b] >= LEAST_TOGETHER and self._differ(a, b)]
            for a in self.facts
        }

    def other_questions(self, subject: str, relation: str, n: int, seed: str) -> list[str]:
        """At most n questions about the subject on other relations than this one, each on another if there are enough.

        They are drawn from the relations that entities of this kind have, whether or not this one's
        object is known: what is measured is whether the model's own answer stays.
        """
        draw = random.Random(seed)
        others = self.beside.get(relation, [])
        chosen = draw.sample(others, min(n, len(others)))
        return [draw.choice(self.openings[other]).replace("[X]", subject) for other in chosen]

    def _differ(self, a: str, b: str) -> bool:
        return {a, b} not in SAME_MEANING and not set(self.openings.get(a, ())) & set(self.openings[b])


LEAST_TOGETHER = 5
"""Subjects that must have two relations for one to be asked of an entity that has the other."""


def folder_in(data: Path) -> Path | None:
    """Where ParaRel lies under a data folder; None if it does not."""
    for folder in (data, data / "pararel"):
        if (folder / "facts").is_dir() and (folder / "patterns").is_dir():
            return folder
    return None


def load(data: Path) -> Pararel:
    """Read ParaRel from a data folder, fetching it there if it is not in it.

    Raises:
        NotFound, BadInput: it cannot be had, or a line of it is damaged.
    """
    folder = folder_in(data) or fetch(sources(), data / "pararel")
    openings: dict[str, list[str]] = {}
    for path in sorted((folder / "patterns").glob("*.jsonl")):
        patterns = [field(record, "pattern", str, f"{path}, line {n}") for n, record in read_lines(path)]
        cut = [_ENDS_WITH_OBJECT.sub("", p) for p in patterns if _ENDS_WITH_OBJECT.search(p)]
        usable = list(dict.fromkeys(p for p in cut if "[X]" in p and "[Y]" not in p))
        if usable:
            openings[path.stem] = usable
    facts: dict[str, list[Fact]] = {}
    for path in sorted((folder / "facts").glob("*.jsonl")):
        rows = [
            Fact(*(field(record, name, str, f"{path}, line {n}") for name in ("sub_label", "obj_label")))
            for n, record in read_lines(path)
        ]
        facts[path.stem] = list(dict.fromkeys(rows))
    if not openings or not facts:
        raise BadInput(f"{folder} has no ParaRel patterns or no facts.", "Give the folder with facts/ and patterns/.")
    return Pararel(openings, facts, _labels(folder / "relation-labels.tsv"))


def sources() -> list[Source]:
    """ParaRel's public files."""
    listing = resources.files("kgt.bench.datasets").joinpath("pararel.sha256").read_text()
    found = []
    for checksum, name in (line.split() for line in listing.splitlines()):
        kind, _, file = name.rpartition("/")
        if kind in FOLDERS:
            found.append(Source(name, f"{URL}/{FOLDERS[kind]}/{file}", checksum))
    return found


def paths(data: Path) -> list[Path]:
    """The files read, for a run's manifest."""
    folder = folder_in(data)
    return sorted(folder.glob("*/*.jsonl")) if folder else []


def _labels(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    rows: list[Sequence[str]] = [line.split("\t") for line in text(path).splitlines()]
    return {row[0]: row[1] for row in rows if len(row) == 2}
