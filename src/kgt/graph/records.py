"""Triples and edits as rows: the reading and writing that the store is made of.

Everything here works on a connection inside the caller's transaction, for a user name that has
been checked.
"""

from __future__ import annotations

import math
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice
from operator import attrgetter
from typing import Any, TypeVar

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Executable,
    FromClause,
    Row,
    Select,
    Table,
    and_,
    bindparam,
    func,
    select,
)

from kgt.errors import BadInput
from kgt.graph import names
from kgt.graph.connection import can_be_stored, insert, of_rows, rows_as_table
from kgt.graph.edit import Edit, ScoredTriple
from kgt.graph.overlay import Change, Fact
from kgt.graph.tables import base, changes, edits, overlay
from kgt.triple import Triple, clean

Key = tuple[str, str, str]
AsOf = datetime | int | None
AnyRow = Row[*tuple[Any, ...]]

BATCH = 5_000
"""Keys per look-up; SQLite takes at most 32,766 parameters in one statement."""

MAX_USER = 200
MAX_REQUEST = 200
MAX_ID = 2**63 - 1

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_T = TypeVar("_T")


def checked_user(user: str) -> str:
    """The user's name, cleaned.

    Raises:
        BadInput: it is empty, too long, or holds control characters.
    """
    if any(unicodedata.category(c) in ("Cc", "Cs") for c in user):
        raise BadInput(f"The user name {user!r} holds control characters.", "Use letters, digits and spaces.")
    name = clean(user)
    if not name or len(name) > MAX_USER:
        raise BadInput(f"The user name has {len(name):,} characters.", f"Use 1 to {MAX_USER}.")
    return name


def checked_request(request: str) -> str:
    """A client's name for its request, as it is stored.

    Raises:
        BadInput: it is too long.
    """
    if len(request) > MAX_REQUEST:
        raise BadInput(f"The request's key has {len(request):,} characters.", f"Use at most {MAX_REQUEST}.")
    return _text(request)


def facts(
    connection: Connection,
    user: str,
    subject_key: str | None = None,
    as_of: AsOf = None,
    with_base: bool = True,
    limit: int | None = None,
    shared: int | None = None,
) -> list[Fact]:
    """What the user sees, or saw `as_of` then: about one subject, or everything.

    The user's own facts come first, the newest edit's before others; then the base's by subject, those of most
    weight first. A limit cuts this list off, and with it what has to be read and sorted out of a long one.

    Args:
        shared: the most facts of the base, beside a limit of all.
    """
    upto = edit_id_at(connection, user, as_of)
    own, removed, base_facts = _queries_of_facts(upto is not None, subject_key is not None, limit is not None)
    values = {"wanted_user": user, "wanted_subject": subject_key, "upto": upto, "most": limit}
    rows = connection.execute(own, values).all()
    found = [Fact(restored(parts), "user", edit_id, query) for *parts, edit_id, query in rows]
    if not with_base or len(found) == limit:
        return found
    hidden = {tuple(row) for row in connection.execute(removed, values)}
    left = None if limit is None else min(limit - len(found), limit if shared is None else shared)
    shared_rows = connection.execute(base_facts, values | {"most": left and left + len(hidden)})
    seen = (Fact(triple, "base") for triple in map(restored, shared_rows) if triple.key not in hidden)
    return found + list(islice(seen, left))


@cache
def _queries_of_facts(past: bool, of_one: bool, limited: bool) -> tuple[Executable, Executable, Executable]:
    """For the user's own facts, the keys of what the user removed, and the base; to build takes longer than to run."""
    last = _last_changes() if past else overlay
    mine = [last.c.user == bindparam("wanted_user")]
    shared = select(*_triple(base))
    if of_one:
        mine.append(last.c.subject_key == bindparam("wanted_subject"))
        shared = shared.where(base.c.subject_key == bindparam("wanted_subject"))
    own = select(*_triple(last), last.c.edit_id, edits.c.query)
    own = own.join(edits, and_(edits.c.user == last.c.user, edits.c.id == last.c.edit_id))
    own = own.where(*mine, last.c.sign > 0, ~_is_in_base(last)).order_by(last.c.edit_id.desc(), *_key(last))
    removed = select(*_key(last)).where(*mine, last.c.sign < 0)
    shared = shared.order_by(base.c.subject_key, base.c.weight.desc(), *_key(base)[1:])
    most = bindparam("most", type_=BigInteger)
    return (own.limit(most), removed, shared.limit(most)) if limited else (own, removed, shared)


