"""Reading data sets, plain or compressed with xz, for the benchmarks."""

from __future__ import annotations

import json
import lzma
import sys
from pathlib import Path
from typing import Any, NoReturn, TextIO


def open_text(path: Path) -> TextIO:
    """A text file, decompressed if its name ends in .xz; ends the program with a hint if it is not there."""
    try:
        if path.suffix == ".xz":
            return lzma.open(path, "rt", encoding="utf-8")
        return path.open(encoding="utf-8")
    except OSError as error:
        fail(f"{path} cannot be read: {error.strerror}. Give the data set's folder or file with --data.")


def read_json(path: Path) -> list[dict[str, Any]]:
    """A JSON list of records."""
    with open_text(path) as file:
        try:
            records = json.load(file)
        except (ValueError, lzma.LZMAError, EOFError) as error:
            fail(f"{path} is not valid JSON: {error}")
    if not isinstance(records, list) or not all(isinstance(r, dict) for r in records):
        fail(f"{path} is not a JSON list of records.")
    return records


def fail(message: str) -> NoReturn:
    print(f"Error: {message}", file=sys.stderr)
    sys.exit(2)
