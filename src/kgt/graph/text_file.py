"""A text file's lines in blocks, unpacked as its name tells, with how far the reading has come."""

from __future__ import annotations

import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from kgt.errors import BadInput, NotFound

BLOCK = 1 << 20
"""Bytes read at once, unpacked; a block of lines is about as long."""
LONGEST_LINE = 1 << 24
"""Bytes after which a line is no line of text."""

_PACKERS = {".gz": "gzip", ".xz": "xz"}
_MAGIC = {b"\x1f\x8b": ".gz", b"\xfd7zXZ": ".xz"}


class TextFile:
    """A file that is plain, or packed with gzip (.gz) or xz (.xz).

    Attributes:
        size: bytes of the file on the disk, 0 for a pipe.

    Raises:
        NotFound: it cannot be opened.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._ending = self.path.suffix.lower()
        try:
            self._raw = self.path.open("rb")
            self.size = self.path.stat().st_size if self.path.is_file() else 0
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise NotFound(f"{path} cannot be read: {reason}.", "Check the path.") from error
        self._stream = self._unpacked()
        self._begun = False

    def __enter__(self) -> TextFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()
        self._raw.close()

    @property
    def position(self) -> int:
        """Bytes of the file on the disk that have been read."""
        return self._raw.tell() if self.size else 0

    def blocks(self) -> Iterator[bytes]:
        """The file's text from its beginning, each block made of whole lines; the file's last line may lack its end.

        Raises:
            BadInput: it is not packed as its name tells, or it is damaged or cut off. What was there before
                has been yielded: to the last whole line where it is cut off, to the last whole block where
                it is damaged.
        """
        if self._begun and not self._raw.seekable():
            raise BadInput(f"{self.path} cannot be read twice.", "Give a file, not a pipe.")
        if self._begun:
            self._stream.seek(0)
        self._begun = True
        rest, begun = b"", False
        while piece := self._read(begun):
            if not begun and (ending := _MAGIC.get(piece[:2]) or _MAGIC.get(piece[:5])):
                raise BadInput(f"{self.path} is packed, but its name does not say so.", f"End its name in {ending}.")
            begun = True
            end = piece.rfind(b"\n") + 1
            if end:
                yield rest + piece[:end]
            rest = piece[end:] if end else rest + piece
            if len(rest) > LONGEST_LINE:
                raise BadInput(f"{self.path} has a line of more than {LONGEST_LINE >> 20} MiB.", "Give a text file.")
        if rest:
            yield rest

    def _unpacked(self) -> io.BufferedReader | gzip.GzipFile | lzma.LZMAFile:
        match self._ending:
            case ".gz":
                return gzip.GzipFile(fileobj=self._raw)
            case ".xz":
                return lzma.LZMAFile(self._raw)
        return self._raw

    def _read(self, begun: bool) -> bytes:
        try:
            return self._stream.read1(BLOCK)  # not read(): that loses what it has when it meets the damage
        except EOFError as error:
            raise BadInput(f"{self.path} is cut off: it ends in the middle.", "Get the whole file.") from error
        except (gzip.BadGzipFile, zlib.error, lzma.LZMAError) as error:
            if begun:
                raise BadInput(f"{self.path} is damaged: {error}.", "Get the file anew.") from error
            raise BadInput(
                f"{self.path} is not packed with {_PACKERS[self._ending]}, as its name says: {error}.",
                f"If it is not packed, take {self._ending} off its name; if it is damaged, get it anew.",
            ) from error
        except OSError as error:
            raise NotFound(f"{self.path} cannot be read: {error.strerror}.", "Check the file and the disk.") from error
