"""The same shop, with its application in the module."""

from flask_shop import analytics, create_app

__all__ = ["analytics", "app"]

app = create_app()
