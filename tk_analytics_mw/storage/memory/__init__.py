"""Events in the memory of one process: for the tests of hosts, and what every other storage is compared with.

It is plain Python over a list, with all that an application asks of a storage. SQLite on a temporary file would have
been less code; but a test's storage should leave no file and wait for no disk, and it is the same few hundred lines
that the conformance kit needs as its model: here an answer is written down as it is defined, with no index, no
summary and no code that another storage uses as well. A child that is forked goes on with a copy of its own.
"""

from tk_analytics_mw.storage.memory.storage import MemoryStorage

__all__ = ["MemoryStorage"]
