"""A month's manifest: what was delivered, what it comes to, and what is not in it.

Pure but for `read`: the same facts always give the same bytes.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from usage_collector.packages import covering
from usage_collector.packages.contents import MANIFEST
from usage_collector.packages.envelope import compact, sealed
from usage_collector.packages.keys import to_base64url
from usage_collector.packages.reading import Envelope, Seal
from usage_collector.packages.scanner import OBJECT, Malformed
from usage_collector.periods import Period, rfc3339
from usage_collector.sessions import SECOND
from usage_collector.totals import Totals

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from usage_collector.packages.findings import FileReport
    from usage_collector.packages.keys import Keys
    from usage_collector.packages.scanner import Readable
    from usage_collector.totals.month import Line, Month

_MAX_SIZE = 256 * 1024 * 1024
DELIVERY = "delivery"
"""The source of gaps that no collector is to blame for."""
_NAME = re.compile(r"manifest(?:-([2-9]|[1-9]\d+))?\.json")


def manifest_name(revision: int, stem: str = "manifest", ending: str = "json") -> str:
    """`manifest.json` for revision 1, `manifest-2.json` … after it: nothing is overwritten."""
    return f"{stem}.{ending}" if revision == 1 else f"{stem}-{revision}.{ending}"


def revision_of(name: str) -> int | None:
    """The revision that a manifest's file name says; None for any other file."""
    match = _NAME.fullmatch(name)
    return int(match[1] or 1) if match else None


@dataclass(frozen=True, slots=True)
class Source:
    """A collector of the month: its cut's time in µs, and its ledgers as it lists them.

    ``began`` (µs) is since when it is there, if it was in no month before. ``early_events`` came
    from the future, by day of their receipt; None where it does not say.
    """

    collector: str
    zone: str
    cut_at: int
    ledgers: tuple[str, ...]
    began: int | None = None
    early_events: Mapping[str, int] | None = None


_Runs = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class CameBack:
    """What of a ledger that was lost came back from a backup: ``runs``, first and last positions.

    ``lost`` are those that did not. Whether anything came after position ``end`` nobody knows.
    """

    ledger: str
    runs: _Runs
    lost: _Runs
    end: int

    def __str__(self) -> str:
        lost = f"positions {_spans(self.lost)} and " if self.lost else ""
        return (
            f"of ledger {self.ledger} before it positions {_spans(self.runs)} came back from a "
            f"backup, {lost}what came after {self.end}, if anything did, is gone for good"
        )

    @property
    def line(self) -> Line:
        """As the manifest has it."""
        return {"ledger": self.ledger, "runs": self.runs, "lost": self.lost, "end": self.end}


