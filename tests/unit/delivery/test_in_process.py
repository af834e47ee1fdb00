"""Small sites deliver in the process that stores."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from tests.unit.making import ROOT
from tk_analytics_mw import Analytics, Event, EventType
from tk_analytics_mw.storage.outbox import Delivery, DeliveryQuery
from tk_analytics_mw.storage.sqlite import SqliteStorage


def test_a_small_site_delivers_in_the_process_that_stores(tmp_path: Path, eventually: Callable[..., None]) -> None:
    analytics = Analytics(storage=f"sqlite:///{tmp_path}/analytics.db", deliver_in_process=True)
    calls = []

    @analytics.on(durable=True, name="mail")
    def function(event: Event, delivery: Delivery) -> None:
        calls.append(event.id)

    before = threading.active_count()
    event = analytics.record(EventType.ORDERED, org_id="acme", session_id="s")
    eventually(lambda: calls)
    assert calls == [event.id]
    analytics.close()
    assert threading.active_count() == before, "closing ends its threads"
    further = analytics.record(EventType.ORDERED, org_id="acme", session_id="s")
    eventually(lambda: len(calls) == 2)
    assert calls[1] == further.id
    analytics.close()


def test_a_process_that_ends_lets_the_call_under_way_end_first(tmp_path: Path) -> None:
    script = f"""
import threading, time
from tk_analytics_mw import Analytics, EventType
analytics = Analytics(storage="sqlite:///{tmp_path}/analytics.db", deliver_in_process=True)
began = threading.Event()

@analytics.on(durable=True, name="mail")
def function(event, delivery):
    print("began", flush=True)
    began.set()
    time.sleep(0.3)
    print("ended", flush=True)

analytics.record(EventType.ORDERED, org_id="acme", session_id="s")
began.wait()
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "began\nended\n"
    assert "Error" not in done.stderr
    storage = SqliteStorage(tmp_path / "analytics.db")
    assert [row.state for row in storage.outbox.find(DeliveryQuery(), limit=5)] == ["delivered"]
    storage.close()
