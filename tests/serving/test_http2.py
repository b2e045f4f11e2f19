"""Calls over HTTP/2: gRPC's own client at its limits, and clients that do not keep to the rules."""

from __future__ import annotations

import gzip
import socket
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import grpc
import hpack
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.serving.conftest import RunningWorker, table, target

from tidemill.serving.routes import write_routes
from tidemill.serving.worker.doors.oip_messages import SERVICE, build
from tidemill.serving.worker.http2 import PREFACE

MESSAGES = build()
PATH = f"/{SERVICE}/ModelInfer"
HEADERS = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", PATH),
    (":authority", "localhost"),
    ("content-type", "application/grpc"),
    ("te", "trailers"),
]
LIMIT = 8 << 20


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, bundles: Path) -> Iterator[int]:
    folder = tmp_path_factory.mktemp("http2")
    write_routes(folder / "routes.json", table(1, e=target(1, "one")))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    running = RunningWorker(folder, bundles, "--grpc-port", str(port), "--max-body", str(LIMIT))
    yield port
    running.close()


def message(rows: int = 1) -> Any:
    return MESSAGES["ModelInferRequest"](
        model_name="e",
        inputs=[MESSAGES["InferInputTensor"](name="x", datatype="FP64", shape=[rows, 3])],
        raw_input_contents=[np.array([[0.5, 1.0, 3.0]] * rows).tobytes()],
    )


def call(channel: grpc.Channel, rows: int, **options: Any) -> Any:
    method = channel.unary_unary(
        PATH,
        request_serializer=lambda m: m.SerializeToString(),
        response_deserializer=MESSAGES["ModelInferResponse"].FromString,
    )
    return method(message(rows), timeout=60, **options)


def test_large_answers_wait_for_the_clients_windows(served: int) -> None:
    # The answer is many times larger than the window of 64 KB that a client begins with.
    options = [("grpc.max_receive_message_length", -1), ("grpc.http2.bdp_probe", 0)]
    with grpc.insecure_channel(f"127.0.0.1:{served}", options=options) as channel:
        answer = call(channel, 60_000)
        assert list(answer.outputs[1].shape) == [60_000, 2]
        assert len(answer.raw_output_contents[1]) == 60_000 * 16
        assert answer.parameters["prediction_ids"].string_param.count(",") == 59_999


def test_messages_that_begin_alike_are_told_apart(served: int) -> None:
    def asked(datatype: str, values: list[float], identifier: str = "") -> Any:
        raw = np.array(values, dtype="<f4" if datatype == "FP32" else "<f8").tobytes()
        tensor = MESSAGES["InferInputTensor"](name="x", datatype=datatype, shape=[1, 3])
        return MESSAGES["ModelInferRequest"](
            model_name="e", id=identifier, inputs=[tensor], raw_input_contents=[raw]
        )

    rows = [[0.5, 1.0, 3.0], [-2.0, 40.0, 7.0], [9.0, -1.0, 0.0]]
    with grpc.insecure_channel(f"127.0.0.1:{served}") as channel:
        method = channel.unary_unary(
            PATH,
            request_serializer=lambda m: m.SerializeToString(),
            response_deserializer=MESSAGES["ModelInferResponse"].FromString,
        )
        said = {
            (turn, datatype, at, name): method(asked(datatype, row, name), timeout=60)
            for turn in (1, 2)
            for datatype in ("FP32", "FP64")
            for at, row in enumerate(rows)
            for name in ("", "one")
        }
    answers = [
        {answer.raw_output_contents[1] for key, answer in said.items() if key[2] == at}
        for at in range(3)
    ]
    assert [len(found) for found in answers] == [1, 1, 1]
    assert len(set.union(*answers)) == 3
    assert {(key[3], answer.id) for key, answer in said.items()} == {("", ""), ("one", "one")}


def test_many_calls_share_a_connection(served: int) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{served}") as channel, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: call(channel, 1 + n % 90), range(400)))
    assert [a.outputs[0].shape[0] for a in answers] == [1 + n % 90 for n in range(400)]


