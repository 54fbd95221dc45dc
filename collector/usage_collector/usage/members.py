"""Who the other collectors are, and with which token and CA they are asked."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from usage_collector import files, peers
from usage_collector.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from usage_collector.settings import Settings

_log = logging.getLogger(__name__)


class Members:
    """The collectors that should exist, by a list that is read again when it changes.

    ``listed`` is told the addresses, which may be our own too, before `peers` has them.
    ``problem`` says why it is not known who they are, where that is so.
    """

    def __init__(self, settings: Settings, listed: Callable[[Collection[str]], None]) -> None:
        self._settings = settings
        self._listed = listed
        self._stamp: object = None
        self._connect: Callable[[str], peers.Peer] = peers.Peer
        self.peers: dict[str, peers.Peer] = {}
        self.problem = "it was not read yet who the others are" if settings.peers else ""

    @property
    def is_known(self) -> bool:
        """Whether it is known by now who the others are."""
        return not self._settings.peers or bool(self._stamp)

    def refresh(self) -> None:
        """Read again what changed; what cannot be read leaves the old in use."""
        settings = self._settings
        if not settings.peers:
            return
        try:
            urls = peers.addresses(settings.peers, secure=settings.pandas_secure)
            stamp = (urls, files.fingerprint([settings.ca_file, settings.tokens_file]))
            if stamp == self._stamp:
                self.problem = ""
                return
            token, tls = _token(settings), peers.trust(settings.ca_file)
        except (UsageError, OSError) as error:
            if self.problem != str(error):
                _log.warning("it is not known who the other collectors are: %s", error)
            self.problem = str(error)
            return
        self.close()
        self._listed(urls)
        self._connect = partial(peers.Peer, token=token, tls=tls, attempts=1)
        self.peers = {url: self.connect(url) for url in urls}
        self._stamp, self.problem = stamp, ""

    def connect(self, url: str) -> peers.Peer:
        """A connection of one's own to one of them, to be closed."""
        return self._connect(url)

    def close(self) -> None:
        """Give their connections back."""
        for peer in self.peers.values():
            peer.close()


def _token(settings: Settings) -> str | None:
    """A token that the others know too, since all of a fleet have the same file."""
    if settings.tokens_file is None:
        return None
    lines = [line.split() for line in settings.tokens_file.read_text("utf-8").splitlines()]
    # "read" sorts behind "admin", and is enough.
    tokens = sorted(words for words in lines if len(words) == 2 and words[0] in ("read", "admin"))
    return tokens[-1][1] if tokens else None
