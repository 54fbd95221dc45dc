"""Proves files and whole deliveries, offline: unaltered, complete, nothing twice, the totals."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

from usage_collector.errors import InvalidInput
from usage_collector.packages import manifest as manifests
from usage_collector.packages.checking import Check
from usage_collector.packages.delivery import compare, listed_earlier, moment_counted
from usage_collector.packages.findings import Delivered, FileReport, Finding, Kind, Report, Trust
from usage_collector.packages.joining import joined, same_files
from usage_collector.packages.reading import Foreign
from usage_collector.packages.scanner import Malformed
from usage_collector.packages.sorting import Sorter
from usage_collector.totals import Totals, merged
from usage_collector.totals.month import Month

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from usage_collector.packages.manifest import Manifest

Progress: TypeAlias = "Callable[[int], None]"
"""Told the number of bytes read since it was last called."""

_FOREVER = 2**62
"""Without a manifest nobody knows when to count, so every session without an end is estimated."""


class _Counted:
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
                if one.is_file() and one.name.endswith((".json.gz", ".json"))
            ]
            if not inside:
                raise InvalidInput(
                    f"{path} holds no package", "give files that a collector exported"
                )
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise InvalidInput(f"{path} does not exist", "check the path")
    return found


@dataclass(slots=True)
class _Group:
    """The files of one folder; with a manifest they are one delivery."""

    manifests: list[tuple[str, Manifest]] = field(default_factory=list)
    files: list[FileReport] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    totals: Totals = field(default_factory=Totals)


def verify(paths: Sequence[Path], trust: Trust, progress: Progress = lambda _: None) -> Report:
    """Everything that can be said of these files without asking anybody.

    Constant memory, but for a few hundred bytes a file and what is listed as wrong; sorting a
    month's sessions takes room in the system's place for temporary files.
    """
    folders: dict[Path, list[Path]] = defaultdict(list)
    for path in find(paths):
        folders[path.parent].append(path)
    findings: list[Finding] = []
    groups = [_group(names, trust, progress, findings) for names in folders.values()]
    files = [file for group in groups for file in group.files]
    twins = list(same_files(files))
    doubled = {finding.file for finding in twins}
    findings += twins
    findings += joined([file for file in files if file.name not in doubled])
    return Report(
        files=tuple(files),
        manifests=tuple(one for group in groups for one in _delivered(group, trust)),
        findings=tuple(findings),
        totals=merged(group.totals for group in groups),
    )


def _group(
    paths: Sequence[Path], trust: Trust, progress: Progress, findings: list[Finding]
) -> _Group:
    group = _Group()
    for path in paths:
        if manifests.revision_of(path.name):
            _manifest(path, trust, group, progress, findings)
    with Sorter() as uses:
        for path in paths:
            if manifests.revision_of(path.name):
                continue
            check = Check(str(path), trust, uses.add)
            with path.open("rb") as file:
                check.run(_Counted(file, progress))
            findings += check.findings
            if check.report:
                group.files.append(check.report)
            else:
                group.unreadable.append(str(path))
        _count(group, uses, findings)
    return group


def _manifest(
    path: Path, trust: Trust, group: _Group, progress: Progress, findings: list[Finding]
) -> None:
    name = str(path)
    try:
        with path.open("rb") as file:
            found = manifests.read(_Counted(file, progress), trust.secrets)
    except Malformed as error:
        kind = Kind.NOT_OURS if isinstance(error, Foreign) else Kind.ALTERED
        findings.append(Finding(kind, name, str(error)))
        return
    if wrong := trust.judge(name, found.seal):
        findings.append(wrong)
    group.manifests.append((name, found))
    group.manifests.sort(key=lambda one: one[1].revision)


def _count(group: _Group, uses: Sorter, findings: list[Finding]) -> None:
    if not group.manifests:
        month = Month(counted_at=_FOREVER)
        for gathered in uses.groups():
            month.add(gathered)
    else:
        name, newest = group.manifests[-1]
        month = Month(counted_at=moment_counted(newest))
        earlier = listed_earlier(newest)
        for gathered in uses.groups():
            month.add(gathered, earlier.get(gathered[0].identity, ()))
        findings += compare(name, newest, group.files, group.unreadable, month)
    group.totals = month.after


def _delivered(group: _Group, trust: Trust) -> list[Delivered]:
    return [
        Delivered(name, one.period, one.revision, group.totals, trust.given)
        for name, one in group.manifests[-1:]
    ]
