"""A web server that takes alerts, or not, as a test wants it."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator


@dataclass
class Receiver:
    """What was posted, and what it answers: statuses one after the other, then 200.

    A status of 0 takes the alert and gives no answer. ``wait`` returns once so many have come.
    """

    host: str = "127.0.0.1"
    port: int = 0
    scheme: str = "http"
    answers: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    got: list[dict[str, Any]] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}/alerts?secret=1"

    @property
    def taken(self) -> list[tuple[str, float, str]]:
        """Customer, threshold and key of what was answered with 200."""
        return [
            (one["body"]["customer"], one["body"]["threshold"], one["key"])
            for one in self.got
            if one["status"] == 200
        ]

    def wait(self, number: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.got) >= number, 60), self.got


@contextmanager
def receiver(
    *answers: int, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None, **headers: str
) -> Iterator[Receiver]:
    """A running one; ``headers`` go with each answer."""
    made = Receiver(host=host, answers=list(answers), headers=headers)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with made.changed:
                status = made.answers.pop(0) if made.answers else 200
                given = {"status": status, "body": body, "key": self.headers["Idempotency-Key"]}
                made.got.append({**given, "authorization": self.headers["Authorization"]})
                made.changed.notify_all()
            if status:
                self.send_response(status)
                for name, value in made.headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("Content-Length", "0")
                self.end_headers()

        def log_message(self, *_: object) -> None:
            """Be quiet."""

    server = ThreadingHTTPServer((host, 0), Handler)
    made.port = server.server_address[1]
    if tls:
        made.scheme = "https"
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
