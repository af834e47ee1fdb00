"""A Flask shop with Flask-SQLAlchemy: its engine is the storage, and an order and its event are one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import Result
from flask import Flask, request
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import Mapped, mapped_column

from tests.databases.postgresql import PostgreSQL
from tests.hosts.base import EVENTS, PRIVATE, an_event, default_options
from tk_analytics_mw import Analytics, ConfigurationError, Event
from tk_analytics_mw.flask_commands import commands

AS_SERVER = {"Authorization": f"Bearer {PRIVATE}"}


class Shop:
    """The shop: ``POST /orders`` keeps an order and its event, and fails if it is told to."""

    def __init__(self, url: str) -> None:
        self.app = Flask("shop")
        self.app.config.update(SQLALCHEMY_DATABASE_URI=url.replace("postgresql:", "postgresql+psycopg:"))
        self.db = db = SQLAlchemy(self.app)
        self.seen: list[tuple[str, int]] = []
        self.delivered: list[str] = []

        class Order(db.Model):  # type: ignore[name-defined, misc]
            id: Mapped[int] = mapped_column(primary_key=True)

        self.order = Order
        with self.app.app_context():
            db.create_all()
            self.analytics = Analytics(storage=db.engine, **default_options())
        self.analytics.init_app(self.app)

        @self.analytics.on("product ordered")
        def after(event: Event) -> None:
            self.seen.append((event.session_id, self.orders()))

        @self.analytics.on("product ordered", durable=True, name="mail")
        def mail(event: Event, delivery: Any) -> None:
            self.delivered.append(event.session_id)

        @self.app.post("/orders/<int:number>")
        def order(number: int) -> str:
            db.session.add(Order(id=number))
            self.analytics.record(
                "product ordered", using=db.session, org_id="acme", session_id=f"s-{number}", metric=9.5
            )
            if "fail" in request.args:
                raise RuntimeError("the payment was refused")
            db.session.commit()
            return "thank you"

    def orders(self) -> int:
        return self.db.session.query(self.order).count()

    def buy(self, number: int, *, fail: bool = False) -> int:
        return self.app.test_client().post(f"/orders/{number}{'?fail' if fail else ''}").status_code

    def close(self) -> None:
        self.analytics.close()
        with self.app.app_context():
            self.db.engine.dispose()


@pytest.fixture
def shop(postgresql: PostgreSQL) -> Iterator[Shop]:
    made = Shop(postgresql.fresh())
    yield made
    made.close()


def test_an_order_and_its_event_are_kept_together_and_hooks_find_both(shop: Shop) -> None:
    assert shop.buy(1) == 200
    assert shop.seen == [("s-1", 1)]
    shop.analytics.deliver(once=True)
    assert shop.delivered == ["s-1"]


def test_an_order_that_fails_leaves_neither_it_nor_its_event(shop: Shop) -> None:
    assert shop.buy(1, fail=True) == 500
    assert shop.buy(2) == 200
    assert shop.seen == [("s-2", 1)]
    shop.analytics.deliver(once=True)
    assert shop.delivered == ["s-2"]
    with shop.app.app_context():
        assert shop.orders() == 1


def test_browsers_events_go_into_the_same_database(shop: Shop) -> None:
    answer = shop.app.test_client().post(EVENTS, json=an_event(eventType="product ordered"), headers=AS_SERVER)
    assert answer.status_code == 200
    again = shop.app.test_client().post(EVENTS, json=an_event(), headers={**AS_SERVER, "Idempotency-Key": "k"})
    repeated = shop.app.test_client().post(EVENTS, json=an_event(), headers={**AS_SERVER, "Idempotency-Key": "k"})
    assert again.json == repeated.json
    assert again.json["id"] != answer.json["id"]


def test_without_tables_a_create_is_503_and_the_log_says_what_to_run(
    postgresql: PostgreSQL, caplog: pytest.LogCaptureFixture
) -> None:
    app = Flask("shop")
    analytics = Analytics(storage=postgresql.fresh(migrated=False), **default_options())
    analytics.init_app(app)
    refused = app.test_client().post(EVENTS, json=an_event(), headers=AS_SERVER)
    assert refused.status_code == 503
    assert refused.headers["Retry-After"]
    assert "flask tk-analytics migrate" in caplog.text

    def run(*words: str) -> Result:
        return app.test_cli_runner().invoke(commands, words)

    assert "pending 0001 Create the tables." in run("migrate", "--check").output
    assert run("migrate", "--check").exit_code == 1
    examined = run("doctor", "--no-event")
    assert examined.exit_code == 1
    assert "the tables are missing or old: 0001 Create the tables." in examined.output
    done = run("migrate", "--json")
    assert done.output.strip() == '{"applied": ["0001 Create the tables."], "pending": []}'
    assert "up to date" in run("migrate").output
    assert app.test_client().post(EVENTS, json=an_event(), headers=AS_SERVER).status_code == 200
    analytics.close()


def test_a_server_that_is_away_is_503_and_its_password_is_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    app = Flask("shop")
    analytics = Analytics(storage="postgresql://shop:very-secret@127.0.0.1:1/shop", **default_options())
    analytics.init_app(app)
    refused = app.test_client().post(EVENTS, json=an_event(), headers=AS_SERVER)
    assert refused.status_code == 503
    examined = app.test_cli_runner().invoke(commands, ["doctor", "--no-event"])
    everything = caplog.text + refused.text + examined.output + repr(analytics.find_parts())
    assert "127.0.0.1" in caplog.text
    assert "very-secret" not in everything


@pytest.mark.parametrize(
    ("what", "says"),
    [
        (lambda: "postgresql://shop:very-secret@host", "names no database"),
        (lambda: "postgresql://shop:very-secret@host:port/x", "no URL of SQLAlchemy"),
        (lambda: "postgresql+pg9000://shop:very-secret@host/x", r"pip install .tk_analytics_mw\[postgres\]"),
        (lambda: __import__("sqlalchemy").create_engine("sqlite://"), "for SQLite write sqlite:///"),
        (
            lambda: __import__("sqlalchemy.ext.asyncio").ext.asyncio.create_async_engine("postgresql+psycopg://h/x"),
            "AsyncEngine",
        ),
    ],
)
def test_what_is_no_database_for_it_is_said_at_start_up(what: Callable[[], Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as caught:
        Analytics(storage=what())
    assert "very-secret" not in str(caught.value)
