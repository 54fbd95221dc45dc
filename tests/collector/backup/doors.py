"""The way to an S3 server, where a process is killed at the request that is due."""

from __future__ import annotations

import os
import signal
import socket
import threading
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

_OWN = ("transfer-encoding", "content-length", "connection")


class Door(ThreadingHTTPServer):
    """Passes requests on to the server at ``to``; ``left`` of them until ``victim`` is killed.

    The answers to the next ``mute`` ones that change something are lost.
    """

    def __init__(self, to: str) -> None:
        super().__init__(("127.0.0.1", 0), _Request)
        self.to = to
        self.left = 0
        self.mute = 0
        self.victim: Future[int] | None = None

    def due(self, method: str) -> bool:
        """Counts a request that changes something; whether it is the last of its process."""
        if method in ("GET", "HEAD"):
            return False
        self.left -= 1
        return self.left == 0


class _Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Door

    def pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.server.due(self.command):
            if body:
                self._begin(body[: len(body) // 2])
            assert self.server.victim
            os.kill(self.server.victim.result(), signal.SIGKILL)
            self.close_connection = True
            return
        connection = self._send(body)
        answer = connection.getresponse()
        data = answer.read()
        if self.server.mute and self.command not in ("GET", "HEAD"):
            self.server.mute -= 1
            self.close_connection = True
            connection.close()
            return
        size = answer.headers["Content-Length"] if self.command == "HEAD" else len(data)
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in _OWN:
                self.send_header(name, value)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        self.wfile.write(data)
        connection.close()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = pass_on  # noqa: N815

    def _begin(self, part: bytes) -> None:
        """A request that ends in the middle; the server has done with it then."""
        connection = self._send(part)
        connection.sock.shutdown(socket.SHUT_WR)
        while connection.sock.recv(65536):
            pass
        connection.close()

    def _send(self, body: bytes) -> HTTPConnection:
        connection = HTTPConnection(self.server.to)
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        return connection

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@contextmanager
def door(to: str) -> Iterator[Door]:
    """A way to that server; its ``server_port`` is open meanwhile."""
    with Door(to) as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield made
        finally:
            made.shutdown()
            thread.join()
