"""What a run was told, and a month as it comes together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from usage_collector.monthly.fetching import Fetched
    from usage_collector.packages import FileReport, Keys
    from usage_collector.packages.manifest import Gap, Source
    from usage_collector.peers import Peer
    from usage_collector.targets import Destination


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """Whom to ask, and as whom; ``say`` is told of progress."""

    peers: Sequence[str]
    token: str | None = None
    tls: ssl.SSLContext | None = None
    say: Callable[[str], None] = lambda _: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order(Asking):
    """What a run was told: whom to ask, within which limits, what to sign with, where to deliver.

    ``spool`` is an empty folder with room for the month. ``retired`` are collectors that were
    removed after all that they held was sent: nobody misses them.
    """

    limits: Mapping[str, float]
    keys: Keys
    destinations: Sequence[Destination]
    spool: Path
    retired: frozenset[str] = frozenset()

    @property
    def names(self) -> list[str]:
        """How receipts call the destinations."""
        return [one.name for one in self.destinations]


@dataclass(slots=True)
class Parts:
    """A month as it comes together.

    ``kept`` are packages that were delivered before and that no collector gives now, with where
    they lie, ``unshown`` those of them that nobody shows.
    """

    fetched: list[tuple[Peer, Fetched]] = field(default_factory=list)
    files: dict[str, list[FileReport]] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)
    kept: list[tuple[FileReport, Path]] = field(default_factory=list)
    unshown: list[Gap] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)

    @property
    def all_files(self) -> list[FileReport]:
        """The packages of all collectors that are to be delivered."""
        return [file for files in self.files.values() for file in files] + [
            file for file, _ in self.kept
        ]
