"""Ports that the workers of one home share, and nobody else."""

from __future__ import annotations

import socket

from tidemill.core.errors import Refused

_BACKLOG = 2048


class PortTaken(Refused):
    """Another program listens there, or the workers of another home."""


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket that shares its port with the other workers'."""
    opened = _opened(host)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        # Inherited by what is accepted: without it small answers wait for the client's ACK.
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opened.bind((host, port))
        opened.listen(_BACKLOG)
    except OSError:
        opened.close()
        raise
    return opened


def claim(host: str, port: int, flag: str, *, shared: bool) -> socket.socket:
    """Return the first listening socket of a port, once it is known to be free.

    A shared port would be given to the workers of two homes, and each would answer what was asked
    of the other.

    Args:
        host: Where to listen.
        port: Where to listen; 0 takes a free one.
        flag: What chooses another port.
        shared: Whether workers of an earlier supervisor may still listen there.

    Raises:
        PortTaken: Somebody else listens there.
    """
    try:
        if port and not shared:
            with _opened(host) as alone:
                alone.bind((host, port))
        return listen(host, port)
    except OSError as error:
        raise PortTaken(
            f"Port {port} of {host} cannot be taken for predictions: {error.strerror}.",
            hint=f"Choose another one with {flag}, or stop what listens there.",
        ) from error


def _opened(host: str) -> socket.socket:
    opened = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return opened
