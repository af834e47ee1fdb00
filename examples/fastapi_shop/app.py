"""A FastAPI back end with the events API as a router, for a shop whose pages are on another origin.

Run it with ``uvicorn app:app`` in this folder; ``/docs`` shows our operations beside the shop's own.
"""

from typing import Annotated

from fastapi import Body, Depends, FastAPI, HTTPException
from fastapi.middleware.cors import CORSMiddleware

from tk_analytics_mw import Analytics, Event, EventType, PrivateToken, PublicToken, StorageUnavailable

PAGES = "https://shop.example.com"
PUBLIC_TOKEN = "pub-demo-7d40f2ce916a"
PRIVATE_TOKEN = "prv-demo-18ba5e6c03f9"

analytics = Analytics(
    tokens=[PublicToken(PUBLIC_TOKEN, org_id="acme", domains=[PAGES]), PrivateToken(PRIVATE_TOKEN, org_id="acme")]
)


@analytics.on(EventType.CART_ADD)
async def reserve_stock(event: Event) -> None:
    print(f"reserve_stock: {event.metric:g} of {event.asset_id} for session {event.session_id}")


def shop_is_open() -> bool:
    """A dependency of the shop's own. Tests replace it through ``app.dependency_overrides``."""
    return True


def require_open_shop(is_open: Annotated[bool, Depends(shop_is_open)]) -> None:
    if not is_open:
        raise HTTPException(503, "The shop is closed.")


app = FastAPI(title="Shop")
app.include_router(analytics.router(dependencies=[Depends(require_open_shop)]))
app.add_middleware(CORSMiddleware, allow_origins=[PAGES], allow_methods=["*"], allow_headers=["*"])


@app.post("/orders")
async def order(session_id: Annotated[str, Body()], total: Annotated[float, Body()]) -> dict[str, str]:
    try:
        event = await analytics.arecord(EventType.ORDERED, org_id="acme", session_id=session_id, metric=total)
    except StorageUnavailable:  # an order does not fail for want of a statistic
        return {"order": "accepted"}
    return {"order": "accepted", "event": event.id}
