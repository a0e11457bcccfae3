"""How the server runs: arguments of `kgt serve`, or KGT_* variables."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Serving:
    """What only the server has settings for.

    Attributes:
        rate: requests of one user in a minute; 0 is no limit.
        max_body: bytes of a request.
        cors: origins whose pages may call the server; none by default.
        upstream: base URL of an OpenAI-compatible server that answers in this one's place.
        upstream_model: the model to ask it for; the client's choice, if empty.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    rate: int = 600
    max_body: int = 2_000_000
    cors: tuple[str, ...] = ()
    upstream: str = ""
    upstream_model: str = ""
    upstream_key: str = field(default="", repr=False)
