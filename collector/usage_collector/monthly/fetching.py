"""One collector's part of a month: its cut fixed, its packages fetched and proved."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm

from usage_collector.errors import InvalidInput, NotFound, PeerUnavailable
from usage_collector.monthly import earlier
from usage_collector.packages import FileReport, Trust, file_name, key_id, read_public_keys
from usage_collector.packages.checking import Check
from usage_collector.packages.joining import joined
from usage_collector.peers import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from usage_collector.peers import Cut, CutFile, Peer, Status
    from usage_collector.periods import Period
    from usage_collector.sessions import Use
    from usage_collector.totals.month import Earlier

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a collector gave: its status after the cut, and its packages as they arrived.

    ``sessions`` are files with what it counted in earlier periods; ``untold`` those periods of
    which it should tell that and cannot.
    """

    status: Status
    cut: Cut
    packages: tuple[tuple[CutFile, Path], ...]
    proofs: Mapping[str, bytes]
    sessions: tuple[tuple[str, Path], ...]
    untold: tuple[str, ...]


class Unproved(PeerUnavailable):
    """A collector's packages are not what was asked for, or do not verify."""


def fetch(peer: Peer, period: Period, limits: Mapping[str, float], spool: Path) -> Fetched:
    """Fixes the cut and fetches everything that belongs to it into ``spool``, a folder of its own.

    `PeerUnavailable` when any of it cannot be had: a collector's part is whole or a gap.
    """
    spool.mkdir()
    files = peer.cut(str(period), limits)
    status = peer.status()
    cut = status.cut(str(period))
    if cut is None:
        raise PeerUnavailable(f"{peer.url} does not list the cut that it made")
    packages = []
    for number, file in enumerate(sorted(files, key=lambda one: (one.ledger, one.first))):
        path = spool / f"{number}.part"
        peer.package(file, str(period), path)
        packages.append((file, path))
    sessions, untold = _sessions(peer, status, period, spool)
    return Fetched(status, cut, tuple(packages), _proofs(peer, spool), sessions, untold)


def _proofs(peer: Peer, spool: Path) -> dict[str, bytes]:
    path = spool / "proof.pem"
    path.write_bytes(peer.proof_keys())
    try:
        return {key_id(key): key for key in read_public_keys(path)}
    except (InvalidInput, UnsupportedAlgorithm) as error:
        raise Unproved(f"{peer.url} serves no usable proof key: {error}") from None


def _sessions(
    peer: Peer, status: Status, period: Period, spool: Path
) -> tuple[tuple[tuple[str, Path], ...], tuple[str, ...]]:
    """What the two periods before counted, so that nothing is billed in two months.

    And those of which the collector can no longer tell: the month itself is still to be had.
    """
    found, untold = [], []
    for before in (period.previous, period.previous.previous):
        if status.cut(str(before)):
            path = spool / f"{before}.sessions"
            try:
                peer.sessions(str(before), path)
                _read_through(path, before, status.collector)
            except (NotFound, Refused, Unproved) as error:
                _log.warning("%s", error)
                untold.append(str(before))
            else:
                found.append((str(before), path))
    return tuple(found), tuple(untold)


def _read_through(path: Path, period: Period, collector: str) -> None:
    """Nonsense is told apart here, where it concerns this collector alone, not all the month."""
    try:
        for _ in earlier.read(path, str(period), collector):
            pass
    except PeerUnavailable as error:
        raise Unproved(error.detail) from None


def counted_before(fetched: Fetched) -> list[Iterator[Earlier]]:
    """What this collector counted in earlier periods, each in the order of identities."""
    name = fetched.status.collector
    return [earlier.read(path, period, name) for period, path in fetched.sessions]


def prove(
    fetched: Fetched,
    period: Period,
    heads: Mapping[tuple[str, int], str],
    take: Callable[[Use], None],
) -> list[FileReport]:
    """Verifies every package of a collector; each gets its name in the spool folder.

    ``heads`` are hashes where earlier deliveries ended. `Unproved` says what is wrong: then none
    of them may be delivered, and what ``take`` was given is void.
    """
    trust = Trust(proofs=fetched.proofs)
    reports = [_proved(file, path, trust, take) for file, path in fetched.packages]
    for (asked, path), report in zip(fetched.packages, reports, strict=True):
        _compare(fetched, period, asked, report)
        chain = report.contents.chain
        known = chain and heads.get((asked.ledger, chain.first - 1))
        if chain and known and known != chain.before.hex():
            raise Unproved(f"{report.name} does not join the period before")
        path.rename(path.with_name(report.name))
    for finding in joined(reports):
        raise Unproved(f"{finding.file}: {finding.kind}, {finding.detail}")
    return reports


def _proved(file: CutFile, path: Path, trust: Trust, take: Callable[[Use], None]) -> FileReport:
    check = Check(f"positions {file.first} to {file.last}", trust, take)
    with path.open("rb") as package:
        check.run(package)
    for finding in check.findings:
        raise Unproved(f"{finding.file}: {finding.kind}, {finding.detail}")
    assert check.report  # noqa: S101 - without a finding there is a report
    return replace(check.report, name=file_name(check.report.contents))


def _compare(fetched: Fetched, period: Period, asked: CutFile, report: FileReport) -> None:
    contents, chain = report.contents, report.contents.chain
    got = (
        contents.collector,
        contents.period,
        contents.ledger,
        chain and chain.first,
        chain and chain.last,
    )
    wanted = (fetched.status.collector, str(period), asked.ledger, asked.first, asked.last)
    if got != wanted:
        raise Unproved(f"it sent {got} where {wanted} was asked for")
