"""The gRPC server of a worker. Imported only where a port for it is given: gRPC is an extra."""

from __future__ import annotations

import grpc
import grpc.aio

from tidemill.serving.worker.doors.oip_grpc import GrpcInference


async def start(door: GrpcInference, address: str, largest: int) -> grpc.aio.Server:
    """Start to listen and return the server.

    Args:
        door: Answers.
        address: `host:port`; workers share the port.
        largest: The largest message in bytes.
    """
    options = (
        ("grpc.so_reuseport", 1),
        ("grpc.max_receive_message_length", largest),
        ("grpc.max_send_message_length", -1),
    )
    server = grpc.aio.server(options=options)
    server.add_generic_rpc_handlers((door.handlers(), door.health()))
    server.add_insecure_port(address)
    await server.start()
    return server
