"""For programs that use AssemblyAI: webhook addresses, submitting, and streaming sessions recorded.

Needs nothing but Python's standard library, so it can be copied into any program.
https://www.assemblyai.com/docs/api-reference/streaming-api
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import ssl
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, Self
from urllib.error import HTTPError
from urllib.parse import urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, HTTPSHandler, OpenerDirector, ProxyHandler, Request
from urllib.request import build_opener as _build_opener

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

_log = logging.getLogger(__name__)

API = "https://api.assemblyai.com"
LONGEST_URL = 8000
"""Characters; a collector reads no longer ones."""
TIMEOUT_SECONDS = 10.0
UPLOAD_SECONDS = 3600.0
RECORD_SECONDS = 60.0
"""How long a session's end is tried to be recorded, as long as our transcribers do."""
_MOST_SECONDS = 5.0
_RESERVED = frozenset({"customer_id", "contract_id"})


class NotRecorded(Exception):
    """No collector took the event; ``event`` can be given to `Collector.record` later."""

    def __init__(self, detail: str, event: bytes) -> None:
        super().__init__(detail)
        self.event = event


@dataclass(frozen=True, slots=True)
class Usage:
    """Whose a transcript or session is; the dimensions may have any names and values."""

    customer_id: str
    contract_id: str = ""
    dimensions: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if taken := _RESERVED & self.dimensions.keys():
            raise ValueError(f"{min(taken)} is no dimension: give it by its own name")


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where collectors are notified, such as ``https://usage.example.org:9443``, and the header."""

    address: str
    header: str
    value: str = field(repr=False)

    def url(self, usage: Usage) -> str:
        """The address to notify of that usage, safely encoded; ValueError if it gets too long."""
        query = {
            "customer_id": usage.customer_id,
            **({"contract_id": usage.contract_id} if usage.contract_id else {}),
            **usage.dimensions,
        }
        url = f"{self.address.rstrip('/')}/v1/webhooks/assemblyai?{urlencode(query)}"
        if len(url) > LONGEST_URL:
            raise ValueError(f"the webhook's address has more than {LONGEST_URL} characters")
        return url

    def options(self, usage: Usage) -> dict[str, str]:
        """What to add to the body of ``POST /v2/transcript``."""
        return {
            "webhook_url": self.url(usage),
            "webhook_auth_header_name": self.header,
            "webhook_auth_header_value": self.value,
        }


async def submit(
    audio: str | Path,
    key: str,
    webhook: Webhook,
    usage: Usage,
    *,
    api: str = API,
    options: Mapping[str, object] | None = None,
) -> str:
    """Submit an audio's address, or upload a file first; the transcript's id.

    ``options`` are further members of AssemblyAI's request. OSError says why it was not taken.
    """
    where = audio
    if not isinstance(audio, str):
        # One call with the open file: nothing of it is held in memory.
        said = await asyncio.to_thread(_upload, f"{api}/v2/upload", audio, key)
        where = str(said["upload_url"])
    body = {**(options or {}), "audio_url": where, **webhook.options(usage)}
    headers = {"Authorization": key, "Content-Type": "application/json"}
    request = Request(f"{api}/v2/transcript", json.dumps(body).encode(), headers, method="POST")  # noqa: S310
    return str((await asyncio.to_thread(_call, request))["id"])


class Collector:
    """The collectors' ingest address, such as ``https://speech.metering.svc:9090``."""

    def __init__(self, address: str, ca_file: Path | None = None) -> None:
        if urlsplit(address).scheme not in ("http", "https"):
            raise ValueError("the collectors' address begins with https://")
        self._url = f"{address.rstrip('/')}/v1/log"
        self._opener = _opener(ssl.create_default_context(cafile=ca_file))

    async def record(self, event: bytes, seconds: float = RECORD_SECONDS) -> None:
        """Return once the event is durable; the same event again is not counted twice.

        Raises:
            NotRecorded: it was refused, or nobody took it for so many seconds.
        """
        end, wait = time.monotonic() + seconds, 0.1
        while True:
            problem, final = await asyncio.to_thread(self._post, event)
            if not problem:
                return
            if final or time.monotonic() + wait > end:
                raise NotRecorded(problem, event)
            _log.warning("usage is not recorded yet: %s", problem)
            await asyncio.sleep(wait * random.uniform(0.5, 1))  # noqa: S311
            wait = min(2 * wait, _MOST_SECONDS)

    def _post(self, event: bytes) -> tuple[str, bool]:
        """What went wrong, and whether it would again; empty: nothing."""
        headers = {"Content-Type": "application/json"}
        request = Request(self._url, event, headers, method="POST")  # noqa: S310
        try:
            with self._opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
                taken: bool = answer.status == 201
                return ("", False) if taken else (f"{self._url} answered {answer.status}", True)
        except HTTPError as error:
            with error:
                said = error.read(1000).decode(errors="replace")
                why = f"{self._url} answered {error.code}: {said}"
                return why, error.code < 500 and error.code not in (408, 429)
        except (OSError, HTTPException) as error:
            return f"{self._url} cannot be reached: {error}", False

    def session(self, usage: Usage) -> Session:
        """A streaming session, to be entered when the socket is opened.

        With ``async with``, or with ``with`` in programs and threads without asyncio.
        """
        return Session(self, usage)


