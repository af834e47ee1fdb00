"""Events in transactions of the host's, of SQLAlchemy: stored with them or not at all; hooks after their commit."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, QueuePool, create_engine, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from tests.databases.mariadb import MariaDB
from tests.databases.postgresql import PostgreSQL
from tk_analytics_mw.errors import ConfigurationError, StorageUnavailable
from tk_analytics_mw.storage.outbox import Subscription
from tk_analytics_mw.storage.sql import SqlStorage
from tk_analytics_mw.storage.sql.engines import url_of
from tk_analytics_mw.storage.sql.schema import events
from tk_analytics_mw.testing.making import an_event, number_of

MAIL = Subscription("mail")


class Shop:
    """A host's own engine, our storage on the same database, and what its hooks have been told."""

    def __init__(self, url: str) -> None:
        self.engine = create_engine(url_of(url), pool_size=1, max_overflow=0, pool_timeout=5)
        self.storage = SqlStorage(url)
        self.told: list[int] = []
        with self.engine.begin() as connection:
            connection.execute(text("DROP TABLE IF EXISTS orders"))
            connection.execute(text("CREATE TABLE orders (id INT PRIMARY KEY)"))

    def write(self, transaction: Any, number: int, **fields: Any) -> Any:
        """Write an event in a transaction; its hook needs a connection of the host's."""
        return self.storage.write_within(
            transaction, [an_event(number, **fields)], [MAIL], then=lambda: self._hook(number)
        )

    def _hook(self, number: int) -> None:
        assert number in self.stored(), "it is durable before its hooks are called"
        self.told.append(number)

    def stored(self) -> dict[int, int | None]:
        """Positions by number, as others see them."""
        with self.storage._connections.reading() as connection:
            rows = connection.execute(select(events.c.id, events.c.position)).all()
        return {number_of(id_): position for id_, position in rows}

    def claimed(self) -> list[int]:
        """What a deliverer gets."""
        found = self.storage.outbox.claim("mail", owner="o", limit=9, now=1e9, until=2e9, ordered=False)
        return [number_of(each.event.id) for each in found]

    def close(self) -> None:
        self.storage.close()
        self.engine.dispose()


@pytest.fixture(params=["postgresql", "mariadb"])
def shop(request: pytest.FixtureRequest) -> Iterator[Shop]:
    server: PostgreSQL | MariaDB = request.getfixturevalue(request.param)
    made = Shop(server.emptied())
    yield made
    made.close()


@pytest.fixture
def on_postgresql(postgresql: PostgreSQL) -> Iterator[Shop]:
    made = Shop(postgresql.emptied())
    yield made
    made.close()


def test_a_session_that_commits_keeps_the_order_and_its_event(shop: Shop) -> None:
    with Session(shop.engine) as session:
        session.execute(text("INSERT INTO orders VALUES (1)"))
        assert shop.write(session, 1) is None
        assert shop.told == []
        assert shop.stored() == {}
        assert shop.claimed() == []
        session.commit()
        assert shop.told == [1]
    assert shop.stored() == {1: 1}
    assert shop.claimed() == [1]


def test_a_session_that_is_rolled_back_keeps_neither(shop: Shop) -> None:
    with Session(shop.engine) as session:
        shop.write(session, 1)
        session.rollback()
        shop.write(session, 2)
        session.commit()
        shop.write(session, 3)  # and is closed
    assert shop.told == [2]
    assert [*shop.stored()] == [2]
    assert shop.claimed() == [2]


def test_a_savepoint_that_is_rolled_back_takes_its_events_along(shop: Shop) -> None:
    with Session(shop.engine) as session:
        shop.write(session, 1)
        nested = session.begin_nested()
        shop.write(session, 2)
        with session.begin_nested():
            shop.write(session, 3)
        nested.rollback()
        with session.begin_nested():
            shop.write(session, 4)
        assert shop.told == []
        session.commit()
    assert shop.told == [1, 4]
    assert sorted(shop.stored()) == [1, 4]


def test_a_savepoint_that_is_rolled_back_in_words_does_too(shop: Shop) -> None:
    with Session(shop.engine) as session:
        session.execute(text("SAVEPOINT mine"))
        shop.write(session, 1)
        session.execute(text("ROLLBACK TO SAVEPOINT mine"))
        session.commit()
    assert (shop.told, shop.stored()) == ([], {})


def test_a_scoped_session_is_a_session(shop: Shop) -> None:
    session = scoped_session(sessionmaker(shop.engine))
    shop.write(session, 1)
    session.commit()
    session.remove()
    assert shop.told == [1]


def with_begin(engine: Engine, work: Callable[[Connection], object]) -> None:
    with engine.begin() as connection:
        work(connection)


def as_you_go(engine: Engine, work: Callable[[Connection], object]) -> None:
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        work(connection)
        connection.commit()


@pytest.mark.parametrize("way", [with_begin, as_you_go])
def test_a_connection_that_commits_keeps_both(shop: Shop, way: Callable[..., None]) -> None:
    way(shop.engine, lambda connection: shop.write(connection, 1))
    assert shop.told == [1]
    assert shop.stored() == {1: 1}


def test_a_connection_that_goes_on_calls_hooks_when_it_begins_anew(shop: Shop) -> None:
    with shop.engine.connect() as connection:
        for number in range(3):
            with connection.begin():
                shop.write(connection, number)
        transaction = connection.begin()
        shop.write(connection, 3)
        transaction.rollback()
    assert shop.told == [0, 1, 2]


