"""Keeps to what `[alerts]` said last while `tidemill.toml` cannot be read.

A slip in an editor must not silence the alarms of a running home.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from tidemill.core.policy import AlertPolicy
from tidemill.core.policy.errors import BadPolicy

logger = logging.getLogger(__name__)


class SteadyPolicy:
    """Returns what `[alerts]` says, or said last.

    Args:
        read: Reads it.
    """

    def __init__(self, read: Callable[[], AlertPolicy]) -> None:
        self._read = read
        self._last: AlertPolicy | None = None
        self._complaint = ""

    def __call__(self) -> AlertPolicy:
        """Return the policy.

        Raises:
            BadPolicy: It cannot be read and never could.
        """
        try:
            self._last = self._read()
            self._complaint = ""
        except BadPolicy as error:
            if self._last is None:
                raise
            if str(error) != self._complaint:
                self._complaint = str(error)
                logger.warning("the rules of before hold on: %s", error)
        return self._last
