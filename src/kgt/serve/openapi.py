"""The API's description: FastAPI's, with problems in their own media type and an example of everything."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from fastapi import FastAPI

from kgt.serve.problems import MEDIA_TYPE, METHODS

Json = dict[str, Any]


def describe(app: FastAPI) -> None:
    """Have the application describe itself so."""
    written = app.openapi

    def openapi() -> Json:
        if app.openapi_schema is None:
            description = written()
            schemas = description["components"]["schemas"]
            schemas.pop("HTTPValidationError", None)  # a Problem, here
            schemas.pop("ValidationError", None)
            for path in description["paths"].values():
                for method in METHODS:
                    _complete(path.get(method.lower(), {}), schemas)
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign]


def _complete(operation: Json, schemas: Json) -> None:
    for status, response in operation.get("responses", {}).items():
        content = response.get("content", {})
        if status >= "400" and content:
            shown = next(one for one in content.values() if "schema" in one)
            response["content"] = content = {MEDIA_TYPE: {"schema": shown["schema"], "example": _problem(status)}}
        _exemplify(content, schemas)
    _exemplify(operation.get("requestBody", {}).get("content", {}), schemas)


def _exemplify(content: Json, schemas: Json) -> None:
    for shown in content.values():
        if "schema" in shown and "example" not in shown:
            with suppress(LookupError):
                shown["example"] = example(shown["schema"], schemas)


def example(schema: Json, schemas: Json) -> Any:
    """A value that a JSON schema describes, put together from the examples and defaults of its parts.

    Raises:
        LookupError: a part has neither.
    """
    if "$ref" in schema:
        return example(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    if schema.get("examples"):
        return schema["examples"][0]
    for known in ("default", "const"):
        if known in schema:
            return schema[known]
    if "properties" in schema:
        return dict(_parts(schema, schemas))
    if "items" in schema:
        return [example(schema["items"], schemas)]
    if "anyOf" in schema:
        return example(schema["anyOf"][0], schemas)
    raise LookupError(f"No example: {schema}")


def _parts(schema: Json, schemas: Json) -> Iterator[tuple[str, Any]]:
    """The properties; of those that need not be given, only such as have an example of their own."""
    for name, part in schema["properties"].items():
        try:
            yield name, example(part, schemas)
        except LookupError:
            if name in schema.get("required", []):
                raise


def _problem(status: str) -> Json:
    title, detail, hint = _PROBLEMS[status]
    told = {"title": title, "status": int(status), "detail": detail, "hint": hint}
    return {"type": "about:blank", **told, "request_id": "3f1c9a52b0d84c1f"}


_PROBLEMS = {
    "400": ("Bad Request", "The query is empty.", "Ask a question."),
    "401": ("Unauthorized", "This server needs an API key.", "Send `Authorization: Bearer kgt_…`."),
    "403": ("Forbidden", "This key is 'ana''s and may not act for another user.", "Leave the user out."),
    "404": ("Not Found", "User 'ana' has no edit 7.", "`kgt history` lists the edits and their ids."),
    "409": (
        "Conflict",
        "This idempotency key was used for another request.",
        "Use a new key for a new request.",
    ),
    "413": ("Content Too Large", "The body has more than 2,000,000 bytes.", "Send it in parts."),
    "422": ("Unprocessable Content", "query: Field required.", "See /docs for what this route takes."),
    "429": ("Too Many Requests", "More than 600 requests in a minute.", "Try again in 7 s."),
    "502": ("Bad Gateway", "http://127.0.0.1:9/v1 does not answer.", "Try again; what was learnt is kept."),
    "503": ("Service Unavailable", "graph.db: database is locked.", "Another process is writing to it."),
    "507": ("Insufficient Storage", "graph.db: database or disk is full.", "Free some space on the disk."),
}
