"""Webhooks of a host: from the shopper's page to the signed request, on every face."""

from __future__ import annotations

from tests.hosts.base import an_event
from tests.receiving import receiving, status
from tests.webhooks.conftest import SECRET


def test_an_event_of_a_page_reaches_the_receiver_and_only_where_the_host_allows_it(make_host) -> None:
    from standardwebhooks import Webhook

    with receiving() as receiver:
        receiver.answers += [status(503)]

        def register(analytics):  # type: ignore[no-untyped-def]
            url = f"http://127.0.0.1:{receiver.port}/"
            options = {"secret": SECRET, "allow_http": True, "backoff": lambda attempt: 0.0}
            analytics.webhook(url, name="erp", events=["product cart-add"], **options)

        host = make_host(register=register, webhook_allow=["127.0.0.1"])
        answer = host.from_page(an_event(eventType="produce cart-add")).json
        host.from_server(an_event(eventType="product ordered"))
        host.analytics.deliver(once=True)
        assert [request.headers["Webhook-Id"] for request in receiver.received] == [f"erp:{answer['id']}"] * 2
        for request in receiver.received:
            sent = Webhook(SECRET).verify(request.body, request.headers)
            assert sent["data"] == {**answer, "eventType": "product cart-add"}
        assert host.analytics.outbox.counts()["erp"].delivered == 1
        host.close()

        host = make_host(register=register)
        host.from_page(an_event())
        host.analytics.deliver(once=True)
        assert len(receiver.received) == 2, "this host does not allow it"
        assert host.analytics.outbox.counts()["erp"].dead == 1