def _spans(runs: _Runs) -> str:
    return ", ".join(f"{first} to {last}" for first, last in runs)


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that should be in the month and is not; ``source`` is a collector or address.

    ``came_back`` is what did of the ledger before.
    """

    source: str
    reason: str
    ledger: str | None = None
    came_back: CameBack | None = None

    def __str__(self) -> str:
        ledger = f", ledger {self.ledger}" if self.ledger else ""
        return f"{self.source}{ledger}: {self.reason}"

    @property
    def line(self) -> Line:
        """As the manifest has it."""
        back: Line = {"came_back": self.came_back.line} if self.came_back else {}
        return {"collector": self.source, "ledger": self.ledger, "reason": self.reason, **back}


@dataclass(frozen=True, slots=True)
class Facts:
    """What a manifest is made of.

    ``resumed`` are the lines that the manifest of the period before `carried`, ``announced`` those
    that were `pending` there.
    """

    period: str
    revision: int
    files: Sequence[FileReport]
    sources: Sequence[Source]
    gaps: Sequence[Gap]
    month: Month
    resumed: Sequence[Line] = ()
    announced: Sequence[Line] = ()


def content(facts: Facts) -> Line:
    """What the manifest says; ``summaries`` are still empty, for they are made from it."""
    month, gaps, sources = facts.month, facts.gaps, facts.sources
    return {
        "typ": MANIFEST,
        "period": facts.period,
        "revision": facts.revision,
        "files": [_file_line(file) for file in sorted(facts.files, key=_file_order)],
        "keys": _keys(facts.files),
        "summaries": [],
        "collectors": [_source_line(one, month) for one in sorted(sources, key=_source_order)],
        "totals": {"before": month.before_all.as_json(), "after": month.after.as_json()},
        "months": month.month_lines(whole=not gaps),
        "days": month.day_lines,
        "duplicates": month.duplicates,
        "conflicts": month.conflicts,
        "estimates": month.estimates,
        "corrections": month.corrections,
        "implausible": month.implausible,
        "resumed": list(facts.resumed),
        "carried": month.carried,
        "announced": list(facts.announced),
        "pending": month.pending,
        "gaps": [gap.line for gap in gaps],
        "coverage": _coverage(facts.period, sources, gaps, month),
    }


def summary_lines(summaries: Sequence[tuple[str, bytes]]) -> list[Line]:
    """How the manifest lists the files for people, given as name and content."""
    return [
        {"name": name, "sha256": hashlib.sha256(content).hexdigest()} for name, content in summaries
    ]


def _keys(files: Sequence[FileReport]) -> list[Line]:
    """The public keys of the packages; old ones too, where some were signed before a rotation."""
    found = {file.seal.proof_kid: file.seal.public for file in files}
    return [{"kid": kid, "key": to_base64url(key)} for kid, key in sorted(found.items())]


def _file_order(file: FileReport) -> tuple[str, str, int]:
    chain = file.contents.chain
    return (file.contents.collector, file.contents.ledger or "", chain.first if chain else 0)


def _source_order(source: Source) -> str:
    return source.collector


def _file_line(file: FileReport) -> Line:
    chain = file.contents.chain
    return {
        "name": file.name,
        "sha256": file.seal.sha256,
        "payload_sha256": file.seal.payload_sha256,
        "bytes": file.seal.size,
        "collector": file.contents.collector,
        "ledger": file.contents.ledger,
        "first": chain.first if chain else None,
        "last": chain.last if chain else None,
        "count": file.contents.count,
        "before": chain.before.hex() if chain else None,
        "after": chain.after.hex() if chain else None,
        "signing_kid": file.seal.signing_kid,
        "proof_kid": file.seal.proof_kid,
    }


def _source_line(source: Source, month: Month) -> Line:
    totals = month.before.get(source.collector, Totals())
    return {
        "collector": source.collector,
        "zone": source.zone,
        "cut_at": rfc3339(source.cut_at),
        "began": None if source.began is None else rfc3339(source.began),
        "early_events": source.early_events,
        "ledgers": sorted(source.ledgers),
        "totals": {
            **totals.all.as_json(),
            "warm_ups": totals.warm_ups.as_json(),
            "estimated": totals.estimated.as_json(),
        },
    }


def _coverage(period: str, sources: Sequence[Source], gaps: Sequence[Gap], month: Month) -> Line:
    silent = {gap.source for gap in gaps} - {source.collector for source in sources} - {DELIVERY}
    expected = len(sources) + len(silent)
    since, until = month.covered
    troubled = {gap.source for gap in gaps} - {DELIVERY}
    return {
        "collectors_expected": expected,
        "collectors_answered": len(sources),
        "percent": round(100 * len(sources) / expected, 2) if expected else 100.0,
        "counted_at": rfc3339(month.counted_at),
        "since": rfc3339(since),
        "until": rfc3339(until),
        "corrected_seconds": sum(_seconds(line) for line in month.corrections) / SECOND,
        "days": covering.days(sources, troubled, month, Period.parse(period).start),
    }


def _seconds(line: Line) -> int:
    seconds = line["seconds"]
    return round(seconds * SECOND) if isinstance(seconds, int | float) else 0


def signed(body: Line, keys: Keys) -> bytes:
    """The manifest's file: its payload in the same envelope as a package's, not compressed."""
    return b"".join(sealed(MANIFEST, [compact(body)], keys))


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest as it was read; ``body`` is its payload."""

    body: Mapping[str, object]
    seal: Seal

    @property
    def period(self) -> str:
        """The month that it reports."""
        return str(self.body.get("period"))

    @property
    def revision(self) -> int:
        """Which of the month's manifests it is, from 1."""
        revision = self.body.get("revision")
        return revision if isinstance(revision, int) else 0

    def lines(self, name: str) -> list[Line]:
        """One of its lists; empty where that is none."""
        found = self.body.get(name)
        return [line for line in found if isinstance(line, dict)] if isinstance(found, list) else []

    def part(self, name: str) -> Line:
        """One of its objects; empty where that is none."""
        found = self.body.get(name)
        return found if isinstance(found, dict) else {}


def read(file: Readable, secrets: Mapping[str, bytes]) -> Manifest:
    """A manifest's file, with its signatures checked; `Malformed` where it is none."""
    envelope = Envelope(file, MANIFEST, secrets)
    body = envelope.scanner.value(OBJECT, "the manifest", _MAX_SIZE)
    seal = envelope.close()
    if not isinstance(body, dict) or body.get("typ") != MANIFEST:
        raise Malformed("the payload is no manifest")
    return Manifest(body, seal)
