"""ConceptNet's files into the base, batch by batch; broken off, the next import goes on after the last batch.

Each batch is one transaction, and with it is written how far the file has been read: how many bytes, and their
checksum. A file that begins with those bytes is gone on with, whatever it is called by now, packed or not.
"""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from itertools import chain
from pathlib import Path

from sqlalchemy import Engine, func, select

from kgt.errors import BadInput, NotFound
from kgt.graph.conceptnet import BaseTriple, Parser, Skip, parser_for
from kgt.graph.connection import insert_highest, reading, writing
from kgt.graph.tables import base, get_meta, set_meta
from kgt.graph.text_file import TextFile

SOURCE = "conceptnet"
BATCH = 50_000
"""Triples in one transaction: whoever writes meanwhile waits for a third of a second."""
BATCH_BYTES = 1 << 28
"""Bytes of text after which a batch ends although few of its lines are kept."""
FIRST_LINES = 20
"""Lines of which at least one must be an assertion."""
SHOWN = 5
"""Malformed lines that are reported one by one."""

Progress = Callable[[int, int], None]
"""Called with the bytes of the file that have been read, and with all of them (0 where that is not known)."""


@dataclass(slots=True)
class Imported:
    """What has come of importing a file, in this run and those before it.

    Attributes:
        lines, kept: lines read, and those of them that state a triple of the base.
        skipped: why lines were not kept → how many.
        malformed: number and fault of the first lines that are no assertions.
        bytes, checksum: of the text read, unpacked.
        before: lines that earlier runs had read.
        triples: triples in the base afterwards, whatever they are from.
    """

    lines: int = 0
    kept: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    malformed: list[tuple[int, str]] = field(default_factory=list)
    bytes: int = 0
    checksum: int = 0
    before: int = 0
    triples: int = 0


def import_conceptnet(
    engine: Engine, path: str | Path, language: str = "en", min_weight: float = 0.0, progress: Progress | None = None
) -> Imported:
    """Add a file's assertions to the base; see `GraphStore.import_conceptnet`."""
    with TextFile(path) as file:
        blocks = _blocks(file, progress)
        first = next(blocks, b"")
        lines = _lines(first)
        parse = parser_for(lines[:FIRST_LINES], language, min_weight)
        name = f"import {SOURCE} {language} {min_weight!r} {sha256(lines[0]).hexdigest()[:16]}"
        done = _progress_of(engine, name)
        try:
            left = _after(done, chain([first], blocks))
            if left is None:  # another file with the same first line
                done, left = Imported(), _blocks(file, progress)
            _add(engine, name, parse, done, left)
        except (BadInput, NotFound) as error:
            message = f"{error.message} The {done.lines:,} whole lines before that are in the base."
            raise type(error)(message, f"{error.hint} The same command goes on from there.") from error
    with reading(engine) as connection:
        done.triples = connection.scalar(select(func.count()).select_from(base)) or 0
    return done


def _add(engine: Engine, name: str, parse: Parser, done: Imported, blocks: Iterator[bytes]) -> None:
    """Parse and store what is left of a file; `done` grows with it."""
    rows: list[BaseTriple] = []
    state, saved = json.dumps(asdict(done)), done.bytes
    try:
        for block in blocks:
            _read(block, parse, done, rows)
            if block.endswith(b"\n"):  # else the file may still grow, and the next import reads its last line again
                state = json.dumps(asdict(done))
            if len(rows) >= BATCH or done.bytes - saved >= BATCH_BYTES:
                _store(engine, name, state, rows)
                rows, saved = [], done.bytes
    except (BadInput, NotFound):  # the file cannot be read on
        _store(engine, name, state, rows)
        raise
    _store(engine, name, state, rows)


def _read(block: bytes, parse: Parser, done: Imported, rows: list[BaseTriple]) -> None:
    """Parse a block of lines; its triples join the rows."""
    found = [parse(line) for line in _lines(block)]
    kept = [one for one in found if not isinstance(one, Skip)]
    skipped = Counter(one for one in found if isinstance(one, Skip))
    if len(done.malformed) < SHOWN and any(reason.malformed for reason in skipped):
        numbered = enumerate(found, start=done.lines + 1)
        faults = [(number, one.why) for number, one in numbered if isinstance(one, Skip) and one.malformed]
        done.malformed += faults[: SHOWN - len(done.malformed)]
    for reason, count in skipped.items():
        done.skipped[reason.why] = done.skipped.get(reason.why, 0) + count
    rows += kept
    done.lines += len(found)
    done.kept += len(kept)
    done.bytes += len(block)
    done.checksum = zlib.crc32(block, done.checksum)


def _store(engine: Engine, name: str, state: str, rows: list[BaseTriple]) -> None:
    rows.sort()  # neighbours in the table come together, whatever the order of the file
    with writing(engine, lock="base") as connection:
        insert_highest(connection, base, base.c.weight, rows, source=SOURCE)
        set_meta(connection, name, state)


def _progress_of(engine: Engine, name: str) -> Imported:
    with reading(engine) as connection:
        state = get_meta(connection, name)
    if state is None:
        return Imported()
    done = Imported(**json.loads(state))
    done.malformed = [(number, why) for number, why in done.malformed]
    done.before = done.lines
    return done


def _after(done: Imported, blocks: Iterator[bytes]) -> Iterator[bytes] | None:
    """The blocks behind the bytes that are done; None if the text does not begin with those."""
    left, checksum = done.bytes, 0
    for block in blocks:
        checksum = zlib.crc32(block[:left], checksum)
        if left <= len(block):
            return chain([block[left:]] if left < len(block) else [], blocks) if checksum == done.checksum else None
        left -= len(block)
    return None


def _blocks(file: TextFile, progress: Progress | None) -> Iterator[bytes]:
    for block in file.blocks():
        if progress:
            progress(file.position, file.size)
        yield block


def _lines(block: bytes) -> list[bytes]:
    """The lines of a block, without line ends and byte-order mark."""
    lines = block.removeprefix(b"\xef\xbb\xbf").removesuffix(b"\n").split(b"\n")
    return [line.removesuffix(b"\r") for line in lines] if b"\r" in block else lines
