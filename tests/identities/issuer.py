"""An issuer of JSON Web Tokens, with a real HTTP server for its keys."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

AUDIENCE = "analytics"
SECRET = "a secret of the shop that has more than thirty-two bytes"
DOMAINS = ["shop.example.com"]


def claims(**changes: Any) -> dict[str, Any]:
    """Those of a page's token, with ``changes``; what is ``None`` is left out."""
    now = int(time.time())
    usual = {"aud": AUDIENCE, "exp": now + 60, "iat": now, "org_id": "acme", "domains": DOMAINS, "name": "web"}
    return {name: value for name, value in {**usual, **changes}.items() if value is not None}


def signed(
    *, key: Any = SECRET, algorithm: str = "HS256", headers: dict[str, Any] | None = None, **changes: Any
) -> str:
    """A token of the shop."""
    return jwt.encode(claims(**changes), key, algorithm, headers)


class Issuer:
    """Publishes keys, counts who asks, and can be away."""

    def __init__(self) -> None:
        self.keys: dict[str, ec.EllipticCurvePrivateKey] = {}
        self.asked = 0
        self.status = 200
        self.body: bytes | None = None
        self.url = ""

    def add(self, kid: str) -> None:
        """Publish a further key."""
        self.keys[kid] = ec.generate_private_key(ec.SECP256R1())

    def token(self, kid: str, **changes: Any) -> str:
        """A token that is signed with a key."""
        return signed(key=self.keys[kid], algorithm="ES256", headers={"kid": kid}, **changes)

    def document(self) -> bytes:
        """The key set, among what is of no use here."""
        of_use = [
            {**ECAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig"}
            for kid, key in self.keys.items()
        ]
        of_none = [{"kty": "oct", "k": "c2VjcmV0", "kid": "oct"}, {"kty": "EC", "use": "enc"}, {"kty": "new"}, 7]
        return json.dumps({"keys": [*of_none, *of_use]}).encode()


@contextmanager
def issuing() -> Iterator[Issuer]:
    """Run an issuer's server until the block is left."""
    issuer = Issuer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.asked += 1
            body = issuer.document() if issuer.body is None else issuer.body
            self.send_response(issuer.status)
            if issuer.status in (301, 302):
                self.send_header("Location", issuer.url)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        issuer.url = f"http://127.0.0.1:{server.server_address[1]}/jwks.json"
        try:
            yield issuer
        finally:
            server.shutdown()
            thread.join()
