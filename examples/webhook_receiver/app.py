"""The other end: an application that receives the shop's webhooks, and takes each of them once.

Run it with ``gunicorn app:app`` in this folder, ``WEBHOOK_SECRET`` in the environment: what
``tk-analytics webhook secret`` printed, and the shop has too. What it received is in ``orders.db``, or where
``ORDERS_DATABASE`` says.
"""

import os
import sqlite3
from contextlib import closing

from flask import Flask, request
from standardwebhooks import Webhook, WebhookVerificationError

app = Flask(__name__)
signed = Webhook(os.environ["WEBHOOK_SECRET"])
database = os.environ.get("ORDERS_DATABASE", "orders.db")

with closing(sqlite3.connect(database)) as connection:
    connection.execute("CREATE TABLE IF NOT EXISTS seen (webhook_id TEXT PRIMARY KEY)")
    connection.execute("CREATE TABLE IF NOT EXISTS orders (event_id TEXT, total REAL)")


@app.post("/webhooks")
def receive() -> tuple[str, int]:
    try:
        # The bytes as they came: JSON that was parsed and written again has another signature.
        message = signed.verify(request.get_data(), dict(request.headers))
    except (WebhookVerificationError, ValueError):  # the latter of headers that are nonsense
        return "", 401
    # Deliveries come at least once. In one transaction with what is done for it, the id says which ones are new.
    with closing(sqlite3.connect(database)) as orders, orders:
        new = orders.execute("INSERT OR IGNORE INTO seen VALUES (?)", (request.headers["Webhook-Id"],)).rowcount
        if new and message["type"] == "product ordered":
            orders.execute("INSERT INTO orders VALUES (?, ?)", (message["data"]["id"], message["data"]["metric"]))
    return "", 204
