"""Triples as files: TSV, JSON Lines, GraphML and N-Triples, each written and read without loss.

`read` yields triples as it goes and raises at the first bad line, so read all of them before
committing any.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal, TextIO, get_args
from urllib.parse import quote, unquote

from kgt.errors import BadInput
from kgt.graph.graphml import read_graphml, write_graphml
from kgt.graph.overlay import Fact
from kgt.triple import Triple

Format = Literal["tsv", "jsonl", "graphml", "nt"]

FORMATS: tuple[Format, ...] = get_args(Format)
"""Names of the formats, which are also the usual endings of their files."""

PARTS = ("subject", "relation", "object")
_OTHER_ENDINGS: dict[str, Format] = {"tab": "tsv", "ndjson": "jsonl", "ntriples": "nt"}


def format_of(path: str | Path) -> Format:
    """The format that a file's name tells.

    Raises:
        BadInput: the name does not end in a known way.
    """
    ending = Path(path).suffix.lower().removeprefix(".")
    for name in FORMATS:
        if ending == name:
            return name
    if ending in _OTHER_ENDINGS:
        return _OTHER_ENDINGS[ending]
    raise BadInput(f"{path} does not tell its format.", f"End its name in one of: .{', .'.join(FORMATS)}.")


def write(facts: Iterable[Fact], stream: TextIO, format: Format) -> None:
    """Write facts to a text stream (UTF-8)."""
    _WRITERS[_known(format)](facts, stream)


def read(stream: TextIO, format: Format) -> Iterator[Triple]:
    """Triples from a text stream.

    Raises:
        BadInput: with the number of the line that cannot be read, and what is wrong with it.
    """
    return _READERS[_known(format)](stream)


def _known(format: Format) -> Format:
    if format not in FORMATS:
        raise BadInput(f"Unknown format {format!r}.", f"Use one of: {', '.join(FORMATS)}.")
    return format


def _write_tsv(facts: Iterable[Fact], stream: TextIO) -> None:
    stream.write("\t".join(PARTS) + "\n")
    for fact in facts:  # cleaned text holds no tab and no line break, so nothing needs quoting
        stream.write("\t".join(getattr(fact.triple, part) for part in PARTS) + "\n")


def _read_tsv(stream: TextIO) -> Iterator[Triple]:
    for number, line in _lines(stream):
        fields = line.split("\t")
        if number == 1 and tuple(fields) == PARTS:
            continue
        if len(fields) != 3:
            raise BadInput(
                f"Line {number} has {len(fields)} columns.",
                "Give three, with a tab between: subject, relation, object.",
            )
        yield _triple(number, *fields)


def _write_jsonl(facts: Iterable[Fact], stream: TextIO) -> None:
    for fact in facts:
        parts = {part: getattr(fact.triple, part) for part in PARTS}
        json.dump({**parts, "source": fact.source, "edit_id": fact.edit_id}, stream, ensure_ascii=False)
        stream.write("\n")


def _read_jsonl(stream: TextIO) -> Iterator[Triple]:
    hint = 'Each line is an object: {"subject": "…", "relation": "…", "object": "…"}.'
    for number, line in _lines(stream):
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise BadInput(f"Line {number} is not JSON: {error}.", hint) from error
        if not isinstance(entry, dict):
            raise BadInput(f"Line {number} is not a JSON object.", hint)
        for part in PARTS:
            if not isinstance(entry.get(part), str):
                raise BadInput(f'Line {number}: "{part}" is missing or not a text.', hint)
        yield _triple(number, *(entry[part] for part in PARTS))


def _write_nt(facts: Iterable[Fact], stream: TextIO) -> None:
    for fact in facts:
        subject, relation, object_ = (quote(getattr(fact.triple, part), safe="") for part in PARTS)
        stream.write(f"<urn:kgt:entity:{subject}> <urn:kgt:relation:{relation}> <urn:kgt:entity:{object_}> .\n")


_IRI = r"<([^<>\"{}|^`\\\x00-\x20]*)>"
_LITERAL = r'"((?:[^"\\]|\\.)*)"(?:@[A-Za-z0-9-]+|\^\^<[^<>]*>)?'
_STATEMENT = re.compile(rf"\s*{_IRI}\s*{_IRI}\s*(?:{_IRI}|{_LITERAL})\s*\.\s*(?:#.*)?")
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))")
_ESCAPED = {"t": "\t", "b": "\b", "n": "\n", "r": "\r", "f": "\f"}


def _read_nt(stream: TextIO) -> Iterator[Triple]:
    for number, line in _lines(stream):
        if line.lstrip().startswith("#"):
            continue
        match = _STATEMENT.fullmatch(line)
        if match is None:
            raise BadInput(
                f"Line {number} is not an N-Triples statement.",
                'Write <subject> <relation> <object> . or "text" . as object.',
            )
        subject, relation, iri, literal = match.groups()
        object_ = _name(iri) if literal is None else _unescaped(number, literal)
        yield _triple(number, _name(subject), _name(relation), object_)


def _name(iri: str) -> str:
    """What an IRI of ours stands for; of others, their last part."""
    if iri.startswith("urn:kgt:"):
        return unquote(iri.split(":", 3)[-1])
    return unquote(re.split(r"[/#:]", iri.rstrip("/#:"))[-1])


def _unescaped(number: int, literal: str) -> str:
    def character(match: re.Match[str]) -> str:
        code = match[1] or match[2]
        return chr(int(code, 16)) if code else _ESCAPED.get(match[3], match[3])

    try:
        return _ESCAPE.sub(character, literal)
    except (ValueError, OverflowError) as error:
        raise BadInput(
            f"Line {number}: object has a character that does not exist.", "Check its \\U escapes."
        ) from error


def _lines(stream: TextIO) -> Iterator[tuple[int, str]]:
    """The lines that hold something, numbered from 1, without line ends or byte-order mark."""
    number = 0
    try:
        for number, line in enumerate(stream, start=1):
            text = (line.removeprefix("\ufeff") if number == 1 else line).rstrip("\r\n")
            if text.strip():
                yield number, text
    except UnicodeDecodeError as error:
        raise BadInput(f"The file is not UTF-8 text after line {number}.", "Save it as UTF-8.") from error


def _triple(number: int, subject: str, relation: str, object_: str) -> Triple:
    try:
        return Triple(subject, relation, object_)
    except BadInput as error:
        raise BadInput(f"Line {number}: {error.message}", error.hint) from error


_WRITERS: dict[Format, Callable[[Iterable[Fact], TextIO], None]] = {
    "tsv": _write_tsv,
    "jsonl": _write_jsonl,
    "graphml": write_graphml,
    "nt": _write_nt,
}
_READERS: dict[Format, Callable[[TextIO], Iterator[Triple]]] = {
    "tsv": _read_tsv,
    "jsonl": _read_jsonl,
    "graphml": read_graphml,
    "nt": _read_nt,
}
