"""An Analytics and no framework: its durable functions write lines."""

import os
import time
from pathlib import Path

from tk_analytics_mw import Analytics, Event, Retry

analytics = Analytics()
unrelated = 5


def note(text: str) -> None:
    with Path(os.environ["NOTES"]).open("a") as notes:
        notes.write(text + "\n")


@analytics.on("product ordered", durable=True, name="plain")
def plain(event: Event, delivery: object) -> None:
    if event.session_id == "slow":
        note("begun")
        time.sleep(1.0)
    if event.session_id == "fail":
        raise Retry("the mail server is away", after=3600)
    note(f"plain {event.id}")


@analytics.on("product ordered", durable=True, name="async")
async def async_(event: Event, delivery: object) -> None:
    note(f"async {event.id}")
