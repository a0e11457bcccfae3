"""Who is asking: API keys, each of one user; none needed by the single local user while there are none.

A key is `kgt_` and 256 random bits. The database has its SHA-256: with so much chance in it, a slow
password hash would add nothing but time to every request.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated

from anyio import to_thread
from fastapi import Depends, Header, Request
from fastapi.security import HTTPBearer

from kgt.errors import KGTError
from kgt.graph import GraphStore
from kgt.graph.keys import Key
from kgt.graph.records import checked_user
from kgt.serve.service import Service

PREFIX = "kgt_"
_bearer = HTTPBearer(auto_error=False, description="An API key, made by `kgt user add NAME`.")


class Unauthorised(KGTError):
    """A key is missing, unknown or no longer valid."""


class Forbidden(KGTError):
    """The key is valid, but not for this."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a request is from.

    Attributes:
        user: whose graph it may use.
        trusted: it may say for which user it acts.
        name: what the key is called, kept with the edits.
    """

    user: str
    trusted: bool = False
    name: str = ""

    def acting_for(self, user: str | None) -> Caller:
        """The caller for another user, where it is trusted to say so.

        Raises:
            Forbidden: it is not.
        """
        if not user or user == self.user:
            return self
        if not self.trusted:
            raise Forbidden(
                f"This key is {self.user!r}'s and may not act for another user.",
                "Leave the user out, or make a trusted key: kgt user add NAME --trusted",
            )
        return replace(self, user=checked_user(user))


def new_key(
    store: GraphStore, user: str, name: str = "", *, trusted: bool = False, expires: datetime | None = None
) -> tuple[str, Key]:
    """Make a key; its text is returned once and stored nowhere."""
    text = PREFIX + secrets.token_urlsafe(32)
    return text, store.add_key(user, hashed(text), name, trusted, expires)


def hashed(key: str) -> str:
    """What the database knows of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


def identify(service: Service, key: str | None) -> Caller:
    """Who holds this key; where none is needed, one that is not ours says nothing: many clients must send one.

    Raises:
        Unauthorised: the key is missing where one is needed, unknown or expired.
    """
    if not (key or "").startswith(PREFIX) and service.keyless and not service.store.has_keys():
        return Caller(service.settings.user)
    if not key:
        raise Unauthorised(
            "This server needs an API key.", "Send `Authorization: Bearer kgt_…`; `kgt user add NAME` makes one."
        )
    found = service.store.key(hashed(key))
    if found is None:
        raise Unauthorised("The API key is not known.", "Check it, or make another with `kgt user add NAME`.")
    if found.expires and found.expires <= datetime.now(UTC):
        raise Unauthorised(
            f"The API key expired at {found.expires:%Y-%m-%d %H:%M} UTC.", "Make another with `kgt user add NAME`."
        )
    return Caller(found.user, found.trusted, found.name)


def key_in(headers: Mapping[str, str]) -> str | None:
    """The key in a request's headers."""
    kind, _, value = headers.get("authorization", "").partition(" ")
    return value.strip() if kind.lower() == "bearer" else headers.get("x-api-key")


async def caller(
    request: Request,
    _shown: Annotated[object, Depends(_bearer)],  # for the OpenAPI page's "Authorize"
    _told: Annotated[
        str | None, Header(alias="x-kgt-user", description="For which user a trusted key acts.", examples=["ana"])
    ] = None,
) -> Caller:
    """The caller of a request: a dependency of every route that touches a graph."""
    return await admitted(request)


async def admitted(request: Request) -> Caller:
    """The caller of a request, which is counted and said in the log.

    Raises:
        Unauthorised, Forbidden, TooMany: it is not let in.
    """
    service: Service = request.app.state.service
    if service.store.embedded:  # answers in less time than another thread takes to be woken
        found = caller_in(service, request.headers)
    else:
        found = await to_thread.run_sync(caller_in, service, request.headers)
    request.state.user = found.user
    request.app.state.limits.count(found.user)
    return found


def caller_in(service: Service, headers: Mapping[str, str]) -> Caller:
    """Whom a request's headers name.

    Raises:
        Unauthorised, Forbidden: as for `identify` and `Caller.acting_for`.
    """
    return identify(service, key_in(headers)).acting_for(headers.get("x-kgt-user"))


Authorised = Annotated[Caller, Depends(caller)]