@pytest.mark.parametrize("packing", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_packed_messages_are_unpacked(served: int, packing: grpc.Compression) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{served}") as channel:
        assert call(channel, 500, compression=packing).outputs[0].shape[0] == 500


def test_what_is_too_large_or_unknown_has_its_status(served: int) -> None:
    options = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(f"127.0.0.1:{served}", options=options) as channel:
        with pytest.raises(grpc.RpcError, match="RESOURCE_EXHAUSTED"):
            call(channel, LIMIT // 20)
        bomb = channel.unary_unary(PATH)
        with pytest.raises(grpc.RpcError, match="INVALID_ARGUMENT"):
            bomb(b"\xff" * 10)
        with pytest.raises(grpc.RpcError, match="UNIMPLEMENTED"):
            channel.unary_unary("/other.Service/Method")(b"")
        # Errors leave the connection as it was.
        assert call(channel, 1).model_name == "e"


class Raw:
    """A client that says what it is told to."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.encoder = hpack.Encoder()
        self.send(PREFACE + frame(4, 0, 0))

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def frames(self) -> Iterator[tuple[int, int, int, bytes]]:
        """Go through what comes back until the other side hangs up."""
        with self.socket.makefile("rb") as stream:
            while len(head := stream.read(9)) == 9:
                size = int.from_bytes(head[:3], "big")
                yield head[3], head[4], int.from_bytes(head[5:], "big"), stream.read(size)

    def statuses(self, count: int) -> list[str]:
        """Return the gRPC statuses of so many answers."""
        found: list[str] = []
        decoder = hpack.Decoder()
        for kind, _, _, payload in self.frames():
            if kind == 1:
                found += [str(v) for k, v in decoder.decode(payload) if k == "grpc-status"]
            if len(found) == count:
                break
        return found


def frame(kind: int, flags: int, number: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + struct.pack(">BBI", kind, flags, number) + payload


def framed(content: bytes, packed: bool = False) -> bytes:
    return struct.pack(">BI", packed, len(content)) + content


WHOLE = framed(message().SerializeToString())


def test_padding_priorities_and_continuations_are_read(served: int) -> None:
    raw = Raw(served)
    block = raw.encoder.encode(HEADERS)
    with closing(raw.socket):
        raw.send(frame(1, 0x8 | 0x20, 1, b"\x03" + b"\0\0\0\0\x10" + block[:5] + b"\0\0\0"))
        raw.send(frame(9, 0, 1, block[5:9]) + frame(9, 0x4, 1, block[9:]))
        raw.send(frame(2, 0, 1, b"\0\0\0\0\x10") + frame(0xBB, 0, 0, b"unknown"))
        raw.send(frame(0, 0x8, 1, b"\x02" + WHOLE[:7] + b"\0\0") + frame(0, 0, 1, WHOLE[7:]))
        raw.send(frame(0, 0x1, 1))
        raw.send(frame(1, 0x4, 3, raw.encoder.encode(HEADERS)) + frame(0, 0x1, 3, WHOLE))
        assert raw.statuses(2) == ["0", "0"]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "3"),
        (b"\0\0\0", "3"),
        (framed(b"abc") + b"d", "3"),
        (framed(b"abc")[:-1], "3"),
        (b"\x02" + framed(b"")[1:], "3"),
        (framed(b"no gzip", packed=True), "12"),
    ],
)
def test_a_call_without_exactly_one_message_is_refused(served: int, data: bytes, code: str) -> None:
    raw = Raw(served)
    with closing(raw.socket):
        raw.send(frame(1, 0x4, 1, raw.encoder.encode(HEADERS)) + frame(0, 0x1, 1, data))
        assert raw.statuses(1) == [code]


def test_a_packed_bomb_is_refused(served: int) -> None:
    raw = Raw(served)
    bomb = gzip.compress(bytes(LIMIT * 4))
    with closing(raw.socket):
        head = [*HEADERS, ("grpc-encoding", "gzip")]
        raw.send(frame(1, 0x4, 1, raw.encoder.encode(head)))
        sent = framed(bomb, packed=True)
        parts = [sent[at : at + 16384] for at in range(0, len(sent), 16384)]
        for number, part in enumerate(parts, 1):
            raw.send(frame(0, int(number == len(parts)), 1, part))
        assert raw.statuses(1) == ["8"]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(0, 0, 1, b"data of no call"), 1),
        (frame(1, 0x5, 2, b"\x82"), 1),
        (frame(1, 0x5, 1, b"\xff\xff\xff\xff\x0f"), 9),
        (frame(1, 0x4, 1, b"\xc5"), 9),
        (frame(9, 0x4, 1, b""), 1),
        (frame(5, 0, 1, b"\0\0\0\x02"), 1),
        (frame(4, 0, 0, b"\0\x04\xff\xff\xff\xff"), 3),
        (frame(8, 0, 0, b"\x7f\xff\xff\xff"), 3),
        (frame(8, 0, 0, b"\0\0\0\0"), 3),
        (frame(6, 0, 0, b"short"), 1),
        (b"\xff\xff\xff\0\0\0\0\0\x01", 6),
        (b"".join(frame(3, 0, 0, b"\0\0\0\x08") for _ in range(3)), 1),
    ],
)
def test_who_breaks_the_rules_is_told_which_and_let_go(served: int, data: bytes, code: int) -> None:
    raw = Raw(served)
    with closing(raw.socket):
        raw.send(data)
        away = [payload for kind, _, _, payload in raw.frames() if kind == 7]
    assert [int.from_bytes(payload[4:8], "big") for payload in away] == [code]


def test_pings_during_a_large_answer_are_answered_but_not_without_end(served: int) -> None:
    raw = Raw(served)
    large = framed(message(30_000).SerializeToString())
    with closing(raw.socket):
        raw.send(frame(4, 0, 0, b"\0\x04\x7f\xff\xff\xff") + frame(8, 0, 0, b"\x7f\0\0\0"))
        raw.send(frame(1, 0x4, 1, raw.encoder.encode(HEADERS)))
        for at in range(0, len(large), 16384):
            part = large[at : at + 16384]
            raw.send(frame(0, int(at + 16384 >= len(large)), 1, part) + frame(6, 0, 0, b"12345678"))
        frames = raw.frames()
        size = 0
        while size < 30_000 * 17:  # labels and probabilities at least
            kind, _, _, payload = next(frames)
            assert kind != 7
            size += len(payload) if kind == 0 else 0
    raw = Raw(served)
    with closing(raw.socket), pytest.raises(OSError):
        raw.send(frame(6, 0, 0, b"12345678") * 3_000_000)


def test_calls_that_are_opened_and_given_up_without_end_are_cut_off(served: int) -> None:
    raw = Raw(served)
    with closing(raw.socket):
        raw.send(frame(1, 0x4, 1, raw.encoder.encode(HEADERS)) + frame(3, 0, 1, b"\0\0\0\x08"))
        block = raw.encoder.encode(HEADERS)
        try:
            for number in range(3, 5001, 2):
                raw.send(frame(1, 0x4, number, block) + frame(3, 0, number, b"\0\0\0\x08"))
        except OSError:
            return
        assert any(kind == 7 for kind, _, _, _ in raw.frames())


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 10), st.integers(0, 255), st.integers(0, 5), st.binary(max_size=40)
        ),
        max_size=6,
    )
)
def test_no_frames_make_the_server_fail(
    served: int, parts: list[tuple[int, int, int, bytes]]
) -> None:
    raw = Raw(served)
    with closing(raw.socket), suppress(ConnectionError):
        raw.send(b"".join(frame(*part) for part in parts))
        raw.send(frame(6, 0, 0, b"12345678"))
        # It answers the ping, says why not, or hangs up; waiting in vain is a failure.
        next((kind for kind, *_ in raw.frames() if kind in {6, 7}), None)


def test_the_server_is_as_before_after_all_this(served: int) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{served}") as channel:
        assert call(channel, 2).outputs[0].shape[0] == 2
