"""Events in one SQLite file: the default, good for all the processes of one machine.

``connections.py`` opens the file and keeps the rules of its safety, ``schema.py`` has its tables, ``storage.py``
is the storage, and each further ability of it has a file of its own.
"""

from tk_analytics_mw.storage.sqlite.storage import Durability, SqliteStorage

__all__ = ["Durability", "SqliteStorage"]
