"""The description of the API, and an attack on the API by its own description, over WSGI and ASGI."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from tests.hosts.base import PRIVATE, default_options
from tk_analytics_mw import Analytics
from tk_analytics_mw.openapi import OPERATIONS, document
from tk_analytics_mw.routes import ROUTES

EXAMPLES = 25
"""Requests an operation and protocol: some ten seconds in all."""

DESCRIPTION = "/api/analytics/openapi.json"


def test_every_route_is_described() -> None:
    routed = {(method, path) for path, methods in ROUTES.items() for method in methods if method != "HEAD"}
    assert routed == {*OPERATIONS}


def test_every_operation_says_what_it_is() -> None:
    for path in document("/api/analytics")["paths"].values():
        for operation in path.values():
            assert operation["summary"]
            assert operation["description"].endswith(".")
            assert "security" in operation


@pytest.fixture
def analytics(tmp_path: Path) -> Iterator[Analytics]:
    made = Analytics(storage=f"sqlite:///{tmp_path}/analytics.db", **default_options())
    for number in range(5):
        made.record("product ordered", org_id="acme", session_id=f"s-{number % 2}", asset_id="chair")
    yield made
    made.close()


# Two checks are left out, because the contract is wider than a schema can say: null means absent, also in a query; a
# batch is answered with 200 and a status for each event; which event types there are is the host's own affair; and
# two dates can each be valid but not in this order. tests/contract has those.
LEFT_OUT = [negative_data_rejection, positive_data_acceptance]

ATTACKS = [
    (method, below, mode)
    for (method, below), operation in OPERATIONS.items()
    for mode in GenerationMode
    if mode is GenerationMode.POSITIVE or operation.get("parameters")  # nothing to get wrong
]


@pytest.mark.parametrize("protocol", ["wsgi", "asgi"])
@pytest.mark.parametrize(("method", "below", "mode"), ATTACKS)
def test_schemathesis_finds_nothing(
    analytics: Analytics, protocol: str, method: str, below: str, mode: GenerationMode
) -> None:
    if protocol == "wsgi":
        schema = schemathesis.openapi.from_wsgi(DESCRIPTION, analytics.wsgi())
    else:
        schema = schemathesis.openapi.from_asgi(DESCRIPTION, analytics.asgi())
    operation = schema["/" + below.replace(":path}", "}")][method]

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[*HealthCheck], database=None)
    def attack(case: Any) -> None:
        case.call_and_validate(headers={"Authorization": f"Bearer {PRIVATE}"}, excluded_checks=LEFT_OUT)

    attack()
