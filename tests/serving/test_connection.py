"""Whatever is known of heads that came before, a request is what its bytes say."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.core.clock import SystemClock
from tidemill.serving.worker.connection import Connection, Connections
from tidemill.serving.worker.hands import Hands
from tidemill.serving.worker.heads import Heads
from tidemill.serving.worker.http import Head, Request, Response
from tidemill.serving.worker.limits import Limits

POST = b"POST /v2/models/e/infer HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n"
KEYED = (
    b"POST /v2/models/e/infer HTTP/1.1\r\nHost: h\r\nTidemill-Key: k\r\nContent-Length: %d\r\n\r\n"
)
CHUNKED = b"POST /v2/models/e/infer HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
GET = b"GET /health?x=1 HTTP/1.1\r\nHost: h\r\n\r\n"
BODIES = st.sampled_from([b"", b"{}", b"[]", b"\r\n\r\n", GET, b"{" + b" " * 3000 + b"}"])


class Wire(asyncio.Transport):
    """Takes what is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.closed = False

    def write(self, data: Any) -> None:
        self.sent += data

    def close(self) -> None:
        self.closed = True

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class Talk:
    """A connection to an application that says yes, and what came to that."""

    def __init__(self) -> None:
        limits = Limits()
        memory = os.memfd_create("hands")
        hands = Hands(memory, limits.body + 2 * limits.head)
        os.close(memory)
        self.requests: list[Request] = []
        self.shared = Connections(self._answer, SystemClock(), limits, hands)
        self.wire = Wire()
        self.connection = Connection(self.shared)
        self.connection.connection_made(self.wire)

    def _answer(self, request: Request) -> Response:
        self.requests.append(request)
        return Response(200, b"yes")

    def hear(self, data: bytes) -> None:
        """Let bytes come."""
        while data:
            room = self.connection.get_buffer(-1)
            size = min(len(room), len(data))
            room[:size] = data[:size]
            self.connection.buffer_updated(size)
            data = data[size:]


def told(head: bytes, body: bytes) -> tuple[bytes, tuple[str, dict[bytes, bytes], bytes]]:
    """Return a request's bytes, and what they say."""
    lines = (head % len(body) if b"%d" in head else head).split(b"\r\n")
    headers = {n.lower(): v.strip() for n, _, v in (line.partition(b":") for line in lines[1:-2])}
    path = lines[0].split()[1].decode().partition("?")[0]
    sent = b"%x\r\n%b\r\n" % (len(body), body) if head is CHUNKED and body else body
    ended = b"0\r\n\r\n" if head is CHUNKED else b""
    return b"\r\n".join(lines) + sent + ended, (path, headers, body)


POSTS = st.tuples(st.sampled_from([POST, KEYED, CHUNKED]), BODIES)
REQUESTS = st.lists(POSTS | st.just((GET, b"")), min_size=1, max_size=8)


@given(asked=REQUESTS, cuts=st.lists(st.integers(1, 4000), max_size=12))
def test_any_requests_in_any_pieces_are_what_they_say(
    asked: list[tuple[bytes, bytes]], cuts: list[int]
) -> None:
    talk = Talk()
    written = [told(*each) for each in asked]
    for data, _ in written:  # each by itself, so that heads are known
        talk.hear(data)
    stream = b"".join(data for data, _ in written)
    for cut in cuts:
        talk.hear(stream[:cut])
        stream = stream[cut:]
    talk.hear(stream)
    found = [(r.path, dict(r.headers), r.body) for r in talk.requests]
    assert found == [says for _, says in written] * 2
    assert talk.wire.sent.count(b"HTTP/1.1 200 OK") == 2 * len(asked)
    assert not talk.wire.closed


def test_the_same_head_is_read_once() -> None:
    talk = Talk()
    for body in (b"{}", b"[]", b"{}"):
        talk.hear(POST % 2 + body)
    assert [r.body for r in talk.requests] == [b"{}", b"[]", b"{}"]
    assert len({id(r.head) for r in talk.requests}) == 1


@pytest.mark.parametrize(
    "head",
    [
        b"POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.0\r\nHost: h\r\nContent-Length: 2\r\n\r\n",
    ],
)
def test_a_connection_that_is_to_end_does_so_every_time(head: bytes) -> None:
    first = Talk()
    for _ in range(3):
        talk = Talk()
        talk.shared.heads = first.shared.heads
        talk.hear(head + b"{}")
        assert talk.wire.closed
        assert b"connection: close" in talk.wire.sent


def test_heads_do_not_pile_up() -> None:
    heads = Heads()
    head = Head("POST", "/", headers={b"content-length": b"2"})
    for number in range(5000):
        written = b"POST /?%d HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}" % number
        heads.remember(memoryview(written), head, 2)
        assert heads.whole(memoryview(written)) == (head, b"{}")
    assert len(heads._known) <= 1000


def test_a_trace_is_not_remembered() -> None:
    heads = Heads()
    written = b"POST / HTTP/1.1\r\ntraceparent: x\r\ncontent-length: 2\r\n\r\n{}"
    head = Head("POST", "/", headers={b"content-length": b"2", b"traceparent": b"x"})
    heads.remember(memoryview(written), head, 2)
    assert heads.whole(memoryview(written)) is None
