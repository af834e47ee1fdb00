"""The conformance kit as a package: what it needs, and who needs it."""

from __future__ import annotations

import inspect
import re

import pytest

from tests.docs.settings_table import README
from tests.unit.making import run_script
from tk_analytics_mw import testing

WITHOUT = """
import sys
sys.modules.update(pytest=None, hypothesis=None)
from tk_analytics_mw import Analytics
analytics = Analytics(storage="memory://")
analytics.record("product ordered", org_id="acme", session_id="s-1")
print("tk_analytics_mw.testing" in sys.modules)
from tk_analytics_mw.testing import AnalyticsRecorder
with AnalyticsRecorder(analytics) as recorder:
    analytics.record("product ordered", org_id="acme", session_id="s-2")
    print([event.session_id for event in recorder.events])
try:
    from tk_analytics_mw.testing import StorageSuite
except ImportError as error:
    print(error)
"""


def test_a_recorder_needs_no_pytest_and_a_suite_says_what_it_needs() -> None:
    used_by_the_package, events, told = run_script(WITHOUT).splitlines()
    assert used_by_the_package == "False"
    assert events == "['s-2']"
    assert 'StorageSuite needs pytest: pip install "tk_analytics_mw[testing]"' in told


@pytest.mark.parametrize("name", testing.__all__)
def test_everything_public_is_documented(name: str) -> None:
    assert inspect.getdoc(getattr(testing, name))
    assert re.search(rf"\b{name}\b", README.read_text())


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    assert dir(testing) == sorted(testing.__all__)
    with pytest.raises(AttributeError, match="StorageSweet"):
        testing.StorageSweet  # type: ignore[attr-defined]  # noqa: B018
