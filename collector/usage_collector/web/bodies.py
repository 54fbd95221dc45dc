"""Reading a request's body: bounded in bytes before and after inflating, and in time."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import zstandard

from usage_collector.errors import InvalidInput, TooLarge, TooSlow, UnsupportedEncoding
from usage_collector.web.room import FREE_BYTES

if TYPE_CHECKING:
    from aiohttp import web

    from usage_collector.web.room import Lease

MAX_BYTES = 8 * 1024 * 1024
"""Of a body, as sent and after inflating."""
READ_SECONDS = 30.0
MAX_MEMBERS = 1000
"""Of a compressed body; each costs some work, however little is in it."""
_INFLATE_CHUNK = 64 * 1024
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


async def read(request: web.BaseRequest, lease: Lease) -> bytes:
    """The body, inflated where it came compressed; the lease holds its bytes afterwards.

    Raises:
        InvalidInput: broken compression.
        TooSlow: it did not arrive in time.
        StorageUnavailable: there is no room for it at the moment, or the collector ends.
        UnsupportedEncoding: an encoding that is not known, or several.
        TooLarge: more than ``MAX_BYTES``.
    """
    encoding = ""
    if "Content-Encoding" in request.headers:
        encoding = ",".join(request.headers.getall("Content-Encoding")).strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip", "zstd"):
        raise UnsupportedEncoding(
            f"Content-Encoding {encoding[:40]!r} is not known", "use gzip, zstd or none"
        )
    inflated_bytes = 0 if encoding in ("", "identity") else MAX_BYTES
    try:
        # Small bodies are mostly there already; a timer would cost more than reading them.
        if request.content.is_eof():
            data = request.content.read_nowait()
            if len(data) > FREE_BYTES:
                await lease.grow(len(data) + inflated_bytes)
        else:
            _invite(request)
            connection: Any = request.protocol
            async with connection.waiting(READ_SECONDS):
                data = await _read_up_to(request, lease, inflated_bytes)
    except TimeoutError:
        raise TooSlow(
            f"the body did not arrive within {READ_SECONDS:.0f} s", "send it again"
        ) from None
    if not inflated_bytes:
        return data
    # Nobody knows what will come out; nothing else runs until it is known.
    await lease.grow(len(data) + MAX_BYTES)
    inflated = _unzstd(data) if encoding == "zstd" else _gunzip(data)
    lease.shrink(len(inflated))
    return inflated


def _invite(request: web.BaseRequest) -> None:
    """Ask for a body that did not come with the headers, if it may be that large."""
    if (request.content_length or 0) > MAX_BYTES:
        raise _too_large()
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport:
        request.transport.write(_CONTINUE)


async def _read_up_to(request: web.BaseRequest, lease: Lease, more: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while chunk := await request.content.readany():
        size += len(chunk)
        if size > MAX_BYTES:
            raise _too_large()
        if size > FREE_BYTES:
            # For all that will be needed, so that no two wait for each other with half in hand.
            await lease.grow((request.content_length or MAX_BYTES) + more)
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _gunzip(data: bytes) -> bytes:
    """One gzip file of one or more members (RFC 1952)."""
    inflated: list[bytes] = []
    room = MAX_BYTES + 1
    at = members = 0
    while at < len(data):
        members += 1
        if members > MAX_MEMBERS:
            raise InvalidInput(
                f"the gzip body has more than {MAX_MEMBERS} members", "compress it in one piece"
            )
        inflater = zlib.decompressobj(16 + zlib.MAX_WBITS)
        while not inflater.eof:
            # What one member leaves over is copied, so it gets the body in small pieces.
            piece = inflater.unconsumed_tail or data[at : (at := at + _INFLATE_CHUNK)]
            if not piece:
                raise InvalidInput("the gzip body is cut short", "send it again")
            try:
                inflated.append(inflater.decompress(piece, room))
            except zlib.error as error:
                raise InvalidInput(f"the body is not gzip: {error}", "compress it again") from None
            room -= len(inflated[-1])
            if room <= 0:
                raise _too_large()
        at = min(at, len(data)) - len(inflater.unused_data)
    if not members:
        raise InvalidInput("the gzip body is cut short", "send it again")
    return b"".join(inflated)


def _unzstd(data: bytes) -> bytes:
    """One or more zstd frames (RFC 8878), each whole."""
    decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_BYTES)
    inflated: list[bytes] = []
    frames = 0
    try:
        _measure(decompressor, data)
        # It says of each frame whether its end is there, but knows no limit of its own.
        while data:
            frames += 1
            if frames > MAX_MEMBERS:
                raise InvalidInput(
                    f"the zstd body has more than {MAX_MEMBERS} frames", "compress it in one piece"
                )
            frame = decompressor.decompressobj()
            inflated.append(frame.decompress(data))
            if not frame.eof:
                raise InvalidInput("the zstd body is cut short", "send it again")
            data = frame.unused_data
    except zstandard.ZstdError as error:
        raise InvalidInput(f"the body is not zstd: {error}", "compress it again") from None
    if not frames:
        raise InvalidInput("the zstd body is cut short", "send it again")
    return b"".join(inflated)


def _measure(decompressor: zstandard.ZstdDecompressor, data: bytes) -> None:
    """Refuse what inflates to too much, piece by piece and keeping none."""
    room = MAX_BYTES
    with decompressor.stream_reader(data, read_across_frames=True) as reader:
        while piece := reader.read(_INFLATE_CHUNK):
            room -= len(piece)
            if room < 0:
                raise _too_large()


def _too_large() -> TooLarge:
    return TooLarge(f"the body has more than {MAX_BYTES} bytes", "send fewer events a request")
