"""Our own authenticators, and that of the example, are as the conformance kit says."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from tk_analytics_mw import Principal
from tk_analytics_mw.testing import AuthenticatorSuite, Presented

EXAMPLE = Path(__file__).parents[2] / "examples" / "custom_authenticator" / "app.py"


class TestCustomerKeys(AuthenticatorSuite):
    @pytest.fixture
    def presented(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Presented:
        monkeypatch.chdir(tmp_path)
        made = runpy.run_path(str(EXAMPLE))
        page = {"Origin": "https://shop.example.com"}
        return Presented(
            made["CustomerKeys"](),
            good={"acme": ({"X-Api-Key": "key-of-acme-62d1"}, "")},
            bad=(
                ({"X-Api-Key": "key-of-late-payer-07b9"}, ""),
                ({"Origin": "https://evil.example"}, "shop=acme"),
                (page, "shop=nobody"),
                ({"X-Api-Key": "key-of-acme-62d1", **page}, ""),
            ),
        )


class TestOfAPage(AuthenticatorSuite):
    """A plain function, a public principal, and a database that is away."""

    @pytest.fixture
    def presented(self) -> Presented:
        def of_page(request: Any) -> Principal | None:
            if request.query("shop") == ["acme"]:
                return Principal("acme", kind="public", domains=("shop.example.com",))
            return None

        def away(request: Any) -> Principal | None:
            raise OSError("the database is away")

        return Presented(of_page, good={"acme": ({"Origin": "https://shop.example.com"}, "shop=acme")}, away=away)
