"""Finds plugins by name without importing them, and imports one when it is asked for.

A kind of plugin is a package (`tidemill.models.flavors`); each public module in it is a plugin and
holds a `PLUGIN` object. Others are found through entry points in the group
`tidemill.<kind>` (`tidemill.flavors`). Finding a plugin never imports it.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from tidemill.core.errors import MissingExtra, UnknownPlugin, nearest


class Plugins:
    """The plugins of one kind.

    Args:
        kind: The plural noun, also the last part of the entry-point group.
        package: The package whose public modules are the built-in plugins.
        extras: Which extra of ours brings the library that a built-in plugin needs.
    """

    def __init__(self, kind: str, package: str, *, extras: dict[str, str] | None = None) -> None:
        self.kind = kind
        self._package = package
        self._extras = extras or {}

    def names(self) -> list[str]:
        """Return the names of all plugins, built-in first, without importing any."""
        built_in = sorted(self._modules())
        return built_in + sorted(set(self._entry_points()) - set(built_in))

    def load(self, name: str) -> Any:
        """Import a plugin and return its `PLUGIN` object.

        Raises:
            UnknownPlugin: There is no plugin of that name.
            MissingExtra: The plugin needs a library that is not installed.
        """
        try:
            if name in self._modules():
                module = importlib.import_module(f"{self._package}.{name}")
                return module.PLUGIN
            found = self._entry_points().get(name)
            if found is not None:
                return found.load()
        except ModuleNotFoundError as error:
            extra = self._extras.get(name, name)
            raise MissingExtra(
                f"The {self.kind} plugin {name!r} needs {error.name}, which is not installed.",
                hint=f'Install it with: pip install "tidemill[{extra}]"',
            ) from error
        raise UnknownPlugin(
            f"There is no {self.kind} plugin {name!r}.", expected=nearest(name, self.names())
        )

    def _modules(self) -> Iterator[str]:
        package = importlib.import_module(self._package)
        return (m.name for m in pkgutil.iter_modules(package.__path__) if m.name[0] != "_")

    def _entry_points(self) -> dict[str, EntryPoint]:
        return {e.name: e for e in entry_points(group=f"tidemill.{self.kind}")}
