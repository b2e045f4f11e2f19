"""The process that sends: it knows no home, no database and no secret, only messages.

Messages come in as lines of JSON and outcomes go out as lines. It ends when its owner does.
"""

from __future__ import annotations

import http.client
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import msgspec

from tidemill.core.egress import post
from tidemill.core.errors import TidemillError
from tidemill.webhooks.destinations import Allowed
from tidemill.webhooks.records import Message, Outcome

AT_ONCE = 16
_OUT = threading.Lock()


def main() -> None:
    """Send what comes in until nothing more does."""
    decoder = msgspec.json.Decoder(Message)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for line in sys.stdin.buffer:
            pool.submit(_answer, decoder.decode(line))


def send(message: Message) -> Outcome:
    """Send a message once: to an address that was checked, following nothing."""
    try:
        allowed = Allowed(message.allowed)
        place = allowed.place(message.url)
        addresses = allowed.resolve(place)
        body = message.body.encode()
        answer = post(place, addresses, body, message.headers, seconds=message.seconds)
    except TidemillError as error:
        return Outcome(id=message.id, error=str(error))
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Outcome(id=message.id, error=f"{type(error).__name__}: {error}"[:500])
    said = answer.body.decode("utf-8", "replace")
    return Outcome(id=message.id, answered=answer.status, body=said)


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
