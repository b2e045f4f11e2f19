"""From a prediction back to the rows: the chain of what led to it.

prediction → deployment decision → model version → run → code, environment, dataset version, rows.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """One step of the chain.

    Attributes:
        what: What kind of thing it is: `prediction`, `deployment`, `model version`, …
        reference: Its reference, where it has one.
        time: When it came to be.
        facts: What is known of it, in the order in which people want it.
    """

    what: str
    reference: str
    time: datetime | None
    facts: dict[str, Any]


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """A prediction's whole chain, the prediction first.

    Attributes:
        prediction: Its id.
        links: From the prediction back to the rows.
    """

    prediction: str
    links: tuple[Link, ...]