def known_subjects(connection: Connection, user: str, keys: Collection[str], with_base: bool = True) -> set[str]:
    """Those of the keys that are the subject of a fact the user sees, or has; a hub costs no more than others."""
    query = _query_of_subjects(connection.dialect.name, with_base)
    return {row.subject_key for row in _rows_about(connection, user, keys, query)}


@cache
def _query_of_subjects(dialect: str, with_base: bool) -> Select[Any]:
    wanted, own = rows_as_table(dialect, [base.c.subject_key]), overlay.alias("own")
    user: ColumnElement[str] = bindparam("wanted_user")
    added = select(own.c.user).where(own.c.user == user, own.c.subject_key == wanted.c.subject_key, own.c.sign > 0)
    removed = select(overlay.c.user).where(
        overlay.c.user == user, overlay.c.sign < 0, *(overlay.c[c.name] == c for c in _key(base))
    )
    shared = select(base.c.subject_key).where(base.c.subject_key == wanted.c.subject_key, ~removed.exists())
    is_known = added.exists() | shared.exists() if with_base else added.where(~_is_in_base(own)).exists()
    return select(wanted.c.subject_key).where(is_known)


def called(connection: Connection, user: str, entities: Collection[str]) -> list[Triple]:
    """The user's own facts that say what these entities, given by their keys, are called."""
    query = _query_of_called(connection.dialect.name)
    return list(map(restored, _rows_about(connection, user, entities, query)))


def _rows_about(connection: Connection, user: str, keys: Collection[str], query: Executable) -> Iterator[AnyRow]:
    """The rows of a query for a user and the keys of subjects, batch by batch."""
    for batch in _batches(sorted(filter(can_be_stored, set(keys)))):
        parameters = {"wanted_user": user, **of_rows(connection.dialect.name, [(key,) for key in batch])}
        yield from connection.execute(query, parameters)


@cache
def _query_of_called(dialect: str) -> Executable:
    wanted = rows_as_table(dialect, [overlay.c.subject_key])
    relation = overlay.c.relation_key.concat("")  # a look-up for each entity, not for each of its possible relations
    return select(*_triple(overlay)).where(
        overlay.c.user == bindparam("wanted_user"),
        overlay.c.subject_key.in_(select(wanted.c.subject_key)),
        relation.in_(sorted(names.CALLED)),
        overlay.c.sign > 0,
    )


def seen(connection: Connection, user: str, triples: Iterable[Triple]) -> set[Key]:
    """The keys of those triples that the user sees now."""
    keys = {triple.key for triple in triples}
    found = in_base(connection, keys)
    for row in _rows_of(connection, keys, overlay, overlay.c.sign, user=user):
        (found.add if row.sign > 0 else found.discard)(_row_key(row))
    return found


def in_base(connection: Connection, keys: Collection[Key]) -> set[Key]:
    """Those of the keys that the shared base holds."""
    return {_row_key(row) for row in _rows_of(connection, keys, base)}


def changes_of(connection: Connection, user: str, keys: Collection[Key]) -> list[Change]:
    """Every change the user's edits ever made to these triples, oldest first."""
    columns = (changes.c.subject, changes.c.relation, changes.c.object, changes.c.sign, changes.c.edit_id)
    return _changes(_rows_of(connection, keys, changes, *columns, user=user))


def edit_ids(connection: Connection, user: str) -> list[int]:
    """The ids of the user's edits, newest first."""
    return list(connection.scalars(select(edits.c.id).where(edits.c.user == user).order_by(edits.c.id.desc())))


def undos(connection: Connection, user: str) -> dict[int, int]:
    """Every undo of the user: its id, and the id that it undoes."""
    query = select(edits.c.id, edits.c.undoes).where(edits.c.user == user, edits.c.undoes.is_not(None))
    return {row.id: row.undoes for row in connection.execute(query)}


