"""The host's own API keys, instead of listed tokens.

Run it with ``uvicorn app:app`` in this folder. A server sends ``X-Api-Key: <key>``; a page of a customer's shop sends
``?shop=<name>``, and works on that customer's own domains only.
"""

import hashlib
from dataclasses import dataclass

from starlette.applications import Starlette

from tk_analytics_mw import Analytics, Principal, Refused


@dataclass
class Customer:
    org_id: str
    key_sha256: str
    domains: tuple[str, ...]
    paid: bool = True


# Your database, instead. Keys are kept as hashes only; to look one up by its hash leaks nothing by its timing.
CUSTOMERS = [
    Customer("acme", hashlib.sha256(b"key-of-acme-62d1").hexdigest(), ("shop.example.com",)),
    Customer("late-payer", hashlib.sha256(b"key-of-late-payer-07b9").hexdigest(), ("late.example",), paid=False),
]


class CustomerKeys:
    """Tells who sends a request. ``authenticate`` may be a plain function too; then it runs in a worker thread."""

    async def authenticate(self, request) -> Principal | None:
        key = request.headers.get("x-api-key")
        shop = request.query_params.get("shop")
        if key is not None:
            digest = hashlib.sha256(key.encode()).hexdigest()
            customer = next((each for each in CUSTOMERS if each.key_sha256 == digest), None)
        elif shop is not None:
            customer = next((each for each in CUSTOMERS if each.org_id == shop), None)
        else:
            return None  # not ours: the listed tokens are tried, if there are any
        if customer is None:
            return None
        if not customer.paid:
            raise Refused("The account is suspended.", status=403)
        kind = "private" if key is not None else "public"
        return Principal(customer.org_id, kind=kind, domains=customer.domains, name=customer.org_id)


app = Starlette()
analytics = Analytics(authenticator=CustomerKeys())
analytics.install(app)
