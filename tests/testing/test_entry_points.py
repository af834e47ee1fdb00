"""Another package adds a storage and an authenticator, by being installed."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.making import run_script
from tk_analytics_mw import Analytics, ConfigurationError

MODULE = """
from tk_analytics_mw import Principal
from tk_analytics_mw.storage.memory import MemoryStorage


class MonoStorage(MemoryStorage):
    def __init__(self, url, *, durability, commit_timeout):
        super().__init__()
        self.url, self.durability, self.commit_timeout = url, durability, commit_timeout


def broken(url, **options):
    raise OSError(f"cannot reach {url}")


class Keys:
    def authenticate(self, request):
        return Principal("acme") if request.headers.get("x-key") == "secret" else None
"""
ENTRY_POINTS = """
[tk_analytics_mw.storages]
mono+test = mono_for_a_test:MonoStorage
broken = mono_for_a_test:broken
gone = mono_for_a_test:Gone
notone = mono_for_a_test:Keys.authenticate

[tk_analytics_mw.authenticators]
mono = mono_for_a_test:Keys
"""


def install(folder: Path, name: str = "mono-for-a-test") -> None:
    """Put a package where an installer would."""
    (folder / "mono_for_a_test.py").write_text(MODULE)
    metadata = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    install(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("mono_for_a_test", None)


def test_a_scheme_of_another_package_makes_its_storage(installed: Path) -> None:
    analytics = Analytics(storage="Mono+Test://shop:hunter2@host/events?x=1", durability="relaxed", commit_timeout=2)
    storage = analytics.find_parts().storage
    assert vars(storage).items() >= {
        ("url", "Mono+Test://shop:hunter2@host/events?x=1"),
        ("durability", "relaxed"),
        ("commit_timeout", 2.0),
    }
    event = analytics.record("product ordered", org_id="acme", session_id="s-1")
    assert storage.events == [event]  # type: ignore[attr-defined]


def test_an_authenticator_of_another_package_is_named(installed: Path) -> None:
    analytics = Analytics(storage="memory://", authenticator="mono")
    [asked] = analytics.find_parts().authenticators
    assert type(asked.authenticate.__self__).__name__ == "Keys"  # type: ignore[attr-defined]


def test_a_package_is_loaded_when_it_is_asked_for_and_not_before(installed: Path) -> None:
    script = f"""
    import sys
    sys.path.insert(0, {str(installed)!r})
    from tk_analytics_mw import Analytics
    Analytics(), Analytics(storage="memory://")
    print("mono_for_a_test" in sys.modules, "importlib.metadata" in sys.modules)
    Analytics(storage="mono+test://")
    print("mono_for_a_test" in sys.modules)
    """
    assert run_script(script).split()[0] == "False"
    assert run_script(script).split()[-1] == "True"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            {"storage": "no-such://hunter2@x"},
            (
                "known: sqlite, memory, clickhouse, clickhouse+chdb, postgresql, mysql, mariadb, broken, django, gone, "
                "mono+test, notone. Further ones"
            ),
        ),
        ({"storage": "broken://hunter2@x"}, "broken = mono_for_a_test:broken of mono-for-a-test fails with OSError"),
        ({"storage": "gone://hunter2@x"}, "gone = mono_for_a_test:Gone of mono-for-a-test cannot be loaded"),
        ({"authenticator": "hunter"}, "authenticator: there is no 'hunter'; known: mono"),
    ],
    ids=str,
)
def test_what_does_not_work_names_the_entry_point_and_no_password(
    installed: Path, options: dict[str, str], told: str
) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(told)) as caught:
        Analytics(**options)  # type: ignore[arg-type]
    assert "hunter2" not in str(caught.value)
    assert f"tk_analytics_mw.{next(iter(options))}s" in str(caught.value) or "entry point" in str(caught.value)


def test_two_packages_with_one_name_are_told_apart_by_nobody(installed: Path, tmp_path: Path) -> None:
    install(tmp_path, "another-one")
    with pytest.raises(ConfigurationError, match=r"several packages.*another-one, mono-for-a-test"):
        Analytics(storage="mono+test://")
