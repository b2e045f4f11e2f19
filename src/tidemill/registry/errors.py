"""What can go wrong in the registry."""

from __future__ import annotations

from tidemill.core.errors import Conflict, NotFound, TidemillError, Usage


class RegistryError(TidemillError):
    """The branch of everything that goes wrong in the registry."""


class ModelNotFound(RegistryError, NotFound):
    """No model has that name."""


class VersionNotFound(RegistryError, NotFound):
    """The model has no such version or alias."""


class ModelExists(RegistryError, Conflict):
    """A model of that name is there already."""


class BadModelName(RegistryError, Usage):
    """The name cannot be a model's."""


class BadAlias(RegistryError, Usage):
    """The alias cannot be one."""


class BadStage(RegistryError, Usage):
    """There is no such stage."""


class BadTag(RegistryError, Usage):
    """A tag's key or value cannot be one."""


class VersionRejected(RegistryError, Conflict):
    """The version was rejected and cannot be given an alias."""


class VersionNotPacked(RegistryError, Conflict):
    """The version has no bundle yet, and what was asked for needs one."""
