"""The process that sends: it knows no home, no database and no secret, only messages.

Messages come in as lines of JSON and outcomes go out as lines. It ends when its owner does.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import msgspec

from tidemill.core.errors import TidemillError
from tidemill.webhooks.destinations import Allowed, Place
from tidemill.webhooks.records import Message, Outcome

AT_ONCE = 16
MOST_READ = 1 << 14
_OUT = threading.Lock()


def main() -> None:
    """Send what comes in until nothing more does."""
    decoder = msgspec.json.Decoder(Message)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for line in sys.stdin.buffer:
            pool.submit(_answer, decoder.decode(line))


def send(message: Message) -> Outcome:
    """Send a message once: to an address that was checked, following nothing."""
    deadline = time.monotonic() + message.seconds
    try:
        allowed = Allowed(message.allowed)
        place = allowed.place(message.url)
        answered, body = _exchange(place, allowed.resolve(place), message, deadline)
    except TidemillError as error:
        return Outcome(id=message.id, error=str(error))
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Outcome(id=message.id, error=f"{type(error).__name__}: {error}"[:500])
    return Outcome(id=message.id, answered=answered, body=body)


def _exchange(
    place: Place, addresses: list[str], message: Message, deadline: float
) -> tuple[int, str]:
    connection = http.client.HTTPConnection(place.host, place.port)
    connection.sock = _connect(place, addresses, deadline)
    try:
        headers = message.headers | {"Host": place.authority}
        connection.request("POST", place.path, message.body.encode(), headers)
        answer = connection.getresponse()
        return answer.status, _beginning(answer, connection.sock, deadline)
    finally:
        connection.close()


def _connect(place: Place, addresses: list[str], deadline: float) -> socket.socket:
    failure: OSError | None = None
    for address in addresses:
        try:
            plain = socket.create_connection((address, place.port), _left(deadline))
        except OSError as error:
            failure = error
            continue
        if place.scheme == "http":
            return plain
        # The certificate must be of the name, whichever of its addresses this is.
        return ssl.create_default_context().wrap_socket(plain, server_hostname=place.host)
    raise failure or OSError("the host has no address")


def _beginning(
    answer: http.client.HTTPResponse, connection: socket.socket | None, deadline: float
) -> str:
    parts: list[bytes] = []
    size = 0
    while size < MOST_READ:
        if connection is not None:
            connection.settimeout(_left(deadline))
        part = answer.read1(MOST_READ - size)
        if not part:
            break
        parts.append(part)
        size += len(part)
    return b"".join(parts).decode("utf-8", "replace")


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the receiver took too long")
    return left


def _answer(message: Message) -> None:
    try:
        outcome = send(message)
    except Exception as error:
        # Whatever it is, the owner must hear of it, or the message would wait for ever.
        outcome = Outcome(id=message.id, error=f"{type(error).__name__}: {error}"[:500])
    line = msgspec.json.encode(outcome) + b"\n"
    with _OUT:
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
