"""AssemblyAI as its documentation describes it: transcripts to ask for, notifications it sends."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Mapping

KEY = "key-of-the-api"
ATTEMPTS = 10
TEXT = "nobody but the customer may ever read this"


@dataclass
class Answer:
    """One answer of the API; without a status of its own a transcript."""

    transcript: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None


def transcript(**fields: object) -> Answer:
    """A completed transcript with those members replaced."""
    return Answer({"status": "completed", "audio_duration": 281, "language_code": "en_us",
                   "speech_model_used": "universal-2", "text": TEXT, "error": None,
                   "audio_url": "https://cdn.example.org/a.mp3?signature=s",
                   "words": [{"text": TEXT, "start": 0, "end": 9, "audio_duration": 4}],
                   **fields})  # fmt: skip


class AssemblyAI:
    """The server; each transcript gives its answers in turn, the last one for ever."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = {}
        self.asked: list[tuple[str, float]] = []
        self.posted: list[tuple[str, Mapping[str, str], bytes]] = []
        self.key = KEY
        self.changed = threading.Condition()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server.answer(self)

            def do_POST(self) -> None:
                server.take(self)

            def log_message(self, *args: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> AssemblyAI:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer ``GET /v2/transcript/ID``."""
        name = request.path.removeprefix("/v2/transcript/")
        with self.changed:
            self.asked.append((request.path, time.monotonic()))
            waiting = self.answers.get(name, [])
            answer = waiting.pop(0) if len(waiting) > 1 else waiting[0] if waiting else None
            if request.headers["Authorization"] != self.key:
                answer = Answer(status=401, body=b'{"error": "Invalid API key"}')
            self.changed.notify_all()
        if answer is None:
            answer = Answer(status=400, body=b'{"error": "Transcript lookup error"}')
        body = answer.body
        if body is None:
            body = json.dumps({"id": name, **answer.transcript}).encode()
        self._reply(request, answer.status, answer.headers, body)

    def take(self, request: BaseHTTPRequestHandler) -> None:
        """Take an upload, or a transcript to be made."""
        body = request.rfile.read(int(request.headers["Content-Length"]))
        with self.changed:
            self.posted.append((request.path, dict(request.headers), body))
        known = request.headers["Authorization"] == self.key
        said = {"/v2/upload": {"upload_url": self.url + "/stored"},
                "/v2/transcript": {"id": "made-1", "status": "queued"}}  # fmt: skip
        reply = json.dumps(said[request.path]).encode() if known else b"{}"
        self._reply(request, 200 if known else 401, {}, reply)

    @staticmethod
    def _reply(
        request: BaseHTTPRequestHandler, status: int, headers: Mapping[str, str], body: bytes
    ) -> None:
        request.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body)

    def wait_until_asked(self, times: int, seconds: float = 60) -> None:
        """Returns once it was asked so often in all."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.asked) >= times, seconds), self.asked


def notify(
    url: str,
    header: tuple[str, str],
    body: Mapping[str, object],
    tls: ssl.SSLContext,
    wait: float = 0.1,
) -> list[int]:
    """Send a notification as AssemblyAI does: ten attempts, none after a 2xx or a 4xx.

    The statuses that came back; 0 for no answer. It waits 10 s between them, here ``wait``.
    """
    statuses: list[int] = []
    with httpx.Client(verify=tls, timeout=60, trust_env=False) as client:
        for _ in range(ATTEMPTS):
            try:
                answer = client.post(url, json=dict(body), headers={header[0]: header[1]})
                statuses.append(answer.status_code)
            except httpx.TransportError:
                statuses.append(0)
            if 200 <= statuses[-1] < 300 or 400 <= statuses[-1] < 500:
                break
            time.sleep(wait)
    return statuses


@contextmanager
def serving(**transcripts: list[Answer]) -> Iterator[AssemblyAI]:
    """A server with these transcripts."""
    with AssemblyAI() as server:
        server.answers.update(transcripts)
        yield server