def read_edits(
    connection: Connection, user: str, *conditions: ColumnElement[bool], limit: int | None = None
) -> list[Edit]:
    """The user's edits that meet the conditions, newest first."""
    query: Select[Any] = select(edits).where(edits.c.user == user, *conditions)
    rows = connection.execute(query.order_by(edits.c.id.desc()).limit(limit)).all()
    parts: dict[tuple[int, int], list[ScoredTriple]] = defaultdict(list)
    for batch in _batches([row.id for row in rows]):
        touched = select(changes).where(changes.c.user == user, changes.c.edit_id.in_(batch))
        for row in connection.execute(touched.order_by(changes.c.edit_id, changes.c.position)):
            parts[row.edit_id, row.sign].append(ScoredTriple(restored(_parts(row)), row.reasoning, row.retrieval))
    return [
        Edit(
            **{
                **row._mapping,
                "time": to_time(row.time),
                "added": tuple(parts[row.id, +1]),
                "removed": tuple(parts[row.id, -1]),
            }
        )
        for row in rows
    ]


def requested(connection: Connection, user: str, request: str) -> Edit | None:
    """The user's edit that was made for this request."""
    found = read_edits(connection, user, edits.c.request == request, edits.c.request != "") if request else []
    return found[0] if found else None


def write_edit(connection: Connection, edit: Edit) -> None:
    """Append an edit that has its id and time, and bring the overlay up to date with it."""
    assert edit.id is not None and edit.time is not None
    columns = {name: getattr(edit, name) for name in edits.columns.keys()}  # noqa: SIM118 - not a dict
    connection.execute(edits.insert().values({**columns, "time": to_microseconds(edit.time)}))
    signed = [(part, +1) for part in edit.added] + [(part, -1) for part in edit.removed]
    rows = [{**triple_row(part.triple), "user": edit.user, "edit_id": edit.id, "sign": sign} for part, sign in signed]
    scores = [
        {"position": position, "reasoning": part.reasoning, "retrieval": part.retrieval}
        for position, (part, _) in enumerate(signed)
    ]
    connection.execute(changes.insert(), [row | score for row, score in zip(rows, scores, strict=True)])
    connection.execute(insert(connection, overlay, duplicates="replace"), rows)
    names.add(connection, edit.user, [part.triple for part in edit.added])


def next_id_and_time(connection: Connection, user: str) -> tuple[int, datetime]:
    """The id and time of the user's next edit; time never runs back, even when the clock does."""
    last, now = version(connection, user), datetime.now(UTC)
    return (1, now) if last is None else (last[0] + 1, max(now, to_time(last[1])))


def version(connection: Connection, user: str) -> tuple[int, int] | None:
    """The last edit's id and time in microseconds; None before the first."""
    last = connection.execute(_query_of_last_edit(), {"wanted_user": user}).one_or_none()
    return None if last is None else (last.id, last.time)


@cache
def _query_of_last_edit() -> Select[Any]:
    mine = select(edits.c.id, edits.c.time).where(edits.c.user == bindparam("wanted_user"))
    return mine.order_by(edits.c.id.desc()).limit(1)


def edit_id_at(connection: Connection, user: str, as_of: AsOf) -> int | None:
    """The id of the last edit that counts at a moment, which may be given as an id; None for now."""
    if as_of is None:
        return None
    if isinstance(as_of, int):
        if as_of < 0:
            raise BadInput(f"as_of is {as_of}; edit ids start at 1.", "Give an edit id (0 is before any), or a time.")
        return min(as_of, MAX_ID)
    if as_of.utcoffset() is None:
        raise BadInput(f"The time {as_of} has no time zone.", "Add one, such as 2025-01-31T12:00+00:00.")
    query = select(func.max(edits.c.id)).where(edits.c.user == user, edits.c.time <= to_microseconds(as_of))
    return connection.scalar(query) or 0


def storable(edit: Edit) -> Edit:
    """The edit as a database can keep it: plain floats for numbers, no NaN, NUL or lone surrogates."""
    fields: dict[str, Any] = {"user": checked_user(edit.user), "request": checked_request(edit.request)}
    for name in ("query", "answer", "stop_reason", "model", "said_by"):
        fields[name] = _text(getattr(edit, name))
    for name in ("loss_before", "loss_after", "milliseconds"):
        fields[name] = _number(getattr(edit, name))
    for name in ("added", "removed"):
        fields[name] = tuple(
            ScoredTriple(part.triple, _number(part.reasoning), _number(part.retrieval)) for part in getattr(edit, name)
        )
    return replace(edit, **fields)


