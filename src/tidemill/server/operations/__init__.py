"""What can be asked of a home from outside: one file a subject, one list of all."""

from tidemill.server.operations.errors import BadArgument, UnknownOperation
from tidemill.server.operations.listing import (
    Operations,
    call,
    changing,
    operation_names,
    result_type,
)
from tidemill.server.operations.records import EndpointStatus, Job, Status

__all__ = [
    "BadArgument",
    "EndpointStatus",
    "Job",
    "Operations",
    "Status",
    "UnknownOperation",
    "call",
    "changing",
    "operation_names",
    "result_type",
]
