"""Reading data sets, plain or compressed with xz, and fetching those that are not there."""

from __future__ import annotations

import hashlib
import json
import lzma
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import URLError
from urllib.request import urlopen

from rich.console import Console
from rich.progress import track

from kgt.errors import BadInput, NotFound

TIMEOUT = 20
"""Seconds without an answer after which an address counts as out of reach."""


class Source(NamedTuple):
    """A public file: its name in the data folder, its address and its sha256."""

    name: str
    url: str
    sha256: str


def find(data: Path, names: Sequence[str]) -> Path | None:
    """The first of the names that is in the folder or in one of its folders, plain or with .xz."""
    folders = [data, *sorted(path for path in data.glob("*/") if path.is_dir())]
    places = (folder / (name + ending) for name in names for folder in folders for ending in ("", ".xz"))
    return next((path for path in places if path.is_file()), None)


def text(path: Path) -> str:
    """A file's text.

    Raises:
        NotFound, BadInput: it is not there, or is damaged.
    """
    try:
        if path.suffix == ".xz":
            with lzma.open(path, "rt", encoding="utf-8") as file:
                return file.read()
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise NotFound(f"There is no file {path}.", "Give the data sets' folder with --data.") from error
    except (OSError, lzma.LZMAError, EOFError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read: {error}.", "Fetch it again.") from error


def read_list(path: Path) -> list[dict[str, Any]]:
    """A JSON list of records.

    Raises:
        BadInput: it is something else; the line is named.
    """
    try:
        records = json.loads(text(path))
    except json.JSONDecodeError as error:
        raise BadInput(
            f"{path}, line {error.lineno}, column {error.colno}: {error.msg}.", "The file is damaged; fetch it again."
        ) from error
    if not isinstance(records, list):
        raise BadInput(f"{path} holds no list of records but a {type(records).__name__}.", "Give another file.")
    for i, record in enumerate(records):
        if not isinstance(record, dict):
            raise BadInput(f"{path}: record {i} is no object but {record!r:.60}.", "Mend or remove it.")
    return records


def read_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, record) of a file with one JSON object a line."""
    for number, line in enumerate(text(path).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise BadInput(f"{path}, line {number}: {error.msg}.", "Mend or remove the line.") from error
        if not isinstance(record, dict):
            raise BadInput(f"{path}, line {number}: no object but {line:.60}.", "Mend or remove the line.")
        yield number, record


def field(record: dict[str, Any], name: str, kind: type, where: str) -> Any:
    """A record's field ("requested_rewrite.target_new.str" goes inwards), checked.

    Raises:
        BadInput: it is missing or of another kind; `where` (file and record) and the field are named.
    """
    value: Any = record
    for part in name.split("."):
        if not isinstance(value, dict) or part not in value:
            raise BadInput(f"{where} has no field {name!r}.", "Add it; docs/guide/benchmark.md describes the schema.")
        value = value[part]
    if not isinstance(value, kind) or value == "":
        raise BadInput(f"{where}: field {name!r} is {value!r:.60}, not a {kind.__name__}.", "Mend the record.")
    return value


def filled(prompt: str, subject: str, where: str) -> str:
    """A prompt with its "{}" filled, or with the subject in it already.

    Raises:
        BadInput: neither.
    """
    if "{}" in prompt:
        return prompt.replace("{}", subject, 1)
    if subject not in prompt:
        raise BadInput(f"{where}: the prompt {prompt!r} lacks the subject {subject!r}.", "Put {} where it belongs.")
    return prompt


def fetch(sources: Iterable[Source], folder: Path) -> Path:
    """Download the files that are not in the folder yet, and check every one.

    Raises:
        NotFound: there is no network.
        BadInput: a file is not what it was when its checksum was written down; nothing is kept of it.
    """
    missing = [source for source in sources if not (folder / source.name).is_file()]
    for source in track(missing, "Fetching", console=Console(stderr=True), disable=not missing):
        try:
            with urlopen(source.url, timeout=TIMEOUT) as response:
                content: bytes = response.read()
        except (URLError, OSError, ValueError) as error:
            raise NotFound(
                f"{source.name} is not in {folder}, and {source.url} cannot be reached ({error}).",
                "Go online once, or give a folder that has it with --data.",
            ) from error
        found = hashlib.sha256(content).hexdigest()
        if found != source.sha256:
            raise BadInput(
                f"{source.url} has changed: its sha256 is {found}, expected {source.sha256}.",
                "Give a copy you trust with --data.",
            )
        path = folder / source.name
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(path.suffix + ".part")
        part.write_bytes(content)
        part.replace(path)
    return folder


def sha256(paths: Iterable[Path]) -> str:
    """One checksum over files, in order."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()
