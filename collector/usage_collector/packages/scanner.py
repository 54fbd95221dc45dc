"""A strict scanner over the bytes of a package, never holding more than a piece of it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Protocol

import msgspec
from isal import igzip_lib, isal_zlib

from usage_collector.errors import Damaged

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_CHUNK = 256 * 1024
_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_WINDOW = 31
_DAMAGED: type[Exception] = igzip_lib.IsalError  # type: ignore[assignment]
_split = msgspec.json.Decoder(list[msgspec.Raw]).decode
MAX_VALUE = 8 * 1024 * 1024
"""The largest event: what one request may hold."""
MAX_DEPTH = 64


class Malformed(Damaged):
    """The bytes are no package: something stands where the format allows only something else."""


class Sink(Protocol):
    """A hash, or what is fed like one."""

    def update(self, data: bytes, /) -> None:
        """Takes the next bytes."""


class Readable(Protocol):
    """A binary file, or what reads like one."""

    def read(self, size: int, /) -> bytes:
        """The next bytes, none at the end."""


def _object(depth: int) -> bytes:
    # Possessive repeats never step back, so hostile input costs no more than its length.
    string, gap = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', rb'[^{}"]*+'
    pattern = rb"\{%s(?:%s%s)*+\}" % (gap, string, gap)
    for _ in range(depth - 1):
        pattern = rb"\{%s(?:(?:%s|%s)%s)*+\}" % (gap, string, pattern, gap)
    return pattern


OBJECT = re.compile(_object(MAX_DEPTH), re.DOTALL)
SCALAR = re.compile(rb'"(?:[^"\\\x00-\x1f]++|\\.)*+"|null|(?:0|[1-9][0-9]{0,18}+)(?=[,}\]])')


def unpacked(file: Readable, seen: Iterable[Sink] = ()) -> Iterator[bytes]:
    """A file's content in pieces of bounded size, whether it is compressed with gzip or not.

    ``seen`` are fed the file's bytes as they stand in it. `Malformed` names the offset where the
    compression breaks off or something follows it.
    """
    sinks = tuple(seen)
    first = chunk = file.read(_CHUNK)
    packed = first.startswith(_GZIP_MAGIC)
    stream = isal_zlib.decompressobj(_GZIP_WINDOW)
    offset = 0
    while chunk:
        for sink in sinks:
            sink.update(chunk)
        if packed:
            yield from _inflated(stream, chunk, offset)
        else:
            yield chunk
        offset += len(chunk)
        chunk = file.read(_CHUNK)
    if packed and not stream.eof:
        raise Malformed(f"the compressed file ends early, at byte {offset}")


def _inflated(stream: isal_zlib.Decompress, chunk: bytes, offset: int) -> Iterator[bytes]:
    if stream.eof:
        raise Malformed(f"something follows the compressed content, at byte {offset}")
    while chunk:
        try:
            piece = stream.decompress(chunk, _CHUNK * 4)
        except _DAMAGED as error:
            raise Malformed(f"the compression is damaged near byte {offset}: {error}") from None
        if piece:
            yield piece
        chunk = stream.unconsumed_tail
        if stream.eof:
            if stream.unused_data:
                raise Malformed(f"something follows the compressed content near byte {offset}")
            return


class Scanner:
    """Takes a content apart, piece by piece; every refusal names the offset in the content."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._buffer = b""
        self._position = 0
        self._dropped = 0
        self._sinks: tuple[Sink, ...] = ()
        self._unhashed = 0

    @property
    def offset(self) -> int:
        """Where the scanner stands, in bytes of the uncompressed content."""
        return self._dropped + self._position

    def listen(self, *sinks: Sink) -> None:
        """From here on everything passed goes to the sinks too, instead of those before."""
        self._feed()
        self._sinks = sinks

    def _feed(self) -> None:
        if self._sinks and self._position > self._unhashed:
            passed = self._buffer[self._unhashed : self._position]
            for sink in self._sinks:
                sink.update(passed)
        self._unhashed = self._position

    def _more(self, at_least: int) -> bool:
        """Drops what is passed and reads on; False at the end of the content."""
        self._feed()
        parts = [self._buffer[self._position :]]
        read = 0
        for chunk in self._chunks:
            parts.append(chunk)
            read += len(chunk)
            if read >= at_least:
                break
        self._dropped += self._position
        self._position = self._unhashed = 0
        self._buffer = b"".join(parts)
        return read > 0

    def refuse(self, wanted: str) -> Malformed:
        """The error that says what was wanted here and what stands here instead."""
        found = self._buffer[self._position : self._position + 24]
        return Malformed(f"at byte {self.offset} {wanted} is wanted, not {found!r}")

    def peek(self, literal: bytes) -> bool:
        """Whether the next bytes are these; passes nothing."""
        while len(self._buffer) - self._position < len(literal) and self._more(1):
            pass
        return self._buffer.startswith(literal, self._position)

    def skip(self, literal: bytes) -> bool:
        """Passes these bytes if they are next."""
        if not self.peek(literal):
            return False
        self._position += len(literal)
        return True

    def expect(self, literal: bytes) -> None:
        """Passes these bytes; `Malformed` when others are next."""
        if not self.skip(literal):
            raise self.refuse(repr(literal.decode()))

    def take(self, pattern: re.Pattern[bytes], what: str, limit: int = MAX_VALUE) -> bytes:
        """Passes and returns what the pattern matches, at most ``limit`` bytes of it."""
        while True:
            match = pattern.match(self._buffer, self._position)
            # At the buffer's end a shorter match may only be the part that has arrived.
            if match and match.end() < len(self._buffer):
                break
            waiting = len(self._buffer) - self._position
            if waiting > limit or not self._more(waiting + 1):
                break
        if not match or match.end() - match.start() > limit:
            raise self.refuse(what)
        self._position = match.end()
        return match.group()

    def objects(self) -> Iterator[bytes]:
        """Passes JSON objects with single commas between them; ends after the last of them."""
        while True:
            yield self.take(OBJECT, "an event")
            if not self.skip(b","):
                return
            if batch := self._batch():
                yield from batch
                self.expect(b",")

    def _batch(self) -> list[bytes]:
        """Passes the objects that the buffer holds whole but for its last; maybe none.

        The JSON decoder is ten times faster than the pattern. What it takes for a whole number of
        values is one: nothing else can precede the cut that it was given.
        """
        cut = self._buffer.rfind(b"},{", self._position)
        if cut < 0:
            return []
        part = self._buffer[self._position : cut + 1]
        try:
            found = [bytes(raw) for raw in _split(b"[%s]" % part)]
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return []
        plain = sum(map(len, found)) + len(found) - 1 == len(part)
        if not plain or not all(raw[:1] == b"{" and raw[-1:] == b"}" for raw in found):
            return []
        self._position = cut + 1
        return found

    def value(self, pattern: re.Pattern[bytes], what: str, limit: int = MAX_VALUE) -> object:
        """Passes a JSON value and returns it parsed."""
        start = self.offset
        taken = self.take(pattern, what, limit)
        try:
            return json.loads(taken)
        except (ValueError, RecursionError):
            raise Malformed(f"at byte {start} {what} is no valid JSON") from None

    def end(self) -> None:
        """`Malformed` unless the content ends here."""
        if self._position < len(self._buffer) or self._more(1):
            raise self.refuse("the end of the file")
