"""The migrations, in Alembic's layout. A published one is never edited: add another."""
