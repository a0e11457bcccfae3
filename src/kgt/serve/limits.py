"""What the server refuses at its door: too large, too many, and by a name that is not this machine's."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from anyio import to_thread
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kgt.errors import KGTError


class TooMany(KGTError):
    """A user sent more requests than a minute holds.

    Attributes:
        seconds: until there is room again.
    """

    def __init__(self, message: str, hint: str, seconds: int) -> None:
        super().__init__(message, hint)
        self.seconds = seconds


class Rate:
    """Requests of each user in the minute past, counted in this process.

    Args:
        a_minute: the most; 0 is no limit.
    """

    def __init__(self, a_minute: int) -> None:
        self._most = RateLimitItemPerMinute(a_minute) if a_minute else None
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def count(self, user: str) -> None:
        """Count one request.

        Raises:
            TooMany: there were too many.
        """
        if self._most is None or self._limiter.hit(self._most, user):
            return
        seconds = max(1, math.ceil(self._limiter.get_window_stats(self._most, user).reset_time - time.time()))
        raise TooMany(f"More than {self._most.amount} requests in a minute.", f"Try again in {seconds} s.", seconds)


class LocalOnly:
    """Where no key is needed, other sites' pages in the user's browser must not reach the user's graph.

    They could by a name of theirs that leads to this machine, or by a form, which a browser sends anywhere.

    Args:
        needed: whether no key is needed now. With keys, whoever has one may come by any name.
        allowed: origins that may all the same.
    """

    def __init__(self, app: ASGIApp, needed: Callable[[], bool], allowed: Sequence[str]) -> None:
        self._app, self._needed, self._allowed = app, needed, allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self._app(scope, receive, send)
        headers = HTTPConnection(scope).headers
        host, origin = headers.get("host", ""), headers.get("origin")
        if not _is_local(f"//{host}"):
            refusal = 400, f"This server is not called {host!r}.", "Use http://localhost."
        elif origin and origin not in self._allowed and not _is_local(origin):
            refusal = 403, f"Pages of {origin} may not use this server.", "Start it with --cors to allow them."
        else:
            return await self._app(scope, receive, send)
        if not await to_thread.run_sync(self._needed):
            return await self._app(scope, receive, send)
        if scope["type"] == "websocket":
            return await send({"type": "websocket.close", "code": 1008})
        from kgt.serve.problems import problem

        await problem(Request(scope), *refusal)(scope, receive, send)


class BodyLimit:
    """Refuses bodies of more than `most` bytes, also where the client does not say how long they are."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app, self._most = app, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        length = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        read = int(length) if length.isdigit() else 0
        if read > self._most:
            from kgt.serve.problems import problem

            refused = problem(Request(scope), 413, *self._refusal, Connection="close")
            return await refused(scope, receive, send)
        read = 0

        async def limited() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._most:
                raise HTTPException(413, self._refusal[0])
            return message

        await self._app(scope, limited, send)

    @property
    def _refusal(self) -> tuple[str, str]:
        return f"The body has more than {self._most:,} bytes.", "Send it in parts."


def _is_local(url: str) -> bool:
    try:
        return urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1")
    except ValueError:  # a bracket that does not close
        return False
