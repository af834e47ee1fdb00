"""Objects that a setting names: ``"package.module:Class"``."""

from __future__ import annotations

import importlib
from typing import Any

from tk_analytics_mw.errors import ConfigurationError


def load_object(path: str, setting: str) -> Any:
    """Import what ``path`` names; a class is called without arguments.

    Args:
        path: ``package.module:name``.
        setting: the name of the setting, for the errors.

    Raises:
        ConfigurationError: there is no such thing.
    """
    module_name, colon, name = path.partition(":")
    if not (module_name and colon and name):
        raise ConfigurationError(f"{setting}: {path!r} is no 'package.module:Class'")
    try:
        found = importlib.import_module(module_name)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"{setting}: cannot load {path!r}: {error}") from error
    return found() if isinstance(found, type) else found
