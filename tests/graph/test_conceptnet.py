"""Lines of ConceptNet become rows of the base, or are skipped for a reason."""

from __future__ import annotations

import json
import lzma
import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from kgt.errors import BadInput
from kgt.graph import conceptnet
from kgt.graph.conceptnet import Skip, assertions, cn100k, parser_for, relation_words
from kgt.triple import Triple

DATA = Path(os.environ.get("KGT_DATA", Path(__file__).parents[3] / "shared" / "data")) / "conceptnet"


def line(
    start: str, end: str, relation: str = "/r/UsedFor", metadata: str = '{"dataset": "/d/x", "weight": 2.0}'
) -> bytes:
    return f"/a/[{relation}/,{start}/,{end}/]\t{relation}\t{start}\t{end}\t{metadata}".encode()


def row(subject: str, relation: str, object_: str, weight: float = 1.0) -> tuple[str | float, ...]:
    """What the base holds of a triple."""
    triple = Triple(subject, relation, object_)
    return (*triple.key, triple.subject, triple.relation, triple.object, weight)


@pytest.mark.parametrize(
    ("start", "end", "relation", "expected"),
    [
        ("/c/en/hot_dog/n/wn/food", "/c/en/eat/v", "/r/UsedFor", row("hot dog", "used for", "eat", 2.0)),
        ("/c/en/the_beatles", "/c/en/a_band", "/r/IsA", row("the beatles", "is a", "a band", 2.0)),
        ("/c/en/café", "/c/en/don't_stop", "/r/HasSubevent", row("café", "has subevent", "don't stop", 2.0)),
        ("/c/en/ada", "/c/en/byron", "/r/dbpedia/influencedBy", row("ada", "influenced by", "byron", 2.0)),
    ],
)
def test_an_assertion_is_a_triple_in_words(
    start: str, end: str, relation: str, expected: tuple[str | float, ...]
) -> None:
    assert assertions()(line(start, end, relation)) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (line("/c/de/hund", "/c/en/dog"), conceptnet.OTHER_LANGUAGE),
        (line("/c/en/dog", "/c/enm/dogge"), conceptnet.OTHER_LANGUAGE),
        (line("/c/en/dog", "http://dbpedia.org/resource/Dog", "/r/ExternalURL"), conceptnet.NO_CONCEPT),
        (line("/c/en/dog", "/c/en/cat", metadata='{"weight": 0.5}'), conceptnet.LIGHT),
        (line("/c/en/dog", "/c/en/"), conceptnet.CONCEPT),
        (line("/c/en/dog", "/c/en/" + "x" * 1001), conceptnet.CONCEPT),
        (line("/c/en/dog", "/c/en/cat", "/r/"), conceptnet.RELATION),
        (line("/c/en/dog", "/c/en/cat", "UsedFor"), conceptnet.COLUMNS),
        (line("/c/en/dog", "/c/en/cat").replace(b"cat", b"k\xe4tze"), conceptnet.ENCODING),
        (line("/c/en/dog", "/c/en/cat", metadata='{"weight": 1.0'), conceptnet.WEIGHT),
        (line("/c/en/dog", "/c/en/cat", metadata='{"weight": "heavy"}'), conceptnet.WEIGHT),
        (line("/c/en/dog", "/c/en/cat", metadata='{"weight": NaN}'), conceptnet.WEIGHT),
        (line("/c/en/dog", "/c/en/cat", metadata="[" * 100_000), conceptnet.WEIGHT),
        (b"/a/x\t/r/IsA\t/c/en/dog\t/c/en/animal", conceptnet.COLUMNS),
        (b"dog\tis a\tanimal", conceptnet.COLUMNS),
        (b"  ", conceptnet.BLANK),
    ],
)
def test_what_is_no_triple_of_the_language_is_skipped_for_a_reason(text: bytes, reason: Skip) -> None:
    assert assertions(min_weight=1.0)(text) is reason


def test_another_language_can_be_asked_for() -> None:
    assert assertions("de")(line("/c/de/hund", "/c/de/tier")) == row("hund", "used for", "tier", 2.0)
    assert assertions("de")(line("/c/en/dog", "/c/en/animal")) is conceptnet.OTHER_LANGUAGE


@pytest.mark.parametrize("arguments", [{"language": "english"}, {"language": ".*"}, {"min_weight": float("nan")}])
def test_a_language_or_weight_that_is_none_is_refused(arguments: dict[str, str]) -> None:
    for reader in (assertions, cn100k):
        with pytest.raises(BadInput):
            reader(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"AtLocation\tbook\ttable", row("book", "at location", "table")),
        (b"NotDesires\tperson\tto be hurt\t1", row("person", "not desires", "to be hurt")),
        (b"AtLocation\tbook\tmoon\t0", conceptnet.FALSE),
        (b"AtLocation\tbook\tmoon\t0.7", conceptnet.LABEL),
        (b"Rex\tlikes\tcarrots", conceptnet.RELATION),
        (b"AtLocation\tbook", conceptnet.COLUMNS),
        (b"AtLocation\tbook\t ", conceptnet.CONCEPT),
        (b"AtLocation\tb\xfcch\ttable", conceptnet.ENCODING),
        (b"\xff\tbook\ttable", conceptnet.ENCODING),
    ],
)
def test_cn100k_is_read_too(text: bytes, expected: object) -> None:
    assert cn100k()(text) == expected


