"""Keys of clients: whose graph the holder of a key may use. Only hashes are kept: a copy of the table opens nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, bindparam, select

from kgt.errors import BadInput
from kgt.graph.connection import insert_new
from kgt.graph.records import AnyRow, to_microseconds, to_time
from kgt.graph.tables import keys
from kgt.triple import clean

MAX_NAME = 200

_HASH = re.compile(r"[0-9a-f]{64}")
_FIND = select(keys).where(keys.c.hash == bindparam("wanted"))  # every request asks; to build takes longer than to run


@dataclass(frozen=True, slots=True)
class Key:
    """What is remembered of a key.

    Attributes:
        name: what people call it, such as the program that has it.
        trusted: the holder may say for which user it acts.
        expires: when it stops being valid; never, if None. Whoever accepts a key compares.
    """

    user: str
    name: str
    trusted: bool
    created: datetime
    expires: datetime | None = None


def add(connection: Connection, user: str, hash: str, name: str, trusted: bool, expires: datetime | None) -> Key:
    """Store a key; see `GraphStore.add_key`."""
    if not _HASH.fullmatch(hash):
        raise BadInput("That is no SHA-256 in hex.", "Give the key's hash, not the key.")
    if expires is not None and expires.utcoffset() is None:
        raise BadInput(f"The time {expires} has no time zone.", "Add one, such as 2025-01-31T12:00+00:00.")
    name = clean(name)
    if len(name) > MAX_NAME:
        raise BadInput(f"The key's name has {len(name):,} characters.", f"Use at most {MAX_NAME}.")
    created = datetime.now(UTC)
    row = {
        "hash": hash,
        "user": user,
        "name": name,
        "trusted": int(trusted),
        "created": to_microseconds(created),
        "expires": None if expires is None else to_microseconds(expires),
    }
    if not insert_new(connection, keys, [row]):
        raise BadInput("That key is there already.", "Make another one.")
    return Key(user, name, trusted, created, expires)


def find(connection: Connection, hash: str) -> Key | None:
    """The key with this hash."""
    if not _HASH.fullmatch(hash):
        return None
    row = connection.execute(_FIND, {"wanted": hash}).one_or_none()
    return None if row is None else _key(row)


def listed(connection: Connection, user: str | None) -> list[tuple[str, Key]]:
    """Hash and key of one user's keys, or of everyone's, the newest first."""
    query = select(keys).order_by(keys.c.created.desc(), keys.c.hash)
    rows = connection.execute(query if user is None else query.where(keys.c.user == user))
    return [(row.hash, _key(row)) for row in rows]


def remove(connection: Connection, hash: str) -> bool:
    """Delete the key with this hash; whether it was there."""
    if not _HASH.fullmatch(hash):
        return False
    return bool(connection.execute(keys.delete().where(keys.c.hash == hash)).rowcount)


def _key(row: AnyRow) -> Key:
    expires = None if row.expires is None else to_time(row.expires)
    return Key(row.user, row.name, bool(row.trusted), to_time(row.created), expires)