def triple_row(triple: Triple) -> dict[str, str]:
    """A triple's six columns."""
    subject_key, relation_key, object_key = triple.key
    return {
        "subject": triple.subject,
        "relation": triple.relation,
        "object": triple.object,
        "subject_key": subject_key,
        "relation_key": relation_key,
        "object_key": object_key,
    }


def restored(parts: Iterable[str]) -> Triple:
    """A triple as it was stored, from what `_triple` selects: normalising again costs as much as all else of a read."""
    triple, keep = object.__new__(Triple), object.__setattr__
    subject, relation, object_, *key = parts
    keep(triple, "subject", subject)
    keep(triple, "relation", relation)
    keep(triple, "object", object_)
    keep(triple, "key", tuple(key))
    return triple


def _last_changes() -> FromClause:
    """The last change of each triple up to the edit :upto."""
    later, upto = changes.alias("later"), bindparam("upto", type_=BigInteger)
    again = select(later.c.edit_id).where(
        later.c.user == changes.c.user,
        *(later.c[c.name] == c for c in _key(changes)),
        later.c.edit_id > changes.c.edit_id,
        later.c.edit_id <= upto,
    )
    # `+ 0` keeps the planner to the index by subject: along the edits it would read them all.
    return select(changes).where(changes.c.edit_id + 0 <= upto, ~again.exists()).subquery("last")


def _key(table: FromClause) -> list[ColumnElement[str]]:
    return [table.c.subject_key, table.c.relation_key, table.c.object_key]


def _is_in_base(table: FromClause) -> ColumnElement[bool]:
    """Whether the base has a row's triple: brought back by an undo, it is the base's fact again, nobody's own."""
    return select(base.c.weight).where(*(base.c[c.name] == c for c in _key(table))).exists()


def _triple(table: FromClause) -> list[ColumnElement[str]]:
    return [table.c.subject, table.c.relation, table.c.object, *_key(table)]


_parts = attrgetter("subject", "relation", "object", "subject_key", "relation_key", "object_key")
"""A row's columns that `_triple` selects, where it has others before them."""


def _row_key(row: AnyRow) -> Key:
    return (row.subject_key, row.relation_key, row.object_key)


def _rows_of(
    connection: Connection,
    keys: Collection[Key],
    table: Table,
    *columns: ColumnElement[Any],
    user: str | None = None,
) -> Iterator[AnyRow]:
    """The rows of these triples; where a user is given, that user's."""
    dialect = connection.dialect.name
    query = _query_of_rows(dialect, table, columns, user is not None)
    for batch in _batches(sorted(keys)):
        rows = connection.execute(query, {**of_rows(dialect, batch), "wanted_user": user})
        yield from (row for row in rows if row.subject_key is not None)


@cache
def _query_of_rows(dialect: str, table: Table, columns: tuple[ColumnElement[Any], ...], of_user: bool) -> Executable:
    """For the rows of some triples, each found along an index.

    SQLite scans for a `(a, b, c) IN (…)`, and for an inner join may scan the wanted ones for each row of a user.
    """
    wanted = rows_as_table(dialect, _key(table))
    same = [column == wanted.c[column.name] for column in _key(table)]
    if of_user:
        same.append(table.c.user == bindparam("wanted_user"))
    return select(*_key(table), *columns).select_from(wanted.outerjoin(table, and_(*same)))


def _changes(rows: Iterable[AnyRow]) -> list[Change]:
    found = [Change(restored(_parts(row)), row.sign, row.edit_id, getattr(row, "query", "")) for row in rows]
    return sorted(found, key=lambda change: change.edit_id)


def _batches(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    for start in range(0, len(items), BATCH):
        yield items[start : start + BATCH]


def to_microseconds(time: datetime) -> int:
    """A time as the tables have it: microseconds since 1970, UTC."""
    return (time - _EPOCH) // _MICROSECOND


def to_time(microseconds: int) -> datetime:
    """The time that a table's number is."""
    return _EPOCH + microseconds * _MICROSECOND


def _text(text: str) -> str:
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def _number(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else float(value)
