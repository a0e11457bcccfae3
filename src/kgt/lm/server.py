"""Requests to a server of the OpenAI kind: one reused connection, retries, and errors in words."""

from __future__ import annotations

import json
import random
import re
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2 as httpx

from kgt.errors import BadInput, ModelError

WAITS = (0.25, 0.5, 1.0, 2.0)
"""Seconds before each further attempt, where the server is busy, failing or not there; shuffled a little."""
LONGEST_WAIT = 30.0
"""Most seconds that a server's own Retry-After is heeded."""
TIMEOUT = 120.0
"""Seconds without a byte from the server."""

_TOO_LONG = re.compile(r"context (?:length|window|size)|too (?:long|many tokens)|exceeds? .*(?:context|tokens)", re.I)


class Refused(ModelError):
    """The server understood the request and said no.

    Attributes:
        status: its HTTP status.
    """

    def __init__(self, status: int, message: str, hint: str) -> None:
        super().__init__(message, hint)
        self.status = status


class Server:
    """A server's API.

    Args:
        address: up to and including /v1.
        api_key: sent as a bearer token where given; it appears in no message.

    Raises:
        ModelError: the server is not there, keeps failing, refuses (`Refused`), or does not answer in JSON.
        BadInput: a text is longer than the model's context.
    """

    def __init__(self, address: str, api_key: str = "", *, timeout: float = TIMEOUT) -> None:
        self.address = address.rstrip("/")
        self._key = api_key
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._client = httpx.Client(headers=headers, timeout=httpx.Timeout(timeout, connect=5.0))
        weakref.finalize(self, self._client.close)

    def post(self, path: str, body: dict[str, Any], *, attempts: int = len(WAITS) + 1) -> Any:
        """The JSON that answers a request; a path that starts with / is under the host, not under /v1."""
        with self._answer("POST", path, body, attempts) as response:
            return self._json(response.content)

    def get(self, path: str) -> Any:
        """The JSON at a path."""
        with self._answer("GET", path) as response:
            return self._json(response.content)

    def events(self, path: str, body: dict[str, Any]) -> Iterator[Any]:
        """The JSON of each event that a request streams; leaving the loop closes the stream."""
        with self._answer("POST", path, body, whole=False) as response:
            try:
                for line in response.iter_lines():
                    data = line.removeprefix("data:").strip()
                    if data == "[DONE]":
                        return
                    if line.startswith("data:"):
                        yield self._json(data.encode())
            except httpx.TransportError as error:
                raise self._unreachable(error) from error

    @contextmanager
    def _answer(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        attempts: int = len(WAITS) + 1,
        *,
        whole: bool = True,
    ) -> Iterator[httpx.Response]:
        """A successful response, after as many attempts as it takes; `whole` ones are read to their end."""
        url = self._host() + path if path.startswith("/") else f"{self.address}/{path}"
        for attempt in range(attempts):
            last = attempt == attempts - 1
            wait = WAITS[min(attempt, len(WAITS) - 1)] * random.uniform(0.8, 1.2)
            try:
                response = self._client.send(self._client.build_request(method, url, json=body), stream=True)
                if whole or response.status_code >= 400:
                    response.read()
            except httpx.InvalidURL as error:
                raise ModelError(f"{self.address!r} is no address: {error}", "Write http://host:8000/v1.") from error
            except httpx.TransportError as error:
                if last:
                    raise self._unreachable(error) from error
            else:
                try:
                    if response.status_code < 400:
                        yield response
                        return
                    if last or not (response.status_code == 429 or response.status_code >= 500):
                        raise self._refusal(response)
                    asked = response.headers.get("Retry-After", "")
                    wait = min(float(asked), LONGEST_WAIT) if asked.isdecimal() else wait
                finally:
                    response.close()
            time.sleep(wait)

    def _host(self) -> str:
        url = httpx.URL(self.address)
        return str(url.copy_with(raw_path=b"/")).rstrip("/")

    def _refusal(self, response: httpx.Response) -> ModelError | BadInput:
        status, said = response.status_code, self._said(response)
        if status in (401, 403):
            state = "refuses the API key" if self._key else "wants an API key"
            return Refused(status, f"{self.address} {state} ({status}).", "Set the variable KGT_API_KEY.")
        if _TOO_LONG.search(said):
            return BadInput(f"The server says: {said}", "Shorten the query or the conversation.")
        if status == 404:
            return Refused(
                status, f"{self.address} has no such thing (404): {said}", "Check the address and the model."
            )
        busy = status == 429 or status >= 500
        hint = "Try again later, or look into the server's log." if busy else "See the server's documentation."
        return Refused(status, f"{self.address} answered {status}: {said}", hint)

    def _said(self, response: httpx.Response) -> str:
        """The server's own message, without the key if it repeats it."""
        text = response.text
        try:
            found = json.loads(text)
            error = found.get("error", found) if isinstance(found, dict) else found
            text = str(error.get("message", error.get("detail", error)) if isinstance(error, dict) else error)
        except ValueError:
            pass
        text = " ".join(text.split())[:300] or "nothing"
        return text.replace(self._key, "…") if self._key else text

    def _unreachable(self, error: Exception) -> ModelError:
        why = str(error) or type(error).__name__
        return ModelError(f"{self.address} cannot be reached: {why}", "Start the server, or check the address.")

    def _json(self, data: bytes) -> Any:
        try:
            return json.loads(data)
        except ValueError as error:
            start = data[:60].decode("utf-8", "replace")
            raise ModelError(
                f"{self.address} did not answer in JSON but with {start!r}.", "Check the address: it ends in /v1."
            ) from error
