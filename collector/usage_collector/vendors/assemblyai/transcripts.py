"""How long a transcript's audio was, asked of AssemblyAI's API.

https://www.assemblyai.com/docs/api-reference/transcripts/get
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp
import msgspec

from usage_collector import files
from usage_collector.errors import VendorUnavailable

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 64 * 1024 * 1024
"""Of an answer; the words of ten hours of speech, the longest that are taken, are less."""
SMALL_BYTES = 1024 * 1024
"""Of larger answers only one is held at a time."""
TIMEOUT_SECONDS = 120.0
MOST_SECONDS = 3600.0
"""Nobody is made to wait for longer than that."""
_CONNECT_SECONDS = 10.0
_FORMATS = frozenset({"wav", "mp3", "aac", "ogg", "mpeg", "amr", "m4a", "mp4", "flac"})
_HINTS = {
    400: "look for it in AssemblyAI's dashboard: it is not there, or was deleted",
    401: "check the API key (USAGE_ASSEMBLYAI_KEY_FILE)",
    403: "check the API key (USAGE_ASSEMBLYAI_KEY_FILE)",
    404: "look for it in AssemblyAI's dashboard: it is not there, or was deleted",
}


class _Answer(msgspec.Struct):
    """The few members that are read, whatever their type: text and words are skipped over."""

    id: Any = None
    status: Any = None
    audio_duration: Any = None
    audio_url: Any = None
    language_code: Any = None
    speech_model: Any = None
    speech_model_used: Any = None


_decode = msgspec.json.Decoder(_Answer).decode


@dataclass(frozen=True, slots=True)
class Transcript:
    """What counting needs of one; ``seconds`` is None while it is not known, texts may be empty."""

    status: str
    seconds: float | None
    language: str
    model: str
    format: str


class Transcripts:
    """Asks one API, with the key that stands in its file at that moment."""

    def __init__(self, base: str, key_file: Path | None) -> None:
        self._base = base
        self._key_file = key_file
        self._large = asyncio.Lock()
        self._session: aiohttp.ClientSession | None = None

    @property
    def key_stamp(self) -> object:
        """Another one when the key may be another one."""
        return files.fingerprint([self._key_file])

    async def get(self, transcript: str) -> Transcript:
        """One transcript by its id.

        Raises:
            VendorUnavailable: no usable answer; ask again later.
        """
        headers = {"Authorization": self._key(), "Accept": "application/json"}
        url = f"{self._base}/v2/transcript/{transcript}"
        try:
            # A redirect could lead the key, or the collector, anywhere.
            async with self._opened().get(url, headers=headers, allow_redirects=False) as answer:
                if answer.status != 200:
                    raise _refused(answer.status, answer.headers.get("Retry-After"))
                return await self._read(answer, transcript)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            why = str(error) or type(error).__name__
            raise VendorUnavailable(
                f"AssemblyAI cannot be reached: {why}",
                "check the network, and USAGE_ASSEMBLYAI_URL",
                general=True,
            ) from None

    async def close(self) -> None:
        """End all connections."""
        if self._session is not None:
            await self._session.close()

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            limits = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS, sock_connect=_CONNECT_SECONDS)
            self._session = aiohttp.ClientSession(
                timeout=limits, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
            )
        return self._session

    def _key(self) -> str:
        try:
            key = self._key_file.read_text("ascii").strip() if self._key_file else ""
        except (OSError, UnicodeDecodeError):
            key = ""
        if not key.isprintable() or not key:
            raise VendorUnavailable(
                "there is no API key",
                "put it into the file of USAGE_ASSEMBLYAI_KEY_FILE",
                refused=True,
                general=True,
            )
        return key

    async def _read(self, answer: aiohttp.ClientResponse, transcript: str) -> Transcript:
        body = bytearray()
        chunks = answer.content.iter_chunked(64 * 1024)
        async for chunk in chunks:
            body += chunk
            if len(body) > SMALL_BYTES:
                async with self._large:
                    return _parsed(await _rest(body, chunks), transcript)
        return _parsed(body, transcript)


async def _rest(body: bytearray, chunks: Any) -> bytearray:
    async for chunk in chunks:
        body += chunk
        if len(body) > MAX_BYTES:
            raise VendorUnavailable(
                f"AssemblyAI's answer has more than {MAX_BYTES} bytes",
                "post the transcript's duration by hand, see docs/vendors.md",
                refused=True,
            )
    return body


def _parsed(body: bytearray, transcript: str) -> Transcript:
    try:
        answer = _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        answer = _Answer()
    if answer.id != transcript:
        raise VendorUnavailable(
            "AssemblyAI's answer is not that transcript", "check USAGE_ASSEMBLYAI_URL"
        )
    return Transcript(
        status=_text(answer.status),
        seconds=_seconds(answer.audio_duration),
        language=_text(answer.language_code),
        model=_text(answer.speech_model_used) or _text(answer.speech_model),
        format=_format(_text(answer.audio_url)),
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) and len(value) <= 2048 else ""


def _seconds(value: object) -> float | None:
    """A duration as it was said; whether it is plausible is found out when it is counted."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) and value >= 0 else None
    except OverflowError:
        return None


def _format(url: str) -> str:
    """What the address of the audio ends in, where that is a format."""
    try:
        ending = PurePosixPath(urlsplit(url).path).suffix[1:].lower()
    except ValueError:
        return ""
    return ending if ending in _FORMATS else ""


def _refused(status: int, retry_after: str | None) -> VendorUnavailable:
    if 300 <= status < 400:
        return VendorUnavailable(
            f"AssemblyAI answered {status}, and redirects are not followed",
            "give the address that it leads to as USAGE_ASSEMBLYAI_URL",
            refused=True,
        )
    return VendorUnavailable(
        f"AssemblyAI answered {status}",
        _HINTS.get(status, "it is asked again"),
        seconds=_wait(retry_after, datetime.now(UTC)),
        refused=400 <= status < 500 and status not in (408, 425, 429),
        general=status not in (400, 404, 410),
    )


def _wait(text: str | None, now: datetime) -> float | None:
    """The seconds of a Retry-After (RFC 9110, 10.2.3), a number or a date."""
    if not text:
        return None
    try:
        if text.isascii() and text.isdigit():
            return min(float(text), MOST_SECONDS)
        return min(max((parsedate_to_datetime(text) - now).total_seconds(), 0), MOST_SECONDS)
    except (ValueError, TypeError):
        return None