def test_cn100k_is_english_and_weighs_1() -> None:
    assert cn100k("de")(b"AtLocation\tbook\ttable") is conceptnet.OTHER_LANGUAGE
    assert cn100k(min_weight=2)(b"AtLocation\tbook\ttable") is conceptnet.LIGHT


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("/r/UsedFor", "used for"),
        ("HasA", "has a"),
        ("/r/dbpedia/influencedBy", "influenced by"),
        ("/r/ExternalURL", "external url"),
        ("HasPainCharacter", "has pain character"),
    ],
)
def test_a_relations_name_is_put_in_words(name: str, words: str) -> None:
    assert relation_words(name) == words
    assert Triple("a", words, "b") == Triple("a", name.rpartition("/")[2], "b")


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\t\n/_"), min_size=1, max_size=20)
plain = st.lists(st.sampled_from(["the", "a", "my", "hot", "dog", "dog's", "x2"]), min_size=1, max_size=4).map(" ".join)


@given(texts | plain, texts | plain)
def test_a_row_has_the_text_and_keys_that_the_triple_would_have(start: str, end: str) -> None:
    found = assertions()(line("/c/en/" + start.replace(" ", "_"), "/c/en/" + end.replace(" ", "_") + "/n"))
    try:
        assert found == row(start, "used for", end, 2.0)
    except BadInput:
        assert found is conceptnet.CONCEPT


values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "weight"]), inner, max_size=2),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(["dataset", "surfaceText", "weight"]), values), st.booleans())
@example({"dataset": {"weight": 3.0}}, True)
@example({"surfaceText": '", "weight": 3.0}'}, True)
@example({"weight": {"weight": 3.0}}, True)
@settings(suppress_health_check=[HealthCheck.too_slow])  # a process's first text takes a second to draw
def test_the_weight_is_the_one_that_the_json_says(metadata: dict[str, object], ascii_only: bool) -> None:
    found = assertions(min_weight=-2e9)(
        line("/c/en/dog", "/c/en/cat", metadata=json.dumps(metadata, ensure_ascii=ascii_only))
    )
    weight = metadata.get("weight", 1.0)
    if isinstance(weight, float) and abs(weight) < conceptnet.MAX_WEIGHT:
        assert not isinstance(found, Skip) and found[-1] == weight
    else:
        assert found is conceptnet.WEIGHT


@given(st.binary() | st.lists(st.binary() | st.sampled_from([b"/r/IsA", b"/c/en/a", b"/a/", b"{}"])).map(b"\t".join))
def test_no_bytes_break_a_reader(text: bytes) -> None:
    for reader in (assertions, cn100k):
        found = reader()(text)
        assert isinstance(found, Skip) or all(found)


def test_a_files_first_lines_tell_its_format() -> None:
    official, simple = line("/c/en/dog", "/c/en/animal"), b"IsA\tdog\tanimal"
    assert not isinstance(parser_for([b"", b"garbage", official])(official), Skip)
    assert not isinstance(parser_for([simple])(simple), Skip)
    assert parser_for([line("/c/ja/犬", "/c/ja/動物")])(official) == row("dog", "used for", "animal", 2.0)


@pytest.mark.parametrize("first", [[], [b""], [b"dog\tis a\tanimal"] * 3, [b"\x1f\x8b\x00\xff"], [b" ", b"{}"]])
def test_a_file_without_an_assertion_at_its_beginning_is_refused(first: list[bytes]) -> None:
    with pytest.raises(BadInput, match=r"empty|None") as error:
        parser_for(first)
    assert "conceptnet-assertions" in error.value.hint


def reasons(name: str) -> Counter[str]:
    path = DATA / name
    if not path.exists():
        pytest.skip("the data folder is not here (KGT_DATA names it)")
    data = lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()
    lines = data.removesuffix(b"\n").split(b"\n")
    parse = parser_for(lines[:20])
    found = map(parse, lines)
    return Counter(one.why if isinstance(one, Skip) else "a triple" for one in found)


def test_the_official_sample_is_read_to_the_last_line() -> None:
    assert reasons("conceptnet5-reference-assertions.csv") == {
        "a triple": 96,
        conceptnet.OTHER_LANGUAGE.why: 586,
        conceptnet.NO_CONCEPT.why: 82,
    }


def test_cn100k_is_read_to_the_last_line() -> None:
    assert reasons("cn100k-train.txt.xz") == {"a triple": 100_000}
    assert reasons("cn100k-dev1.txt") == {"a triple": 600, conceptnet.FALSE.why: 600}
