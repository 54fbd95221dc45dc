"""The header by which a vendor's notifications are known: only whoever has it may send them."""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
from typing import TYPE_CHECKING

from usage_collector import files
from usage_collector.errors import InvalidInput, UnknownSender

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

_log = logging.getLogger(__name__)

LEAST_CHARACTERS = 16
"""Of a value; shorter ones can be guessed."""
_LINE = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x21-\x7e]+)[ \t]*")


class Headers:
    """The headers of a file with lines ``NAME: VALUE``, read again when it changes.

    Any of them will do: the old one has to, until all that was submitted with it has come.

    Raises:
        InvalidInput: the file cannot be used; names the line, never the value.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = files.fingerprint([path])
        self._known = _read(path)

    def refresh(self) -> None:
        """Take over a changed file; `InvalidInput` leaves the old headers in force."""
        stamp = files.fingerprint([self._path])
        if stamp != self._stamp:
            self._stamp = stamp
            self._known = _read(self._path)
            _log.info("headers of notifications were read again: %d", len(self._known))

    def check(self, values: Callable[[str], Sequence[str]]) -> None:
        """Return when one of the headers is there; ``values`` gives those of a name.

        Raises:
            UnknownSender: none is.
        """
        found = False
        # All are compared, in constant time, so that time tells nothing about them.
        for name, digest in self._known:
            for value in values(name):
                given = hashlib.sha256(value.strip().encode(errors="surrogateescape")).digest()
                found |= hmac.compare_digest(given, digest)
        if not found:
            raise UnknownSender(
                "the header that notifications are known by is missing or another one",
                "submit with the webhook_auth_header_name and _value that are set here",
            )


def _read(path: Path) -> list[tuple[str, bytes]]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"headers file {path} cannot be read: {error}", "check it") from None
    known = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None or len(match[2]) < LEAST_CHARACTERS:
            raise InvalidInput(
                f"headers file {path}, line {number} is not 'NAME: VALUE'",
                f"the value needs {LEAST_CHARACTERS} printable characters or more, and no space",
            )
        known.append((match[1], hashlib.sha256(match[2].encode()).digest()))
    if not known:
        raise InvalidInput(
            f"headers file {path} holds no header", "add a line 'X-Webhook-Secret: VALUE'"
        )
    return known
