"""A delivery against its manifest: files present, hashes equal, totals equal, gaps told."""

from __future__ import annotations

import hashlib
import json
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import msgspec

from usage_collector.errors import InvalidInput
from usage_collector.packages import covering
from usage_collector.packages.findings import Finding, Kind
from usage_collector.packages.manifest import DELIVERY, Source, revision_of
from usage_collector.packages.scanner import Malformed
from usage_collector.periods import Period, parse_window
from usage_collector.totals.carrying import Carried, Pending

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from usage_collector.packages.findings import FileReport
    from usage_collector.packages.manifest import Manifest
    from usage_collector.sessions import Use
    from usage_collector.totals.month import Line, Month


def moment_counted(manifest: Manifest) -> int:
    """The moment (µs) at which the manifest's sessions were counted; 0 if it does not say."""
    return moment_of(manifest.part("coverage").get("counted_at")) or 0


def covered(manifest: Manifest) -> tuple[int, int]:
    """The stretch of time (µs) of which it says that everything received is in it."""
    since, until = (moment_of(manifest.part("coverage").get(name)) for name in ("since", "until"))
    return (0, 0) if since is None or until is None else (since, until)


def moment_of(text: object) -> int | None:
    """A time in a manifest, in µs; None where there is none."""
    try:
        return parse_window(str(text), None).since_us if text else None
    except InvalidInput:
        return None


def source(line: Line) -> Source:
    """A collector as the manifest lists it."""
    early, ledgers = line.get("early_events"), line.get("ledgers")
    return Source(
        collector=str(line.get("collector")),
        zone=str(line.get("zone")),
        cut_at=moment_of(line.get("cut_at")) or 0,
        ledgers=tuple(map(str, ledgers)) if isinstance(ledgers, list) else (),
        began=moment_of(line.get("began")),
        early_events=early if isinstance(early, dict) else None,
    )


def resumed(manifest: Manifest, name: str = "resumed") -> list[Use]:
    """The sessions that the manifest took over from the period before, as last heard of.

    With ``name`` `carried` those that it left to the next one. `Malformed` where they are none.
    """
    return _uses(manifest, name, Carried, "session")


def announced(manifest: Manifest, name: str = "announced") -> list[Use]:
    """The jobs of unknown duration that the manifest took over from the period before.

    With ``name`` `pending` those that it left to the next one. `Malformed` where they are none.
    """
    return _uses(manifest, name, Pending, "job")


def _uses(manifest: Manifest, name: str, form: type[Carried | Pending], what: str) -> list[Use]:
    try:
        return [msgspec.convert(line, form).use for line in manifest.lines(name)]
    except (msgspec.ValidationError, ValueError) as error:
        raise Malformed(f"a {what} that was {name} is none: {error}") from None


def compare(
    name: str,
    manifest: Manifest,
    files: Sequence[FileReport],
    unreadable: Sequence[str],
    month: Month,
) -> Iterator[Finding]:
    """What does not fit between a manifest and the files of its folder as they were counted."""
    listed = {str(line.get("name")): line for line in manifest.lines("files")}
    present = {PurePath(file.name).name: file for file in files}
    for missing in sorted(listed.keys() - present.keys() - {PurePath(x).name for x in unreadable}):
        line = listed[missing]
        first, last = line.get("first"), line.get("last")
        yield Finding(
            Kind.MISSING,
            missing,
            f"{name} lists it",
            str(line.get("ledger")),
            first if isinstance(first, int) else None,
            last if isinstance(last, int) else None,
        )
    for file_name, file in sorted(present.items()):
        if file_name not in listed:
            yield Finding(Kind.NOT_OURS, file.name, f"{name} does not list it")
        elif difference := _difference(listed[file_name], file):
            yield Finding(Kind.ALTERED, file.name, f"{name} lists another {difference}")
        elif file.contents.period != manifest.period:
            detail = f"it is of period {file.contents.period}, {name} is of {manifest.period}"
            yield Finding(Kind.ALTERED, file.name, detail)
    for gap in manifest.lines("gaps"):
        ledger = gap.get("ledger")
        yield Finding(
            Kind.GAP,
            name,
            f"{gap.get('collector')}: {gap.get('reason')}",
            None if ledger is None else str(ledger),
        )
    if not unreadable and listed.keys() == present.keys():
        yield from _totals(name, manifest, month)


