"""Knows the tables of every room."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Table

_OWN = "homes_"


def declared_tables() -> list[Table]:
    """Return the tables of all rooms, those first that others point to.

    What a database says of its home is not among them: it does not move with what a home holds.
    """
    from tidemill.datasets import store as _datasets
    from tidemill.journal import store as _journal
    from tidemill.lineage import store as _lineage
    from tidemill.monitoring import store as _monitoring
    from tidemill.monitoring.alerts import store as _alerts
    from tidemill.pipelines import store as _pipelines
    from tidemill.registry import store as _registry
    from tidemill.serving import store as _serving
    from tidemill.storage.db.schema import metadata
    from tidemill.tracking import store as _tracking
    from tidemill.webhooks import store as _webhooks

    # To import a room's store is to declare its tables.
    rooms = (
        *(_alerts, _datasets, _journal, _lineage, _monitoring, _pipelines, _registry, _serving),
        *(_tracking, _webhooks),
    )
    assert rooms
    return [t for t in metadata.sorted_tables if not t.name.startswith(_OWN)]
