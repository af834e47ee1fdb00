"""A Flask application from a factory: its durable functions need the application's context."""

import os
import time
from pathlib import Path

from flask import Flask, current_app

from tk_analytics_mw import Analytics, Event, Retry

analytics = Analytics()


def note(text: str) -> None:
    with Path(current_app.config["NOTES"]).open("a") as notes:
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


def create_app() -> Flask:
    app = Flask(__name__)
    app.config["NOTES"] = os.environ["NOTES"]
    app.config["TK_ANALYTICS"] = {"storage": os.environ["STORAGE"]}
    analytics.init_app(app)
    return app


def without_analytics() -> Flask:
    return Flask(__name__)
