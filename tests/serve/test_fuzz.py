"""The OpenAPI description: complete, and kept to, whatever schemathesis makes of it."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import CheckFunction
from schemathesis.specs.openapi import checks

from kgt import Settings
from kgt.serve.app import create_app
from kgt.serve.service import Service
from kgt.serve.settings import Serving

from .conftest import Server

# What a schema cannot say (a query of spaces, an edit that is not there, facts that contradict) is refused, too.
UNSAID: list[CheckFunction] = [checks.positive_data_acceptance, checks.ensure_resource_availability]
NO_MODEL = r"^/(api/(facts|edits|undo|export|import|me)|healthz|readyz|metrics)"


def description() -> dict[str, Any]:
    with closing(Service(Settings(db=":memory:"))) as service:
        return create_app(service, Serving()).openapi()


def without_keys(described: dict[str, Any]) -> dict[str, Any]:
    """Every request here has a valid key; `test_isolation` sends none and wrong ones."""
    for operations in described["paths"].values():
        for operation in operations.values():
            operation.pop("security", None)
    return described


REFUSED = [400, 401, 403, 404, 405, 409, 413, 422]
config = schemathesis.Config.from_dict({"checks": {"negative_data_rejection": {"expected-statuses": REFUSED}}})
schema = schemathesis.openapi.from_dict(without_keys(description()), config=config)


def often(examples: int) -> settings:
    unhealthy = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.function_scoped_fixture]
    return settings(
        max_examples=examples, deadline=None, derandomize=True, database=None, suppress_health_check=unhealthy
    )


@pytest.fixture
def key(server: Server) -> str:
    """Of a user who has a few facts."""
    key = server.key("fuzz")
    with server.client(key) as http:
        for town in ("Lisbon", "Oslo"):
            triples = [{"subject": "my sister", "relation": "lives in", "object": town}]
            http.post("/api/facts", json={"triples": triples}).raise_for_status()
    return key


@schema.include(path_regex=NO_MODEL).parametrize()
@often(40)
def test_routes_of_the_graph_keep_to_the_description(case: schemathesis.Case, server: Server, key: str) -> None:
    case.call_and_validate(server.url, headers={"Authorization": f"Bearer {key}"}, excluded_checks=UNSAID)


@schema.exclude(path_regex=NO_MODEL).parametrize()
@often(6)
def test_routes_of_the_model_keep_to_the_description(case: schemathesis.Case, server: Server, key: str) -> None:
    case.call_and_validate(server.url, headers={"Authorization": f"Bearer {key}"}, excluded_checks=UNSAID)


def test_everything_has_an_example() -> None:
    described = description()
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            where = f"{method} {path}"
            assert operation.get("description"), where
            for parameter in operation.get("parameters", []):
                assert {"examples", "default"} & parameter["schema"].keys(), f"{where}: {parameter['name']}"
            bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
            for kind, content in [pair for body in bodies for pair in body.get("content", {}).items()]:
                assert "example" in content, f"{where}: {kind}"
            for status, response in operation["responses"].items():
                assert status < "400" or list(response["content"]) == ["application/problem+json"], where
