"""The shop's own logins, instead of listed tokens: pages get short-lived tokens, the staff's session reads the figures.

Run it with ``SHOP_SECRET=<32 characters or more> gunicorn --threads 4 app:app`` in this folder. ``/`` is a product page
with its token; ``/figures`` is a page of the back office, whose script needs no token: the cookie of ``/login`` does.
"""

import hmac
import os
from time import time

import jwt
from flask import Flask, Response, abort, request, session

from tk_analytics_mw import Analytics, JWTAuthenticator, any_of
from tk_analytics_mw.flask import FlaskSessionAuthenticator

SECRET = os.environ["SHOP_SECRET"]
PRODUCT = """<!doctype html><title>Chair</title><button>Add to cart</button><script>
document.querySelector("button").onclick = () => fetch("/api/analytics/events?bearer_token=%s", {
  method: "POST", headers: {"Content-Type": "application/json"}, keepalive: true,
  body: JSON.stringify({eventType: "product cart-add", orgId: "acme", sessionId: crypto.randomUUID()})})
</script>"""
FIGURES = """<!doctype html><title>Figures</title><pre></pre><script>
fetch("/api/analytics/events/funnel").then(answer => answer.text())
  .then(text => document.querySelector("pre").textContent = text)
</script>"""

app = Flask(__name__)
app.secret_key = SECRET

minted = JWTAuthenticator(SECRET, algorithms=["HS256"], audience="analytics")
# In Django's settings: DjangoSessionAuthenticator(lambda request: "acme" if request.user.is_staff else None)
staff = FlaskSessionAuthenticator(lambda request: "acme" if session.get("staff") else None)

analytics = Analytics(authenticator=any_of(minted, staff))
analytics.init_app(app)


@app.get("/")
def product() -> str:
    claims = {"aud": "analytics", "exp": time() + 900, "org_id": "acme", "domains": ["shop.example.com"]}
    return PRODUCT % jwt.encode(claims, SECRET, "HS256")


@app.post("/login")
def log_in() -> Response:
    """Your login, instead. This one knows the word ``open-sesame``."""
    if not hmac.compare_digest(request.form.get("password", "").encode(), b"open-sesame"):
        abort(403)
    session["staff"] = True
    return Response(status=204)


@app.get("/figures")
def figures() -> str:
    return FIGURES
