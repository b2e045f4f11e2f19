"""How a worker is started, and its command line."""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec

from tidemill.serving.worker.limits import BODY, ROWS

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How a worker is started.

    Attributes:
        routes: The route table's file.
        bundles: The folder of unpacked bundles.
        environments: The folder of environments, for models without a twin.
        predictions: The root of the letterbox.
        host: Where to listen.
        port: Where to listen; 0 takes a free one.
        grpc_port: Where to listen for gRPC; nowhere where it is left out.
        fd: A listening socket to take over, instead of opening one.
        peers: The folder for the workers' own sockets and their states.
        header_clock: Whether a request may say when it is.
        durable: Whether every answer waits for its log record.
        allow_hosts: Names by which clients may call, beside the local ones.
        max_body: The largest body in bytes.
        max_rows: How many rows may be in the worker's hands before it says 429.
        head_seconds: How long a request's head may take.
        access_log: Where requests are written down, or nowhere.
        number: Its place among the workers of one port, by which metrics tell them apart.
        restarted: Whether it takes the place of one that died.
        outgrown: Whether it takes the place of one that took too much memory.
        keeper: A socket to the keeper of connections, where there is one.
        hands: Memory for what is in hand, which the keeper can read.
    """

    routes: Path
    bundles: Path
    predictions: Path
    environments: Path = Path("environments")
    host: str = "127.0.0.1"
    port: int = 8080
    grpc_port: int | None = None
    fd: int | None = None
    peers: Path | None = None
    header_clock: bool = False
    durable: bool = False
    allow_hosts: tuple[str, ...] = ()
    max_body: int = BODY
    max_rows: int = ROWS
    head_seconds: float = 10.0
    access_log: Path | None = None
    number: int = 0
    restarted: bool = False
    outgrown: bool = False
    keeper: int | None = None
    hands: int | None = None


def parse(arguments: list[str]) -> Settings:
    """Read a worker's command line."""
    parser = argparse.ArgumentParser("tidemill.serving.worker", description=__doc__)
    add = parser.add_argument
    add("--routes", type=Path, required=True, help="the route table's file")
    add("--bundles", type=Path, required=True, help="the folder of unpacked bundles")
    add("--environments", type=Path, default="environments", help="for models without a twin")
    add("--predictions", type=Path, required=True, help="the root of the prediction log")
    add("--host", default="127.0.0.1")
    add("--port", type=int, default=8080)
    add("--grpc-port", type=int, help="where to listen for gRPC too")
    add("--fd", type=int, help="a listening socket to take over")
    add("--peers", type=Path, help="the folder for the workers' own sockets")
    add("--clock", choices=("system", "header"), default="system")
    add("--durable", action="store_true", help="answer only when the log record is on disk")
    add("--allow-host", action="append", default=[], help="a name by which clients may call")
    add("--max-body", type=int, default=BODY, help="in bytes")
    add("--max-rows", type=int, default=ROWS, help="in the worker's hands at once")
    add("--head-seconds", type=float, default=10.0, help="how long a request's head may take")
    add("--number", type=int, default=0, help="its place among the workers of one port")
    add("--restarted", action="store_true", help="it takes the place of one that died")
    add("--outgrown", action="store_true", help="it takes the place of one that grew too large")
    add("--keeper-fd", type=int, help="a socket to the keeper of connections")
    add("--hands-fd", type=int, help="memory that the keeper reads")
    add("--access-log", type=Path, help="a file with a line of JSON for each request")
    given = parser.parse_args(arguments)
    if given.host not in _LOOPBACK and not given.allow_host:
        parser.error(
            f"--host {given.host} is reachable from other machines, and nobody is asked who they "
            "are. Name who may call with --allow-host, or keep to 127.0.0.1."
        )
    return Settings(
        routes=given.routes,
        bundles=given.bundles,
        environments=given.environments,
        predictions=given.predictions,
        host=given.host,
        port=given.port,
        grpc_port=given.grpc_port,
        fd=given.fd,
        peers=given.peers,
        header_clock=given.clock == "header",
        durable=given.durable,
        allow_hosts=tuple(given.allow_host),
        max_body=given.max_body,
        max_rows=given.max_rows,
        head_seconds=given.head_seconds,
        access_log=given.access_log,
        number=given.number,
        restarted=given.restarted,
        outgrown=given.outgrown,
        keeper=given.keeper_fd,
        hands=given.hands_fd,
    )
