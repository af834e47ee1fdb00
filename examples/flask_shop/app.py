"""A shop with one configurable product, and the events API inside it.

``make serve`` opens it at http://localhost:5000, ``make demo`` plays a shopper's session against it. The events go to
``analytics.db`` in the working directory, or where ``TK_ANALYTICS_STORAGE`` says.
"""

from flask import Flask, render_template, request

from tk_analytics_mw import Analytics, Event, EventType, PrivateToken, PublicToken

PRODUCT = {"id": "lounge-chair", "name": "Lounge chair", "price": 349.5, "wood": ["oak", "walnut", "ash"]}

# The public token stands in the page's source. The private one is a secret: a real shop reads it from its environment.
PUBLIC_TOKEN = "pub-demo-5c1e7f20a94b"
PRIVATE_TOKEN = "prv-demo-e83d06b72f15"

app = Flask(__name__)
analytics = Analytics(
    tokens=[
        PublicToken(PUBLIC_TOKEN, org_id="acme", domains=["shop.example.com", "localhost:5000", "127.0.0.1:5000"]),
        PrivateToken(PRIVATE_TOKEN, org_id="acme"),
    ],
    private_only=[EventType.ORDERED],  # a page must not be able to make up an order
)
analytics.init_app(app)


@analytics.on(EventType.CART_ADD)
def reserve_stock(event: Event) -> None:
    print(f"reserve_stock: {event.metric:g} of {event.asset_id} for session {event.session_id}")


@analytics.on(EventType.ORDERED, when="inline")
async def confirm_order(event: Event) -> None:
    print(f"confirm_order: a mail about {event.metric:g} EUR")


@analytics.on()
def write_journal(event: Event) -> None:
    print(f"write_journal: {event.event_type} {event.id}")


@app.get("/")
def product() -> str:
    return render_template("product.html", product=PRODUCT, token=PUBLIC_TOKEN)


@app.post("/order")
def order() -> dict[str, object]:
    event = analytics.record(
        EventType.ORDERED,
        org_id="acme",
        session_id=request.form["session_id"],
        asset_id=PRODUCT["id"],
        metric=PRODUCT["price"],
    )
    return event.as_answer()
