"""A file of JSON lines that survives a kill: what is in it was measured, and is not measured again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


class Lines:
    """Reads what is there, then appends; a line cut short by a kill is dropped.

    Attributes:
        rows: all lines, oldest first.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.rows: list[dict[str, Any]] = []
        if path.exists():
            content = path.read_bytes()
            whole = content[: content.rfind(b"\n") + 1]
            self.rows = [json.loads(line) for line in whole.splitlines()]
            if len(whole) < len(content):
                path.write_bytes(whole)
        self._file = path.open("a", encoding="utf-8")

    def append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write rows, on the disk when this returns."""
        for row in rows:
            self._file.write(json.dumps(row, ensure_ascii=False) + "\n")
            self.rows.append(dict(row))
        self._file.flush()
        os.fsync(self._file.fileno())

    @property
    def ids(self) -> set[str]:
        """The case_ids in the file."""
        return {row["case_id"] for row in self.rows}

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
