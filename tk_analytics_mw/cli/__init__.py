"""The command line: ``tk-analytics …``, ``flask tk-analytics …``, ``manage.py tk_analytics …``, the same commands.

One group of commands a file; ``main.py`` has them all, ``target.py`` finds the application they work on.
"""
