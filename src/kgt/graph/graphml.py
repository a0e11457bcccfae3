"""Triples as GraphML, for graph viewers such as Gephi, yEd or Cytoscape, and back.

A node is an entity, labelled as first written; an edge is a triple. Since one entity may be
written in several ways, the edge also keeps the triple's own words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import TextIO
from xml.parsers import expat
from xml.sax.saxutils import escape

from kgt.errors import BadInput
from kgt.graph.overlay import Fact
from kgt.triple import Triple

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<graphml xmlns="http://graphml.graphdrawing.org/xmlns">
<key id="label" for="all" attr.name="label" attr.type="string"/>
<key id="subject" for="edge" attr.name="subject" attr.type="string"/>
<key id="object" for="edge" attr.name="object" attr.type="string"/>
<key id="source" for="edge" attr.name="source" attr.type="string"/>
<key id="exact" for="edge" attr.name="exact" attr.type="string"/>
<graph edgedefault="directed">
"""


def write_graphml(facts: Iterable[Fact], stream: TextIO) -> None:
    """Write facts as one directed graph: the nodes, then the edges."""
    facts = list(facts)
    stream.write(_HEAD)
    nodes: dict[str, int] = {}
    for fact in facts:
        triple = fact.triple
        for key, text in ((triple.key[0], triple.subject), (triple.key[2], triple.object)):
            if key not in nodes:
                nodes[key] = len(nodes)
                stream.write(f'<node id="n{nodes[key]}">{_data("label", text)}</node>\n')
    for fact in facts:
        triple = fact.triple
        parts = (triple.subject, triple.relation, triple.object)
        data = [
            _data("label", triple.relation),
            _data("subject", triple.subject),
            _data("object", triple.object),
            _data("source", fact.source),
        ]
        if any(_NOT_XML.search(part) for part in parts):
            data.append(_data("exact", json.dumps(parts)))  # XML cannot hold U+FFFE and U+FFFF at all
        source, target = nodes[triple.key[0]], nodes[triple.key[2]]
        stream.write(f'<edge source="n{source}" target="n{target}">{"".join(data)}</edge>\n')
    stream.write("</graph>\n</graphml>\n")


def read_graphml(stream: TextIO) -> Iterator[Triple]:
    """Triples from the edges of a graph, ours or another program's.

    An edge's relation is its `label` or `relation`, its ends are the labels of its nodes, or
    their ids.
    """
    reader = _Reader()
    try:
        for number, line in enumerate(stream, start=1):
            reader.feed(line.removeprefix("\ufeff") if number == 1 else line)
        reader.feed("", last=True)
    except expat.ExpatError as error:
        raise BadInput(
            f"Line {error.lineno} is not XML: {expat.ErrorString(error.code)}.", "Give a GraphML file."
        ) from error
    except UnicodeDecodeError as error:
        raise BadInput("The file is not UTF-8 text.", "Save it as UTF-8.") from error
    yield from reader.triples()


def _data(key: str, text: str) -> str:
    visible = escape(_NOT_XML.sub("\ufffd", text))
    return f'<data key="{key}">{visible}</data>'


class _Reader:
    """Collects nodes and edges, with the line of each edge, while the XML goes by."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}  # a key's id -> what it means
        self._labels: dict[str, str] = {}  # a node's id -> its label
        self._edges: list[tuple[int, dict[str, str]]] = []
        self._current: dict[str, str] = {}
        self._field: str | None = None
        self._line = 0
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text
        self._parser.EntityDeclHandler = self._refuse_entity

    def feed(self, text: str, last: bool = False) -> None:
        self._parser.Parse(text, last)

    def triples(self) -> Iterator[Triple]:
        for line, edge in self._edges:
            if "exact" in edge:
                parts = self._exact(line, edge["exact"])
            else:
                parts = [
                    edge.get("subject") or self._label(line, edge, "source"),
                    edge.get("label") or edge.get("relation", ""),
                    edge.get("object") or self._label(line, edge, "target"),
                ]
            try:
                yield Triple(*parts)
            except BadInput as error:
                raise BadInput(f"Line {line}: {error.message}", error.hint) from error

    def _label(self, line: int, edge: dict[str, str], end: str) -> str:
        node = edge.get(f"@{end}")
        if node is None:
            raise BadInput(f"Line {line}: the edge has no {end}.", 'Write <edge source="…" target="…">.')
        return self._labels.get(node) or node

    def _exact(self, line: int, text: str) -> list[str]:
        try:
            parts = json.loads(text)
        except (ValueError, RecursionError):
            parts = None
        if not isinstance(parts, list) or len(parts) != 3 or not all(isinstance(part, str) for part in parts):
            raise BadInput(f'Line {line}: "exact" is not a list of three texts.', "Remove it or put it right.")
        return parts

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        tag = tag.rpartition(" ")[2]
        if tag == "key":
            self._names[attributes.get("id", "")] = attributes.get("attr.name", "")
        elif tag in ("node", "edge"):
            self._line = self._parser.CurrentLineNumber
            self._current = {f"@{name}": value for name, value in attributes.items()}
        elif tag == "data":
            key = attributes.get("key", "")
            self._field = self._names.get(key) or key
            self._current[self._field] = ""

    def _text(self, text: str) -> None:
        if self._field is not None:
            self._current[self._field] += text

    def _end(self, tag: str) -> None:
        tag = tag.rpartition(" ")[2]
        if tag == "data":
            self._field = None
        elif tag == "node":
            self._labels[self._current.get("@id", "")] = self._current.get("label", "")
        elif tag == "edge":
            self._edges.append((self._line, self._current))

    def _refuse_entity(self, *_: object) -> None:
        line = self._parser.CurrentLineNumber
        raise BadInput(f"Line {line} declares an XML entity.", "Write the text itself: entities are not read.")
