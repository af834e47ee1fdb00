"""The description of the API, and an attack on the API by its own description, over WSGI and ASGI."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode

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


@pytest.mark.parametrize("mode", [*GenerationMode], ids=lambda mode: str(mode.value))
@pytest.mark.parametrize("protocol", ["wsgi", "asgi"])
@pytest.mark.parametrize(("method", "below"), OPERATIONS, ids=" ".join)
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
        case.call_and_validate(headers={"Authorization": f"Bearer {PRIVATE}"})

    attack()
