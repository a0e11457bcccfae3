"""The seed graph is clean."""

from __future__ import annotations

from collections import Counter
from importlib.resources import files

from kgt.graph.seed import seed_triples
from kgt.triple import Triple, clean

RELATIONS = {
    *("IsA", "HasA", "PartOf", "MadeOf", "HasProperty", "SymbolOf", "CreatedBy", "AtLocation", "LocatedNear"),
    *("UsedFor", "CapableOf", "ReceivesAction", "Desires", "NotDesires", "MotivatedByGoal"),
    *("Causes", "HasPrerequisite", "HasSubevent"),
}


def test_the_seed_has_many_triples_each_once() -> None:
    triples = list(seed_triples())
    assert len(triples) >= 1000
    assert [triple for triple, count in Counter(triples).items() if count > 1] == []


def test_the_seed_uses_known_relations_only() -> None:
    assert {triple.relation for triple in seed_triples()} == RELATIONS


def test_the_seed_has_no_stray_whitespace() -> None:
    text = files("kgt.graph").joinpath("seed.tsv").read_text(encoding="utf-8")
    assert text.endswith("\n") and not text.endswith("\n\n")
    for line in text.splitlines():
        fields = line.split("\t")
        assert len(fields) == 3 and fields == [clean(field) for field in fields], line


def test_the_seed_knows_dogs() -> None:
    dog = {("Desires", "meat"), ("CapableOf", "eat meat"), ("AtLocation", "kennel")}
    assert {Triple("dog", relation, object_) for relation, object_ in dog} <= set(seed_triples())


def test_the_commonest_subjects_have_several_triples_each() -> None:
    counts = Counter(triple.subject for triple in seed_triples())
    assert sum(6 <= count <= 15 for count in counts.values()) >= 60
    assert max(counts.values()) <= 20
