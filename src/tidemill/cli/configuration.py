"""Finds the settings that hold here: of the command line, the environment, and the project."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from tidemill.core.settings import Resolved, resolve


def settings_of(project: Path, flags: Mapping[str, object]) -> dict[str, Resolved]:
    """Return every setting's value and where it came from.

    Args:
        project: The folder whose `tidemill.toml` counts, where it has one.
        flags: What was given on the command line.

    Raises:
        BadSetting: A value cannot be read.
        BadPolicy: The project's file cannot be read.
    """
    from tidemill.core.policy.reader import read_policy

    path = project / "tidemill.toml"
    file = read_policy(path.read_bytes(), filename=str(path)).settings if path.is_file() else {}
    return resolve(flags=flags, environment=os.environ, file=file, filename=str(path))


def project_around(folder: Path) -> Path:
    """Return the nearest folder upwards that has a `tidemill.toml`, or else the folder itself."""
    places = (folder, *folder.parents)
    return next((p for p in places if (p / "tidemill.toml").is_file()), folder)
