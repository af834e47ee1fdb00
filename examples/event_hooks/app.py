"""What a shop does with events: stock is reserved on cart-add; on ordered a confirmation goes out, and the staff hears.

Run it with ``gunicorn --threads 4 app:app`` in this folder, and beside it ``flask --app app tk-analytics deliver``.
The shop's own tables are in ``shop.db``, or where ``SHOP_DATABASE`` says.
"""

import asyncio
import os
import sqlite3
from contextlib import closing

from flask import Flask, current_app

from tk_analytics_mw import Analytics, Delivery, Event, EventType, PrivateToken, PublicToken, Reject

analytics = Analytics(
    tokens=[
        PublicToken("pub-demo-c26f90a1d8e4", org_id="acme", domains=["shop.example.com"]),
        PrivateToken("prv-demo-3b75e1f60c9a", org_id="acme"),
    ]
)


def database() -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(current_app.config["SHOP_DATABASE"], isolation_level=None))


@analytics.before_store
def know_the_product(event: Event) -> Event:
    """Seen before it is stored: refused with 422, or enriched."""
    if event.event_type != EventType.CART_ADD:
        return event
    with database() as shop:
        found = shop.execute("SELECT price FROM stock WHERE sku = ?", (event.asset_id,)).fetchone()
    if found is None:
        raise Reject("there is no such product")
    return event.with_metadata(price=found[0])


@analytics.on(EventType.CART_ADD, when="inline")
def reserve_stock(event: Event) -> None:
    """Before the answer: when the page has its 200, the stock is reserved. It runs in Flask's app context."""
    with database() as shop:
        shop.execute("UPDATE stock SET reserved = reserved + ? WHERE sku = ?", (event.metric, event.asset_id))


@analytics.on(EventType.ORDERED)
async def tell_the_staff(event: Event) -> None:
    """After the answer, and async in a WSGI application: however long the chat takes, no shopper waits."""
    await asyncio.sleep(0.01)  # the chat
    with database() as shop:
        shop.execute("INSERT INTO chat (text) VALUES (?)", (f"an order of {event.metric:.2f} EUR",))


@analytics.on(EventType.ORDERED, durable=True, name="confirmation-mail")
def confirm(event: Event, delivery: Delivery) -> None:
    """At least once, whatever crashes: ``tk-analytics deliver`` calls it until it succeeds. Ids tell repetitions."""
    with database() as shop:
        shop.execute(
            "INSERT OR IGNORE INTO confirmations (delivery_id, text) VALUES (?, ?)",
            (delivery.id, f"{event.metric:.2f} EUR"),
        )


def create_app() -> Flask:
    app = Flask(__name__)
    app.config["SHOP_DATABASE"] = os.environ.get("SHOP_DATABASE", "shop.db")
    analytics.init_app(app)
    with app.app_context(), database() as shop:
        shop.execute("CREATE TABLE IF NOT EXISTS stock (sku TEXT PRIMARY KEY, price REAL, reserved REAL DEFAULT 0)")
        shop.execute("CREATE TABLE IF NOT EXISTS chat (text TEXT)")
        shop.execute("CREATE TABLE IF NOT EXISTS confirmations (delivery_id TEXT PRIMARY KEY, text TEXT)")
        shop.execute("INSERT OR IGNORE INTO stock (sku, price) VALUES ('lounge-chair', 349.5)")
    return app


app = create_app()