def _difference(line: Line, file: FileReport) -> str | None:
    if line.get("payload_sha256") != file.seal.payload_sha256:
        return "content"
    return "SHA-256 of the file" if line.get("sha256") != file.seal.sha256 else None


def revisions(manifests: Sequence[tuple[str, Manifest]]) -> Iterator[Finding]:
    """What does not fit between the revisions of one folder's manifest."""
    name, newest = manifests[-1]
    now = {str(line.get("name")): line.get("payload_sha256") for line in newest.lines("files")}
    for older, manifest in manifests:
        if manifest.revision != revision_of(PurePath(older).name):
            yield Finding(Kind.ALTERED, older, f"it is revision {manifest.revision}, renamed")
        if manifest.period != newest.period:
            detail = f"it is of {manifest.period}, {name} is of {newest.period}"
            yield Finding(Kind.ALTERED, older, detail)
        for line in manifest.lines("files"):
            file_name = str(line.get("name"))
            if now.get(file_name) != line.get("payload_sha256"):
                detail = f"{older} lists another {file_name} than {name}"
                yield Finding(Kind.ALTERED, older, detail)


def summaries(path: Path, manifest: Manifest) -> Iterator[Finding]:
    """The files for people that go with the manifest at ``path``: there, and as they were made."""
    for line in manifest.lines("summaries"):
        one = path.with_name(PurePath(str(line.get("name"))).name)
        if not one.is_file():
            yield Finding(Kind.MISSING, str(one), f"{path} lists it")
        elif hashlib.sha256(one.read_bytes()).hexdigest() != line.get("sha256"):
            yield Finding(Kind.ALTERED, str(one), f"{path} lists another content")


def _totals(name: str, manifest: Manifest, month: Month) -> Iterator[Finding]:
    stated = manifest.part("totals")
    counted = {"before": month.before_all.as_json(), "after": month.after.as_json()}
    for which, totals in counted.items():
        if stated.get(which) != _as_read(totals):
            what = f"totals {which} duplicates"
            yield Finding(Kind.ALTERED, name, f"its {what} are not those of its files")
    again: dict[str, list[Line]] = {
        "months": month.month_lines(whole=not manifest.lines("gaps")),
        "days": month.day_lines,
        "duplicates": month.duplicates,
        "conflicts": month.conflicts,
        "corrections": month.corrections,
        "estimates": month.estimates,
        "implausible": month.implausible,
        "pending": month.pending,
    }
    for what, lines in again.items():
        if (what in manifest.body) and manifest.lines(what) != _as_read(lines):
            yield Finding(Kind.ALTERED, name, f"its {what} are not those of its files")
    if differs := _coverage(manifest, month):
        yield Finding(Kind.ALTERED, name, differs)
    alive = _as_read(month.carried)
    if any(line not in alive for line in manifest.lines("carried")):
        yield Finding(Kind.ALTERED, name, "it carries over sessions that its files do not hold")


def _coverage(manifest: Manifest, month: Month) -> str | None:
    """What is wrong with its coverage by day; those of before it said so much are left alone."""
    collectors = manifest.lines("collectors")
    stated = manifest.part("coverage").get("days")
    if stated is None or not all("early_events" in one for one in collectors):
        return None
    troubled = {str(gap.get("collector")) for gap in manifest.lines("gaps")} - {DELIVERY}
    begin = Period.parse(manifest.period).start
    counted = covering.days([source(one) for one in collectors], troubled, month, begin)
    return None if stated == _as_read(counted) else "its coverage by day is not that of its files"


def _as_read(value: object) -> Any:
    """The value as it comes back from JSON."""
    return json.loads(json.dumps(value))
