"""What the server refuses at its door: too large, too many, and by a name that is not this machine's."""

from __future__ import annotations

import math
import time

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


class LocalNames:
    """Where no key is needed: a page elsewhere must not reach the local user's graph by a name that leads here."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        host = HTTPConnection(scope).url.hostname if scope["type"] in ("http", "websocket") else "localhost"
        if host in ("localhost", "127.0.0.1", "::1"):
            return await self._app(scope, receive, send)
        if scope["type"] == "websocket":
            return await send({"type": "websocket.close", "code": 1008})
        from kgt.serve.problems import problem

        refused = problem(Request(scope), 400, f"This server is not called {host!r}.", "Use http://localhost.")
        await refused(scope, receive, send)


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
