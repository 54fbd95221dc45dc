"""What a process that follows collectors says of itself: how far its backups lie behind."""

from __future__ import annotations

import threading
import time
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from usage_collector.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable

_TEXT = "text/plain; version=0.0.4; charset=utf-8"


class Lag:
    """How far behind the backup of each collector may be; ``behind`` seconds are too far.

    Until a collector was reached for the first time it counts from the start of the process.
    """

    def __init__(self, sources: Iterable[str], behind: float) -> None:
        self.behind = behind
        now = time.monotonic()
        self._level = dict.fromkeys(sources, now)
        self.registry = CollectorRegistry()
        self._events = Counter(
            "usage_backup_shipped_events", "Events copied to the backup", registry=self.registry
        )
        self._failures = Counter(
            "usage_backup_ship_failures", "Attempts that failed", ["source"], registry=self.registry
        )
        gauge = Gauge(
            "usage_backup_lag_seconds",
            "How long ago the backup had all that its collector held",
            ["source"],
            registry=self.registry,
        )
        for source in self._level:
            gauge.labels(source).set_function(partial(self.seconds, source))
            self._failures.labels(source)

    def level(self, source: str, moment: float, events: int) -> None:
        """The backup has all that the collector held at that moment (of the monotonic clock)."""
        self._level[source] = moment
        self._events.inc(events)

    def failed(self, source: str) -> None:
        """An attempt failed."""
        self._failures.labels(source).inc()

    def seconds(self, source: str) -> float:
        """Of one collector: what a volume that is lost now would cost at most."""
        return time.monotonic() - self._level[source]

    @property
    def late(self) -> list[str]:
        """The collectors whose backups are too far behind."""
        return [source for source in self._level if self.seconds(source) > self.behind]


class LagListener:
    """Answers `/metrics`, `/healthz` and `/readyz` (503 where a backup is too far behind).

    Raises:
        InvalidInput: the port is taken, or not ours to take.
    """

    def __init__(self, lag: Lag, host: str, port: int) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = _answer(lag, self.path)
                self.send_response(status)
                self.send_header("Content-Type", _TEXT)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Looks of Prometheus and Kubernetes are no news."""

        try:
            self._server = ThreadingHTTPServer((host, port), Handler)
        except OSError as error:
            raise InvalidInput(
                f"port {port} cannot be listened on: {error.strerror}", "choose another (--listen)"
            ) from None
        self._server.daemon_threads = True
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Listens no longer."""
        self._server.shutdown()
        self._server.server_close()


def _answer(lag: Lag, path: str) -> tuple[HTTPStatus, bytes]:
    match path.partition("?")[0]:
        case "/metrics":
            return HTTPStatus.OK, generate_latest(lag.registry)
        case "/healthz":
            return HTTPStatus.OK, b"ok\n"
        case "/readyz":
            if late := lag.late:
                text = f"more than {lag.behind:.0f} s behind: {', '.join(late)}\n"
                return HTTPStatus.SERVICE_UNAVAILABLE, text.encode()
            return HTTPStatus.OK, b"ready\n"
    return HTTPStatus.NOT_FOUND, b"no such path\n"
