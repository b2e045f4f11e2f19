"""The gRPC server of a worker. Imported only where a port for it is given: gRPC is an extra."""

from __future__ import annotations

import grpc
import grpc.aio

from tidemill.core.clock import Clock
from tidemill.serving.worker.doors.common import Reception
from tidemill.serving.worker.doors.oip_grpc import GrpcInference
from tidemill.serving.worker.plane import Plane


async def start(
    plane: Plane, reception: Reception, clock: Clock, address: str, largest: int
) -> grpc.aio.Server:
    """Start to listen and return the server.

    Args:
        plane: Answers.
        reception: Reads callers off their metadata.
        clock: Tells the time.
        address: `host:port`; workers share the port.
        largest: The largest message in bytes.
    """
    options = (
        ("grpc.so_reuseport", 1),
        ("grpc.max_receive_message_length", largest),
        ("grpc.max_send_message_length", -1),
    )
    server = grpc.aio.server(options=options)
    door = GrpcInference(plane, reception, clock)
    server.add_generic_rpc_handlers((door.handlers(), door.health()))
    server.add_insecure_port(address)
    await server.start()
    return server
