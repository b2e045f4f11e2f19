"""What can be wrong with a policy."""

from __future__ import annotations

from tidemill.core.errors import Usage


class BadPolicy(Usage):
    """`tidemill.toml` cannot be read, or says something that a policy cannot."""
