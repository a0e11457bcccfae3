"""Triples go out to files and come back the same, and a bad file says where it is bad."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kgt.errors import BadInput
from kgt.graph import Fact
from kgt.graph.exchange import FORMATS, Format, format_of, read, write
from kgt.graph.seed import seed_triples
from kgt.triple import Triple

texts = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=12).filter(str.strip)
some_triples = st.lists(st.builds(Triple, texts, texts, texts), max_size=5)

AWKWARD = [
    Triple("👩‍👩‍👧 family", "אוהב", "שוקולד \u200f!"),
    Triple('say "hi"', "<b>&amp;</b>", "it's % 100%25 #1 \\n \\u0041"),
    Triple("\ufeffsubject", "\ufffe", "\uffff\U0001ffff"),
    Triple("My dog", "likes", "carrots"),
    Triple("dog", "likes", "The Carrots"),
    Triple("subject", "relation", "object"),
    Triple("]]>", "<!ENTITY a>", "<!-- a -->"),
    Triple("#", "@en", "_:b"),
]


def parts(triple: Triple) -> tuple[str, str, str]:
    return (triple.subject, triple.relation, triple.object)


def through(triples: list[Triple], format: Format) -> list[Triple]:
    stream = io.StringIO()
    write([Fact(triple, "base") for triple in triples], stream, format)
    data = stream.getvalue().encode("utf-8")
    return list(read(io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"), format))


@pytest.mark.parametrize("format", FORMATS)
@given(triples=some_triples)
@example(triples=AWKWARD)
def test_what_is_written_reads_back_the_same(format: Format, triples: list[Triple]) -> None:
    assert [parts(triple) for triple in through(triples, format)] == [parts(triple) for triple in triples]


@pytest.mark.parametrize("format", FORMATS)
def test_the_whole_seed_goes_round(format: Format) -> None:
    assert through(list(seed_triples()), format) == list(seed_triples())


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("a.tsv", "tsv"),
        ("a.TAB", "tsv"),
        ("a.jsonl", "jsonl"),
        ("a.ndjson", "jsonl"),
        ("a.graphml", "graphml"),
        ("a.b.nt", "nt"),
    ],
)
def test_a_files_name_tells_its_format(name: str, format: Format) -> None:
    assert format_of(name) == format_of(Path("folder") / name) == format


@pytest.mark.parametrize("name", ["graph", "graph.xlsx", "tsv"])
def test_an_unknown_ending_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match=r"\.tsv, \.jsonl, \.graphml, \.nt"):
        format_of(name)


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(BadInput, match="Unknown format"):
        read(io.StringIO(), "csv")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("format", "text", "message"),
    [
        ("tsv", "dog\tlikes\tmeat\n\ndog\tlikes\n", "Line 3 has 2 columns"),
        ("tsv", "dog\t \tmeat\n", "Line 1: A triple's relation is empty"),
        ("tsv", f"dog\tlikes\t{'x' * 1001}\n", "Line 1: A triple's object has 1,001 characters"),
        ("jsonl", '{"subject": "dog"', "Line 1 is not JSON"),
        ("jsonl", "[" * 100_000, "Line 1 is not JSON"),
        ("jsonl", "[1]", "Line 1 is not a JSON object"),
        ("jsonl", '{"subject": "dog", "relation": "likes", "object": 3}', 'Line 1: "object" is missing'),
        (
            "jsonl",
            '{"subject": "\\ud800", "relation": "likes", "object": "meat"}',
            "Line 1: A triple's subject",
        ),
        ("nt", "# a comment\n<a> <b> .\n", "Line 2 is not an N-Triples statement"),
        ("nt", "<urn:kgt:entity:> <b> <c> .", "Line 1: A triple's subject is empty"),
        ("nt", r'<a> <b> "\UFFFFFFFF" .', "Line 1: object has a character that does not exist"),
        ("graphml", "<graphml>\n<oops", "Line 2 is not XML"),
        ("graphml", "", "not XML"),
        ("graphml", '<graphml>\n<edge source="a"/></graphml>', "Line 2: the edge has no target"),
        (
            "graphml",
            '<graphml>\n<edge source="a" target="b"/></graphml>',
            "Line 2: A triple's relation is empty",
        ),
        ("graphml", '<graphml><edge><data key="exact">[1]</data></edge></graphml>', 'Line 1: "exact"'),
        ("graphml", '<!DOCTYPE a [\n<!ENTITY b "c">]><a>&b;</a>', "Line 2 declares an XML entity"),
    ],
)
def test_a_bad_file_says_the_line_and_the_field(format: Format, text: str, message: str) -> None:
    with pytest.raises(BadInput, match=message.replace("[", r"\[")) as error:
        list(read(io.StringIO(text), format))
    assert error.value.hint


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_in_another_encoding_is_refused(format: Format) -> None:
    with pytest.raises(BadInput, match="not UTF-8"):
        list(read(io.TextIOWrapper(io.BytesIO("Käse\t".encode("latin-1")), encoding="utf-8"), format))


@pytest.mark.parametrize("header", ["", "subject\trelation\tobject\n", "\ufeffsubject\trelation\tobject\r\n"])
def test_a_table_may_have_a_header_or_not(header: str) -> None:
    assert list(read(io.StringIO(f"{header}dog\tlikes\tmeat\r\n"), "tsv")) == [Triple("dog", "likes", "meat")]


def test_n_triples_of_other_programs_give_the_last_part_of_their_names() -> None:
    object_ = r'"Essen \"warm\" \u00fc"@de'
    text = f"<http://example.org/c/en/Hot%20dog> <http://example.org/ns#isA> {object_} . # yes\n"
    assert [parts(triple) for triple in read(io.StringIO(text), "nt")] == [("Hot dog", "isA", 'Essen "warm" ü')]


def test_graphml_is_understood_by_networkx_and_its_graphs_by_us() -> None:
    nx = pytest.importorskip("networkx")
    stream = io.StringIO()
    write([Fact(triple, "base") for triple in AWKWARD], stream, "graphml")
    graph = nx.parse_graphml(stream.getvalue())
    assert graph.number_of_nodes() == len({key for triple in AWKWARD for key in triple.key[::2]})
    assert "My dog" in nx.get_node_attributes(graph, "label").values()

    theirs = nx.DiGraph()
    theirs.add_edge("dog", "meat", relation="likes")
    text = "\n".join(nx.generate_graphml(theirs))
    assert list(read(io.StringIO(text), "graphml")) == [Triple("dog", "likes", "meat")]
