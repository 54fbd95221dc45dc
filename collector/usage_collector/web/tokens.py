"""Who may do what: Bearer tokens with a role, or, without a token file, where a client sits."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import logging
from enum import IntEnum
from typing import TYPE_CHECKING

from usage_collector import files
from usage_collector.errors import Forbidden, InvalidInput, Unauthenticated

if TYPE_CHECKING:
    from pathlib import Path

_log = logging.getLogger(__name__)


class Access(IntEnum):
    """What a route needs: nothing, the role ``read`` or the role ``admin``."""

    OPEN = 0
    READ = 1
    ADMIN = 2


_ROLES = {"read": Access.READ, "admin": Access.ADMIN}


class Guard:
    """Decides on each request of the reporting listener; reads its file again when it changes.

    Raises:
        InvalidInput: the file cannot be used; names the line, never the token.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._stamp = files.fingerprint([path])
        self._tokens = _read(path) if path else {}

    def refresh(self) -> None:
        """Take over a changed file; `InvalidInput` leaves the old tokens in force."""
        stamp = files.fingerprint([self._path])
        if self._path and stamp != self._stamp:
            self._stamp = stamp
            self._tokens = _read(self._path)
            _log.info("tokens were read again: %d", len(self._tokens))

    def check(self, needed: Access, authorization: str | None, client: str | None) -> None:
        """Return when the request may go on.

        Raises:
            Unauthenticated, Forbidden: it may not.
        """
        if needed is Access.OPEN:
            return
        if self._path is None:
            if needed is Access.ADMIN and not _is_loopback(client):
                raise Forbidden(
                    "without a token file this answers clients on the same host only",
                    "set USAGE_TOKENS_FILE and send a token with the role admin",
                )
            return
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Unauthenticated("a token is needed", "send Authorization: Bearer TOKEN")
        role = self._role(token.strip())
        if role is Access.OPEN:
            raise Unauthenticated("the token is not known", "ask for one that is in the token file")
        if role < needed:
            raise Forbidden("the token has the role read", "use one with the role admin")

    def _role(self, token: str) -> Access:
        digest = hashlib.sha256(token.encode(errors="surrogateescape")).digest()
        found = Access.OPEN
        # Every token is compared, so that time tells nothing about them.
        for known, role in self._tokens.items():
            if hmac.compare_digest(known, digest):
                found = role
        return found


def _read(path: Path) -> dict[bytes, Access]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"token file {path} cannot be read: {error}", "check it") from None
    tokens: dict[bytes, Access] = {}
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) != 2 or words[0] not in _ROLES:
            raise InvalidInput(
                f"token file {path}, line {number} is not 'ROLE TOKEN'", "ROLE is read or admin"
            )
        digest = hashlib.sha256(words[1].encode()).digest()
        tokens[digest] = max(_ROLES[words[0]], tokens.get(digest, Access.READ))
    if not tokens:
        raise InvalidInput(f"token file {path} holds no token", "add a line 'admin TOKEN'")
    return tokens


def _is_loopback(client: str | None) -> bool:
    try:
        address = ipaddress.ip_address((client or "").partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)
