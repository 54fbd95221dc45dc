"""Packages that lie anywhere, taken for a backup: exported, delivered or copied by hand.

There is no index, so they say themselves whose they are. Where a package names its period, or a
month's manifest lies beside them, what was cut comes back too: it must not be in another month.
The manifests themselves go to the collectors, for which the month after asks.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from usage_collector.backup.index import INDEXES, Index, Kept, Stored
from usage_collector.backup.returning import Source
from usage_collector.backup.sealing import SUFFIX, Unsealed
from usage_collector.backup.stores import place
from usage_collector.errors import Damaged, InvalidInput
from usage_collector.packages import Malformed, Trust, manifest
from usage_collector.packages.checking import Check
from usage_collector.peers import Cut, CutFile, Ledger
from usage_collector.periods import Period, moment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from usage_collector.backup.sealing import Key
    from usage_collector.packages import FileReport
    from usage_collector.packages.manifest import Manifest
    from usage_collector.packages.scanner import Readable

_LIMITS: dict[str, int | float] = {"megabytes": 18, "batch_jobs": 10_000, "realtime_hours": 1250}
_ENDINGS = (".json.gz", f".json.gz{SUFFIX}")


class _Found(NamedTuple):
    """A package, or a line of a manifest about one (which has no ``stored``)."""

    collector: str
    zone: str
    ledger: str
    first: int
    last: int
    period: str | None
    at: datetime
    stored: Stored | None


def are_loose(paths: Sequence[Path]) -> bool:
    """Whether these are packages by themselves, not a place of backups."""
    return len(paths) > 1 or (paths[0].exists() and not place(str(paths[0])).collectors())


def gather(paths: Iterable[Path], key: Key | None) -> list[Source]:
    """The files, and those in the folders, as one backup for each collector.

    Raises:
        InvalidInput: there are none, or one cannot be used.
        Damaged: one is not as it was signed.
    """
    found: list[_Found] = []
    newest: dict[str, tuple[int, Path]] = {}
    for path in [file for one in paths for file in _files(one)]:
        if manifest.revision_of(path.name):
            read = _manifest(path)
            found += _promised(read, _changed(path))
            if read.revision > newest.get(read.period, (0,))[0]:
                newest[read.period] = read.revision, path
        else:
            found.append(_package(path, key))
    if not any(one.stored for one in found):
        raise InvalidInput(
            "these files hold no packages", "give usage-*.json.gz, as a backup or an export has it"
        )
    whose = {one.ledger: (one.collector, one.zone) for one in reversed(found) if one.stored}
    names = dict.fromkeys(whose.values())
    kept = [_kept(period, path) for period, (_, path) in sorted(newest.items())]
    return [
        Source(_Files(), _index(collector, zone, [one for one in found if whose.get(one.ledger)
                                                  == (collector, zone)], kept), key)
        for collector, zone in names
    ]  # fmt: skip


def _files(path: Path) -> list[Path]:
    if not path.exists():
        raise InvalidInput(f"there is no {path}", "give packages, or a folder that holds them")
    if path.is_file():
        return [path]
    if index := next((one for one in path.rglob("*.json") if one.name in INDEXES), None):
        # It knows what was delivered, which the packages beside it do not say.
        raise InvalidInput(
            f"{index} tells more than the packages there", "restore the place of backups, alone"
        )
    return sorted(
        one
        for one in path.rglob("*")
        if one.name.endswith(_ENDINGS) or manifest.revision_of(one.name)
    )


def _changed(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def _package(path: Path, key: Key | None) -> _Found:
    with path.open("rb") as file:
        report = _proved(path, _plain(path, file, key))
    contents, chain = report.contents, report.contents.chain
    if chain is None or contents.ledger is None:
        raise InvalidInput(
            f"{path} holds a window of time, not positions of a ledger",
            "give packages of a month or of a backup: a window cannot be joined to a chain",
        )
    stored = Stored(
        file=str(path),
        ledger=contents.ledger,
        first=chain.first,
        last=chain.last,
        before=chain.before.hex(),
        after=chain.after.hex(),
        bytes=report.seal.size,
        sha256=report.seal.sha256,
        stored_bytes=path.stat().st_size,
        taken=_changed(path),
    )
    return _Found(contents.collector, contents.zone, contents.ledger, chain.first, chain.last,
                  contents.period, stored.taken, stored)  # fmt: skip


def _plain(path: Path, file: Readable, key: Key | None) -> Readable:
    if not path.name.endswith(SUFFIX):
        return file
    if key is None:
        raise InvalidInput(
            f"{path} is encrypted", "give the key file that it was made with (--key-file)"
        )
    return Unsealed(key.opened(file, path.name))


def _proved(path: Path, file: Readable) -> FileReport:
    check = Check(str(path), Trust(), lambda _: None)
    check.run(file)
    if check.findings or check.report is None:
        what = "; ".join(f"{one.kind}: {one.detail}" for one in check.findings)
        raise Damaged(f"{path}: {what}", "leave it out, or give a good copy of it")
    return check.report


def _manifest(path: Path) -> Manifest:
    try:
        with path.open("rb") as file:
            read = manifest.read(file, {})
        if finding := Trust().judge(str(path), read.seal):
            raise Damaged(f"{path}: {finding.detail}", "give it as it was delivered")
    except Malformed as error:
        raise Damaged(f"{path}: {error.detail}", "give it as it was delivered") from None
    return read


def _promised(read: Manifest, at: datetime) -> list[_Found]:
    """What a month's manifest says was in its packages."""
    zones, times = {}, {}
    for line in read.lines("collectors"):
        zones[line.get("collector")] = str(line.get("zone"))
        with suppress(ValueError):
            times[line.get("collector")] = datetime.fromisoformat(str(line.get("cut_at")))
    found = []
    for line in read.lines("files"):
        first, last, who = line.get("first"), line.get("last"), line.get("collector")
        if isinstance(first, int) and isinstance(last, int):
            found.append(_Found(str(who), zones.get(who, ""), str(line.get("ledger")), first, last,
                                read.period, times.get(who, at), None))  # fmt: skip
    return found


