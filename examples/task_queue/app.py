"""A shop that has a task queue already: an order's event puts a task into dramatiq, and a worker sends the mail.

Run it with ``uvicorn app:app`` in this folder. The broker is dramatiq's in-memory one, with a worker in the same
process; a shop has ``dramatiq.brokers.redis`` or ``.rabbitmq`` here, and starts its workers with ``dramatiq app``.
"""

import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

import dramatiq
from dramatiq.brokers.stub import StubBroker
from fastapi import FastAPI

from tk_analytics_mw import Analytics, Delivery, Event, EventType, PrivateToken

broker = StubBroker()
dramatiq.set_broker(broker)

analytics = Analytics(tokens=[PrivateToken("prv-demo-71f0c9be24ad", org_id="acme")], deliver_in_process=True)


def database() -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(os.environ.get("SHOP_DATABASE", "shop.db"), isolation_level=None))


@dramatiq.actor(max_retries=5, min_backoff=100)
def send_confirmation(event_id: str, order: int) -> None:
    """The task. It may come twice, as in every queue: the id says that this mail is on its way already."""
    with database() as shop:
        shop.execute("INSERT OR IGNORE INTO mails (event_id, order_number) VALUES (?, ?)", (event_id, order))


@analytics.on(EventType.ORDERED, durable=True, name="task-queue")
def enqueue(event: Event, delivery: Delivery) -> None:
    """Durable, so that an order is not forgotten while the broker is away: this raises then, and is called again.

    The message holds ids, not the event: what is personal stays in the database.
    """
    send_confirmation.send(event.id, (event.event_metadata or {})["order"])


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    with database() as shop:
        shop.execute("CREATE TABLE IF NOT EXISTS mails (event_id TEXT PRIMARY KEY, order_number INTEGER)")
    worker = dramatiq.Worker(broker, worker_threads=2)
    worker.start()
    yield
    worker.stop()


app = FastAPI(title="Shop", lifespan=lifespan)
analytics.install(app)
