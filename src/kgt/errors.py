"""What can go wrong, said for the person who has to put it right.

Every error carries a `hint`: what to do next. The terminal prints both and exits with code 2;
a server maps them to 4xx.
"""

from __future__ import annotations


class KGTError(Exception):
    """Base of every error KGT raises on purpose.

    Args:
        message: what was wrong and what was seen.
        hint: what to do next.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class BadInput(KGTError):
    """A query, feedback, triple or option that cannot be used as it is."""


class NotFound(KGTError):
    """A user, edit, model or file that is not there."""


class ModelError(KGTError):
    """A language model that cannot be loaded, or cannot do what is asked of it."""


class GraphError(KGTError):
    """A graph database that cannot be opened, read or written."""
