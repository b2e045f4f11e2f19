"""A real HTTP server that counts what arrives."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Inbox:
    """What arrived: headers and bodies, in their order."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.status = 200
        self.headers: list[dict[str, str]] = []
        self.bodies: list[str] = []
        self.location = ""

    def refuse(self, yes: bool) -> None:
        self.status = 503 if yes else 200


@contextmanager
def inbox() -> Iterator[Inbox]:
    """Serve an inbox on loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            if made.status < 300:
                made.headers.append({k.lower(): v for k, v in self.headers.items()})
                made.bodies.append(body.decode())
            self.send_response(made.status)
            if made.location:
                self.send_header("location", made.location)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made = Inbox(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
