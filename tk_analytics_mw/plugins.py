"""What a setting names: an object, ``"package.module:Class"``, or something that another package offers."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
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


def from_entry_point(group: str, name: str, known: Iterable[str], /, *arguments: Any, **options: Any) -> Any:
    """Load what an installed package offers, and call it if arguments are given or it is a class.

    Args:
        group: of the entry points; its last word says what the setting is called.
        name: of the entry point.
        known: further names there are, for the error.
        arguments: for the call.
        options: for the call.

    Raises:
        ConfigurationError: no package offers it, several do, or it cannot be loaded.
    """
    setting = group.rpartition(".")[2].removesuffix("s")
    found = [*entry_points(group=group, name=name)]
    if not found:
        names = [*known, *sorted({each.name for each in entry_points(group=group)})]
        raise ConfigurationError(
            f"{setting}: there is no {name!r}; known: {', '.join(names) or 'none'}. "
            f"Further ones come with packages that have an entry point in the group {group!r}"
        )
    if len(found) > 1:
        packages = ", ".join(sorted(map(_package, found)))
        raise ConfigurationError(f"{setting}: several packages have an entry point {name!r} in {group!r}: {packages}")
    [entry_point] = found
    where = f"{setting}: the entry point {name} = {entry_point.value} of {_package(entry_point)}"
    try:
        offered = entry_point.load()
    except Exception as error:
        raise ConfigurationError(f"{where} cannot be loaded: {error}") from error
    try:
        return offered(*arguments, **options) if arguments or isinstance(offered, type) else offered
    except ConfigurationError:
        raise
    except Exception as error:  # its type alone: its text may repeat the URL, with a password in it
        raise ConfigurationError(f"{where} fails with {type(error).__name__}") from error


def _package(entry_point: EntryPoint) -> str:
    return "an unknown package" if entry_point.dist is None else str(entry_point.dist.name)
