"""What a connection may take, and where one stands that another worker left."""

from __future__ import annotations

import msgspec

BODY = 32 << 20
"""The largest body in bytes, where nobody says otherwise."""
ROWS = 200_000
"""How many rows may be in a worker's hands, where nobody says otherwise."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one connection may take.

    Attributes:
        body: The largest body in bytes.
        head: The largest request line with all headers, in bytes.
        headers: The most headers.
        head_seconds: How long a request's head may take to arrive.
        body_seconds: How long a request's body may take to arrive.
        idle_seconds: How long a connection is kept without a request.
        write_seconds: How long a client may leave its answer unread.
        connections: How many may be open at once.
    """

    body: int = BODY
    head: int = 32 << 10
    headers: int = 100
    head_seconds: float = 10.0
    body_seconds: float = 60.0
    idle_seconds: float = 75.0
    write_seconds: float = 60.0
    connections: int = 4096


class Left(msgspec.Struct, frozen=True):
    """How far a worker that died had come with a connection.

    Attributes:
        came: Bytes that have come on it.
        sent: Bytes that have been sent on it.
        attempts: How many workers have died over what is in hand.
        in_hand: What has come and has no answer yet.
        number: By which the keeper knows the connection until it has been lent again.
    """

    came: int
    sent: int
    attempts: int
    in_hand: bytes
    number: int = 0