def test_a_session_on_a_connection_whose_transaction_others_end_waits_for_them(shop: Shop) -> None:
    for number, commits in ((1, True), (2, False)):
        with shop.engine.connect() as connection:
            outer = connection.begin()
            with Session(connection, join_transaction_mode="create_savepoint") as session:
                shop.write(session, number)
                session.commit()
            assert 2 not in shop.told
            assert number not in shop.told
            if commits:
                outer.commit()
            else:
                outer.rollback()
    assert shop.told == [1]
    assert [*shop.stored()] == [1]


def test_an_event_that_is_refused_leaves_the_transaction_usable(shop: Shop) -> None:
    with Session(shop.engine) as session:
        session.execute(text("INSERT INTO orders VALUES (1)"))
        bad = an_event(2).model_copy(update={"id": "no uuid " * 9})
        with pytest.raises((SQLAlchemyError, StorageUnavailable)):
            shop.storage.write_within(session, [bad], then=lambda: shop.told.append(2))
        shop.write(session, 1)
        session.commit()
    with shop.engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM orders")).scalar() == 1
    assert shop.told == [1]


def test_a_key_that_is_held_gives_the_first_event(shop: Shop) -> None:
    first = an_event(1, idempotency_key="k")
    shop.storage.write([first])
    with Session(shop.engine) as session:
        assert shop.write(session, 2, idempotency_key="k") == [first]
        third = an_event(3, idempotency_key="l")
        assert shop.storage.write_within(session, [third], then=lambda: None) == [third]
        assert shop.write(session, 4, idempotency_key="l") == [third]
        session.commit()
    assert sorted(shop.stored()) == [1, 3]
    assert shop.claimed() == []


def test_whoever_writes_waits_for_no_transaction_of_the_hosts(shop: Shop) -> None:
    # Keys that no other test has: InnoDB locks what is beside a deleted one that it has not cleaned away yet.
    with Session(shop.engine) as session:
        shop.write(session, 1, idempotency_key="mine")
        began = time.monotonic()
        shop.storage.write([an_event(2), an_event(3, idempotency_key="another")], [MAIL])
        assert shop.claimed() == [2, 3]
        with pytest.raises(Exception) as caught:
            shop.storage.write([an_event(4), an_event(5, idempotency_key="mine")])
        assert not isinstance(caught.value, StorageUnavailable)
        with pytest.raises(StorageUnavailable):
            shop.storage.write([an_event(5, idempotency_key="mine")])
        assert time.monotonic() - began < 4
        session.commit()
    assert shop.storage.write([an_event(5, idempotency_key="mine")]) == [an_event(1, idempotency_key="mine")]
    positions = shop.stored()
    assert sorted(positions) == [1, 2, 3]
    assert positions[1] == max(filter(None, positions.values())), "positions are the order of commits"


def test_events_of_a_process_that_died_after_its_commit_get_their_positions_from_the_next_who_asks(shop: Shop) -> None:
    connection = shop.engine.connect()
    connection.begin()
    shop.write(connection, 1)
    connection.connection.dbapi_connection.commit()  # type: ignore[union-attr] - and nobody is told
    assert shop.stored() == {1: None}
    shop.storage.write([an_event(2)])
    assert shop.claimed() == [1]
    assert shop.stored() == {1: 2, 2: 1}
    connection.close()


def test_several_who_give_positions_at_once_give_each_event_one(on_postgresql: Shop) -> None:
    shop = on_postgresql
    engine = create_engine(shop.engine.url, poolclass=QueuePool, pool_size=8)

    def order(number: int) -> None:
        with Session(engine) as session:
            for each in range(5):
                shop.write(session, 10 * number + each)
            session.commit()
            shop.storage.write([an_event(10 * number + 9)])

    threads = [threading.Thread(target=order, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    positions = shop.stored()
    assert len(positions) == 36
    assert len({*positions.values()}) == 36
    assert None not in positions.values()
    with shop.storage._connections.reading() as connection:
        unlike = connection.execute(
            text(
                "SELECT count(*) FROM tk_analytics_deliveries d JOIN tk_analytics_events e ON e.id = d.event_id "
                "WHERE d.position <> e.position OR d.position IS NULL"
            )
        ).scalar()
    assert unlike == 0
    engine.dispose()


def test_an_asynchronous_session_records_by_run_sync(on_postgresql: Shop) -> None:
    shop = on_postgresql

    async def order() -> None:
        engine = create_async_engine(shop.engine.url)
        async with AsyncSession(engine) as session:
            await session.run_sync(lambda sync: shop.write(sync, 1))
            with pytest.raises(ConfigurationError, match="run_sync"):
                shop.write(session, 2)
            await session.commit()
        await engine.dispose()

    asyncio.run(order())
    assert shop.told == [1]


@pytest.mark.parametrize("what", ["default", None, 5])
def test_what_is_no_transaction_is_refused(on_postgresql: Shop, what: Any) -> None:
    with pytest.raises(ConfigurationError, match="is no session and no connection"):
        on_postgresql.write(what, 1)


def test_a_connection_without_a_transaction_is_refused(on_postgresql: Shop) -> None:
    with on_postgresql.engine.connect() as connection, pytest.raises(ConfigurationError, match="no transaction"):
        on_postgresql.write(connection, 1)


def test_a_transaction_of_another_database_is_refused_and_goes_on(postgresql: PostgreSQL, on_postgresql: Shop) -> None:
    for url in (postgresql.url("postgres"), postgresql.fresh()):
        other = create_engine(url_of(url))
        with Session(other) as session:
            session.execute(text("SELECT 1"))
            with pytest.raises(ConfigurationError, match="another database"):
                on_postgresql.write(session, 1)
            assert session.execute(text("SELECT 1")).scalar() == 1
        other.dispose()
    lite = create_engine("sqlite://")
    with Session(lite) as session, pytest.raises(ConfigurationError, match="another database"):
        on_postgresql.write(session, 1)
    lite.dispose()
