"""Proves files and whole deliveries, offline: unaltered, complete, nothing twice, the totals."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

from usage_collector.errors import InvalidInput
from usage_collector.packages import manifest as manifests
from usage_collector.packages.across import (
    Before,
    Counted,
    before,
    is_counted,
    joined_months,
    joining,
)
from usage_collector.packages.checking import Check
from usage_collector.packages.delivery import (
    announced,
    compare,
    covered,
    moment_counted,
    resumed,
    revisions,
    summaries,
)
from usage_collector.packages.findings import Delivered, FileReport, Finding, Kind, Report, Trust
from usage_collector.packages.joining import joined, same_files
from usage_collector.packages.reading import Foreign
from usage_collector.packages.scanner import Malformed
from usage_collector.packages.sorting import Sorter
from usage_collector.totals import Totals, merged
from usage_collector.totals.month import Month

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from usage_collector.packages.manifest import Manifest
    from usage_collector.sessions import Use

Progress: TypeAlias = "Callable[[int], None]"
"""Told the number of bytes read since it was last called."""

_FOREVER = 2**62
"""Without a manifest nobody knows when to count, so every session without an end is estimated."""


class _Counting:
    """A file that tells how far it was read."""

    def __init__(self, file: BinaryIO, progress: Progress) -> None:
        self._file = file
        self._progress = progress

    def read(self, size: int, /) -> bytes:
        data = self._file.read(size)
        self._progress(len(data))
        return data


def find(paths: Iterable[Path]) -> list[Path]:
    """The packages and manifests that these files and folders (also nested ones) hold.

    `InvalidInput` for a path that does not exist and for a folder without any.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = [
                one
                for one in sorted(path.rglob("*"))
                if one.name.endswith((".json.gz", ".json")) and not one.is_dir()
            ]
            if not inside:
                raise InvalidInput(
                    f"{path} holds no package", "give files that a collector exported"
                )
            found += inside
        else:
            found.append(path)
    for path in found:
        if not path.is_file():
            what = "is no regular file" if path.exists() else "does not exist"
            raise InvalidInput(f"{path} {what}", "check the path")
    return found


@dataclass(slots=True)
class _Delivery:
    """The files of one folder with a manifest, or all files of folders without any."""

    paths: list[Path] = field(default_factory=list)
    # Only what joins months: a year's lists of duplicates are too much to be held at once.
    manifests: list[tuple[str, Manifest]] = field(default_factory=list)
    files: list[FileReport] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    totals: Totals = field(default_factory=Totals)

    @property
    def period(self) -> str:
        """The month that it reports, nothing where nobody says."""
        return self.manifests[-1][1].period if self.manifests else ""


