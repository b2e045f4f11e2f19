"""Opens a home and builds its rooms: the only package that names concrete parts."""

from tidemill.home.opening import POLICY
from tidemill.home.rooms import DEFAULT, Home
from tidemill.home.tables import declared_tables

__all__ = ["DEFAULT", "POLICY", "Home", "declared_tables"]
