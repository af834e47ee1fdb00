"""A Flask application from a factory: its durable functions need the application's context."""

import os
from pathlib import Path

from flask import Flask, current_app
from orders import register

from tk_analytics_mw import Analytics

analytics = Analytics()


def note(text: str) -> None:
    with Path(current_app.config["NOTES"]).open("a") as notes:
        notes.write(text + "\n")


async def note_async(text: str) -> None:
    note(text)


register(analytics, note, note_async)


def create_app() -> Flask:
    app = Flask(__name__)
    app.config["NOTES"] = os.environ["NOTES"]
    app.config["TK_ANALYTICS"] = {"storage": os.environ["STORAGE"]}
    analytics.init_app(app)
    return app


def without_analytics() -> Flask:
    return Flask(__name__)
