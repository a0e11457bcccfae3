"""Options that stand before a command's name, as in `kgt --db graphs.db serve`, for the commands of every module."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kgt.settings import Settings

GIVEN: dict[str, Any] = {}
"""What was given there, by name."""


def wants_json(json: bool) -> bool:
    """Whether output is to be JSON: asked for by the command's own flag, or before its name."""
    return json or bool(GIVEN.get("json"))


def settings(user: str | None, model: str | None, db: str | None) -> Settings:
    """The settings, with what the command or the place before its name says."""
    from kgt.settings import Settings

    given = {"user": user, "model": model, "db": db}
    return Settings.load(**{name: value if value is not None else GIVEN.get(name) for name, value in given.items()})
