"""The seed graph: everyday common sense that KGT knows before anybody has taught it anything.

`seed.tsv` was written for KGT, with ConceptNet's relation names: relation, subject, object.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files

from kgt.triple import Triple

SEED_WEIGHT = 2.0
"""Written by hand and read again: as sure as what two of ConceptNet's contributors said, where one has weight 1."""


def seed_triples() -> Iterator[Triple]:
    """The triples of the seed graph."""
    with files("kgt.graph").joinpath("seed.tsv").open(encoding="utf-8") as lines:
        for line in lines:
            relation, subject, object_ = line.rstrip("\n").split("\t")
            yield Triple(subject, relation, object_)
