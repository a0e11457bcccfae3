"""Keys of clients: kept by their hash, listed, removed, erased with their user."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256

import pytest

from kgt.errors import BadInput
from kgt.graph import GraphStore

ONE, TWO = (sha256(word).hexdigest() for word in (b"one", b"two"))


def test_a_key_is_found_by_its_hash_with_all_its_fields(store: GraphStore) -> None:
    before = datetime.now(UTC) - timedelta(microseconds=1)
    expires = datetime(2031, 5, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    key = store.add_key("ada", ONE, " my\nlaptop ", trusted=True, expires=expires)
    assert before <= key.created <= datetime.now(UTC)
    assert (key.user, key.name, key.trusted, key.expires) == ("ada", "my laptop", True, expires)
    assert store.key(ONE) == key
    assert store.key(TWO) is store.key("") is store.key("no\0hash") is None


def test_an_expired_key_is_still_shown(store: GraphStore) -> None:
    key = store.add_key("ada", ONE, expires=datetime(2001, 1, 1, tzinfo=UTC))
    assert store.key(ONE) == key and not key.trusted


def test_keys_are_listed_by_user_and_removed_once(store: GraphStore) -> None:
    keys = {ONE: store.add_key("ada", ONE), TWO: store.add_key("bob", TWO)}
    assert dict(store.keys()) == keys
    assert store.keys("bob") == [(TWO, keys[TWO])]
    assert store.remove_key(TWO) and not store.remove_key(TWO) and not store.remove_key("two")
    assert store.keys("bob") == []


def test_erasing_a_user_takes_the_keys_too(store: GraphStore) -> None:
    store.add_key("ada", ONE)
    kept = store.add_key("bob", TWO)
    store.erase("ada")
    assert store.keys() == [(TWO, kept)]


def test_what_is_no_key_is_refused(store: GraphStore) -> None:
    store.add_key("ada", ONE)
    for user, hash, expires in (
        ("bob", ONE, None),
        ("ada", "sk-the-key-itself", None),
        ("", TWO, None),
        ("ada", TWO, datetime(2031, 1, 1)),
    ):
        with pytest.raises(BadInput) as error:
            store.add_key(user, hash, expires=expires)
        assert error.value.hint
    assert [hash for hash, _ in store.keys("ada")] == [ONE] and store.keys("bob") == []