def _kept(period: str, path: Path) -> Kept:
    data = path.read_bytes()
    return Kept(period, str(path), len(data), hashlib.sha256(data).hexdigest(), len(data))


def _index(collector: str, zone: str, found: Sequence[_Found], kept: list[Kept]) -> Index:
    packages = _covering([one.stored for one in found if one.stored])
    periods = _periods(found)
    # A ledger began no later than the first month that something of it was cut for.
    starts = [moment(Period.parse(cut.period).start) for cut in periods]
    began = min([*starts, *(one.taken for one in packages)])
    ledgers = [
        Ledger(ledger, "closed", began) for ledger in dict.fromkeys(one.ledger for one in packages)
    ]
    return Index(
        collector=collector,
        zone=zone,
        ledgers=ledgers,
        packages=packages,
        periods=periods,
        manifests=kept,
    )


def _covering(packages: Iterable[Stored]) -> list[Stored]:
    """In the order of positions, without those that larger ones hold already."""
    kept: list[Stored] = []
    for one in sorted(packages, key=lambda one: (one.ledger, one.first, -one.last)):
        if not (kept and kept[-1].ledger == one.ledger and one.last <= kept[-1].last):
            kept.append(one)
    return kept


def _periods(found: Iterable[_Found]) -> list[Cut]:
    """The cuts that the packages and manifests tell of."""
    by_period: dict[str, dict[tuple[str, int, int], _Found]] = defaultdict(dict)
    for one in found:
        if one.period:
            by_period[one.period].setdefault((one.ledger, one.first, one.last), one)
    cuts = []
    for period, files in sorted(by_period.items()):
        ends: dict[str, int] = {}
        for ledger, _, last in files:
            ends[ledger] = max(ends.get(ledger, 0), last)
        cuts.append(
            Cut(
                period=period,
                cut_at=min(one.at for one in files.values()),
                files=[CutFile(*key, key[2] - key[1] + 1) for key in sorted(files)],
                ends=ends,
                limits=_LIMITS,
            )
        )
    return cuts


class _Files:
    """Files by their own paths."""

    name = "the files given"

    @contextmanager
    def open(self, name: str) -> Iterator[Readable]:
        """A file, to be read."""
        with Path(name).open("rb") as file:
            yield file