class Session:
    """Reads a session's messages, and records it when its ``with`` or ``async with`` ends.

    With its Termination message it is billed by that. Without one, since the connection was lost,
    it is recorded as far as it was seen here: it then counts as an estimate, until the end of it
    is recorded.
    """

    def __init__(self, collector: Collector, usage: Usage) -> None:
        self._collector = collector
        self._usage = usage
        self._began: float | None = None
        self._ended: dict[str, Any] = {}
        self.id = ""

    def see(self, message: str | bytes | Mapping[str, Any]) -> None:
        """Take note of a message as it came from the socket; all but two are ignored."""
        said = _decoded(message) if isinstance(message, str | bytes) else dict(message)
        if said.get("type") == "Begin":
            self.id, self._began = str(said.get("id") or ""), time.monotonic()
        elif said.get("type") == "Termination":
            self._ended = said

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        event = self.event(datetime.now(UTC))
        if event is not None:
            # Whoever is cancelled has used what it used all the same.
            await asyncio.shield(asyncio.ensure_future(self._collector.record(event)))

    def __enter__(self) -> Self:
        """Enter it; RuntimeError within asyncio, which recording would hold up at the end."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return self
        raise RuntimeError("this program uses asyncio: enter the session with 'async with'")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        event = self.event(datetime.now(UTC))
        if event is not None:
            asyncio.run(self._collector.record(event))

    def event(self, now: datetime) -> bytes | None:
        """What is recorded of the session as it stands; None: it never began."""
        seconds = _seconds(self._ended.get("session_duration_seconds"))
        if seconds is not None:
            return self._event("SESSION_ENDED", seconds, now)
        if self._began is None or not self.id:
            return None
        return self._event("SESSION_STATUS", time.monotonic() - self._began, now)

    def _event(self, kind: str, seconds: float, now: datetime) -> bytes:
        audio = _seconds(self._ended.get("audio_duration_seconds"))
        value = {
            "event": kind,
            "vendor": "assemblyai",
            "source": "assemblyai-realtime",
            "session_id": self.id,
            "customer_id": self._usage.customer_id,
            "contract_id": self._usage.contract_id,
            "time_stamp": now.isoformat().replace("+00:00", "Z"),
            "dimensions": dict(self._usage.dimensions),
            "event_specific_data": {
                "total_received_duration": seconds,
                "session_duration_seconds": seconds,
                **({} if audio is None else {"audio_duration_seconds": audio}),
                "job_config": {"type": "transcription"},
            },
        }
        return json.dumps({name: member for name, member in value.items() if member}).encode()


def _decoded(message: str | bytes) -> dict[str, Any]:
    try:
        said = json.loads(message)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _seconds(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if 0 <= value < float("inf") else None


class _NoRedirects(HTTPRedirectHandler):
    """What is sent goes to nobody else."""

    def redirect_request(self, *_: Any) -> None:
        """Follow none; it becomes an HTTPError."""


def _opener(tls: ssl.SSLContext) -> OpenerDirector:
    return _build_opener(ProxyHandler({}), HTTPSHandler(context=tls), _NoRedirects())


def _upload(url: str, path: Path, key: str) -> dict[str, Any]:
    with path.open("rb") as file:
        headers = {
            "Authorization": key,
            "Content-Type": "application/octet-stream",
            "Content-Length": str(path.stat().st_size),
        }
        return _call(Request(url, file, headers, method="POST"))  # noqa: S310


def _call(request: Request) -> dict[str, Any]:
    opener = _opener(ssl.create_default_context())
    try:
        with opener.open(request, timeout=UPLOAD_SECONDS) as answer:
            found: dict[str, Any] = json.loads(answer.read(1_000_000))
            return found
    except HTTPError as error:
        with error:
            detail = error.read(1000).decode(errors="replace")
        raise OSError(f"AssemblyAI answered {error.code}: {detail}") from None
    except HTTPException as error:
        raise OSError(f"AssemblyAI gave no answer: {error}") from None
