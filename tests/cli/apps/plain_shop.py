"""An Analytics and no framework."""

import os
from pathlib import Path

from orders import register

from tk_analytics_mw import Analytics

analytics = Analytics()
unrelated = 5


def note(text: str) -> None:
    with Path(os.environ["NOTES"]).open("a") as notes:
        notes.write(text + "\n")


async def note_async(text: str) -> None:
    note(text)


register(analytics, note, note_async)
