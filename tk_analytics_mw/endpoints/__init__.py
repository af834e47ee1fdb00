"""One endpoint a file: ``async (request, parts, waits) -> Response``.

They know neither WSGI nor ASGI nor a framework, and not one another. ``routes.py`` says which path
each of them answers.
"""
