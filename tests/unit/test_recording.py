"""``record(using=…)`` with storages that write in transactions of their own: the advice, and nothing stored."""

from __future__ import annotations

from pathlib import Path

import pytest

from tk_analytics_mw import Analytics
from tk_analytics_mw.errors import ConfigurationError


@pytest.mark.parametrize("url", ["sqlite:///{}/analytics.db", "memory://"])
def test_a_transaction_that_the_storage_cannot_join_is_refused(url: str, tmp_path: Path) -> None:
    analytics = Analytics(storage=url.format(tmp_path))
    called = []
    analytics.on()(called.append)
    with pytest.raises(ConfigurationError, match="needs a storage in the host's own database, of Django or SQLAlchemy"):
        analytics.record("product ordered", using="default", org_id="acme", session_id="s-1")
    kept = analytics.record("product ordered", org_id="acme", session_id="s-1")
    assert called == [kept]
    assert analytics.find_parts().storage.reader.last_position() == 1  # type: ignore[attr-defined]
    analytics.close()