class _Verifier:
    """Goes through the files once and gathers what it finds."""

    def __init__(self, paths: Sequence[Path], trust: Trust, progress: Progress) -> None:
        self._trust = trust
        self._progress = progress
        self._not_counted = _copies(paths)
        self._counted: dict[str, Counted] = {}
        self.findings: list[Finding] = []
        self.notes: list[str] = []
        self.deliveries = self._deliveries(paths)

    def _deliveries(self, paths: Sequence[Path]) -> list[_Delivery]:
        folders: dict[Path, _Delivery] = defaultdict(_Delivery)
        for path in paths:
            if manifests.revision_of(path.name):
                self._manifest(path, folders[path.parent])
        loose = _Delivery()
        for path in paths:
            if not manifests.revision_of(path.name):
                folders.get(path.parent, loose).paths.append(path)
        return [*sorted(folders.values(), key=lambda one: one.period), loose]

    def _manifest(self, path: Path, delivery: _Delivery) -> None:
        name = str(path)
        try:
            found = self._read(path, self._progress)
        except Malformed as error:
            kind = Kind.NOT_OURS if isinstance(error, Foreign) else Kind.ALTERED
            self.findings.append(Finding(kind, name, str(error)))
            return
        delivery.manifests.append((name, joining(found)))
        delivery.manifests.sort(key=lambda one: one[1].revision)

    def _read(self, path: Path, progress: Progress) -> Manifest:
        with path.open("rb") as file:
            return manifests.read(_Counting(file, progress), self._trust.secrets)

    def _trusted(self, delivery: _Delivery) -> Trust:
        """The keys that will do in this folder: a manifest vouches for those it lists.

        So that a month that was begun under an old key can be proved with the new one alone.
        """
        trust = self._trust
        for name, manifest in reversed(delivery.manifests):
            if wrong := trust.judge(name, manifest.seal):
                self.findings.append(wrong)
            else:
                trust = trust.with_keys(str(key.get("kid")) for key in manifest.lines("keys"))
        return trust

    def run(self, delivery: _Delivery) -> None:
        """Checks one delivery's packages and counts what they hold."""
        slim = delivery.manifests
        delivery.manifests = [(name, self._read(Path(name), _unnoticed)) for name, _ in slim]
        self._run(delivery)
        delivery.manifests = slim

    def _run(self, delivery: _Delivery) -> None:
        trust = self._trusted(delivery)
        with Sorter() as uses:
            for path in delivery.paths:
                # A copy is found as such; what it holds is not counted again.
                take = _ignore if path in self._not_counted else uses.add
                self._not_counted.add(path)
                check = Check(str(path), trust, take)
                with path.open("rb") as file:
                    check.run(_Counting(file, self._progress))
                self.findings += check.findings
                if check.report:
                    delivery.files.append(check.report)
                else:
                    delivery.unreadable.append(str(path))
            if delivery.manifests:
                self._count(delivery, uses)
            else:
                month = Month(counted_at=_FOREVER)
                for gathered in uses.groups():
                    month.add(gathered)
                delivery.totals = month.after

    def _count(self, delivery: _Delivery, uses: Sorter) -> None:
        name, newest = delivery.manifests[-1]
        self.findings += revisions(delivery.manifests)
        try:
            for use in (*resumed(newest), *announced(newest)):
                uses.add(use)
        except Malformed as error:
            self.findings.append(Finding(Kind.ALTERED, name, str(error)))
        month, counted = self._month(name, newest, uses)
        if not delivery.unreadable:
            self._counted[newest.period] = counted
        self.findings += compare(name, newest, delivery.files, delivery.unreadable, month)
        for path, manifest in delivery.manifests:
            self.findings += summaries(Path(path), manifest)
        delivery.totals = month.after

    def _month(self, name: str, newest: Manifest, uses: Sorter) -> tuple[Month, Counted]:
        """The files counted again, and against the months before as far as these were given."""
        wanted = before(newest.period)
        for period in self._counted.keys() - {*wanted, newest.period}:
            self._counted.pop(period).close()
        given = {period: self._counted[period] for period in wanted if period in self._counted}
        month, earlier, counted = (
            Month(moment_counted(newest), covered(newest)),
            Before(name, newest, given),
            Counted(),
        )
        for gathered in uses.groups():
            month.add(gathered, earlier.of(gathered))
            if is_counted(gathered):
                counted.add(gathered[0].identity)
        self.findings += earlier.findings
        if unproved := sorted(earlier.unproved):
            self.notes.append(
                f"{name} leaves out what {', '.join(unproved)} counted already, or corrects it; "
                "give that too, and it is proved"
            )
        return month, counted


def _ignore(_: Use) -> None:
    """Takes nothing."""


def _unnoticed(_: int) -> None:
    """What is read a second time is no progress."""


def _copies(paths: Sequence[Path]) -> set[Path]:
    """The files that are byte for byte another one's copy; only files of equal size are read."""
    sizes: dict[int, list[Path]] = defaultdict(list)
    for path in paths:
        sizes[path.stat().st_size].append(path)
    seen: set[bytes] = set()
    copies = set()
    for alike in sizes.values():
        for path in dict.fromkeys(alike) if len(alike) > 1 else ():
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").digest()
            if digest in seen:
                copies.add(path)
            seen.add(digest)
    return copies


def verify(paths: Sequence[Path], trust: Trust, progress: Progress = lambda _: None) -> Report:
    """Everything that can be said of these files without asking anybody.

    Constant memory, but for a few hundred bytes a file and what is listed as wrong; sorting a
    month's sessions takes room in the system's place for temporary files.
    """
    verifier = _Verifier(find(paths), trust, progress)
    for delivery in verifier.deliveries:
        verifier.run(delivery)
    files = [file for delivery in verifier.deliveries for file in delivery.files]
    twins = list(same_files(files))
    doubled = {finding.file for finding in twins}
    single = [file for file in files if file.name not in doubled]
    return Report(
        files=tuple(files),
        manifests=tuple(
            Delivered(name, newest.period, newest.revision, delivery.totals, trust.given)
            for delivery in verifier.deliveries
            for name, newest in delivery.manifests[-1:]
        ),
        findings=(
            *verifier.findings,
            *joined_months(one.manifests for one in verifier.deliveries),
            *twins,
            *joined(single),
        ),
        totals=merged(delivery.totals for delivery in verifier.deliveries),
        notes=tuple(verifier.notes),
    )
