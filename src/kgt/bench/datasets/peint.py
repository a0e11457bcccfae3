"""PeInt: personal interactions of twelve fictional users, written for KGT (the paper's are not public).

Each pair of query and feedback comes out of a conversation; some make an earlier one outdated.
One JSON file a user, in `peint/`.
"""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

from kgt.bench.case import Case, Probe
from kgt.bench.datasets.files import field
from kgt.editors import EditRequest


def folder() -> Path:
    """Where the users' files lie in the package."""
    return Path(str(resources.files("kgt.bench.datasets").joinpath("peint")))


def users() -> list[dict[str, Any]]:
    """All users as written, by name."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder().glob("*.json"))]


def load(only: list[dict[str, Any]] | None = None) -> list[Case]:
    """All cases, each user's in the order told.

    Raises:
        BadInput: a pair lacks a field; the pair is named.
    """
    cases: list[Case] = []
    for user in only if only is not None else users():
        outdated = {pair["updates"] for pair in user["pairs"] if pair["updates"]}
        cases += [_case(user["user"], pair, pair["id"] in outdated) for pair in user["pairs"]]
    return cases


def _case(user: str, pair: dict[str, Any], superseded: bool) -> Case:
    where = f"PeInt, {pair.get('id', user)}"
    query, feedback, subject, new, former, stem = (
        field(pair, name, str, where) for name in ("query", "feedback", "subject", "answer", "former", "stem")
    )

    def probes(name: str, about: str | None) -> tuple[Probe, ...]:
        listed = field(pair, name, list, where)
        return tuple(Probe(p["query"], new, p.get("answer", former), about, p["stem"]) for p in listed)

    return Case(
        pair["id"],
        EditRequest(user, query, feedback, subject, new, former, stem=stem),
        Probe(query, new, former, subject, stem),
        paraphrases=probes("paraphrases", subject),
        neighbourhood=probes("other_entity", None),
        same_subject=probes("same_subject", subject),
        relation_id=pair["topic"],
        updates=pair["updates"] or "",
        superseded=superseded,
    )
