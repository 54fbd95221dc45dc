"""Months against the ones before: what was counted already, and what was left alive.

A manifest says of some sessions that an earlier month counted them. Where that month was given
too, its packages prove it, and nothing may be counted in both without being told.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from dataclasses import replace
from typing import IO, TYPE_CHECKING

from usage_collector.errors import InvalidInput
from usage_collector.packages.findings import Finding, Kind
from usage_collector.periods import Period
from usage_collector.sessions import SECOND
from usage_collector.totals.month import Earlier

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from usage_collector.packages.manifest import Manifest
    from usage_collector.sessions import Use
    from usage_collector.totals.month import Line

_BLOCK = 64 * 1024
_JOINED = {
    "estimates": ("id", "seconds"),
    "corrections": ("id", "of", "reported_seconds", "actual_seconds"),
}


class Counted:
    """The identities that a month counted, in their order, in a file that vanishes with this."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115

    def close(self) -> None:
        """Forgets them."""
        self._file.close()

    def add(self, identity: bytes) -> None:
        """Takes the next one."""
        self._file.write(bytes([len(identity)]) + identity)

    def __iter__(self) -> Iterator[bytes]:
        self._file.seek(0)
        held, place = b"", 0
        while True:
            if len(held) - place < 256 and (more := self._file.read(_BLOCK)):
                held, place = held[place:] + more, 0
            if place == len(held):
                return
            end = place + 1 + held[place]
            yield held[place + 1 : end]
            place = end


class _Cursor:
    """Looks identities up that are asked for in their order."""

    def __init__(self, counted: Iterable[bytes]) -> None:
        self._counted = iter(counted)
        self._next = next(self._counted, None)

    def has(self, identity: bytes) -> bool:
        while self._next is not None and self._next < identity:
            self._next = next(self._counted, None)
        return self._next == identity


def is_counted(uses: Iterable[Use]) -> bool:
    """Whether a month's packages hold an end of this session that counts."""
    return any(use.final and use.counts and not use.warm_up for use in uses)


class Before:
    """What a month says of the ones before it, against those of them that were given."""

    def __init__(self, name: str, manifest: Manifest, given: Mapping[str, Counted]) -> None:
        self._name = name
        self._cursors = {period: _Cursor(counted) for period, counted in given.items()}
        self._listed = _listed(manifest)
        self._differing = {
            identity_of(line): _durations(line) for line in manifest.lines("conflicts")
        }
        self.findings: list[Finding] = []

    @property
    def unproved(self) -> set[str]:
        """The months that it refers to and that were not given."""
        found = {one.period for lines in self._listed.values() for one in lines}
        return found - self._cursors.keys()

    def of(self, uses: Sequence[Use]) -> Sequence[Earlier]:
        """What earlier months have counted of a session, as the manifest says; proved on the way.

        Sessions must come in the order of their identities.
        """
        identity = uses[0].identity
        known = self._listed.get(identity, ())
        seen = {month for month, cursor in self._cursors.items() if cursor.has(identity)}
        if seen and not known and is_counted(uses):
            detail = f"session {identity.hex()[:16]} is counted here and in {max(seen)}"
            self._found(Kind.TWICE, detail, uses)
        for one in known:
            if not one.estimated and one.period in self._cursors and one.period not in seen:
                what = f"leaves out session {identity.hex()[:16]} as counted in {one.period}"
                self._found(Kind.ALTERED, f"it {what}, which does not hold it", uses)
        return [
            one if one.estimated else replace(one, duration=self._counted(uses)) for one in known
        ]

    def _counted(self, uses: Sequence[Use]) -> int:
        """The duration (µs) that the earlier month had, by what is listed as differing from it."""
        here = {use.duration for use in uses if use.final and use.counts}
        others = self._differing.get(uses[0].identity, set()) - here
        return min((one for one in others or here if one is not None), default=0)

    def _found(self, kind: Kind, detail: str, uses: Sequence[Use]) -> None:
        place = uses[0].place
        self.findings.append(
            Finding(kind, self._name, detail, place.ledger, place.position, place.position)
        )


def _listed(manifest: Manifest) -> dict[bytes, list[Earlier]]:
    """The identities that the manifest says earlier periods have counted already."""
    found: dict[bytes, list[Earlier]] = defaultdict(list)
    for name in ("duplicates", "corrections"):
        for line in manifest.lines(name):
            first = line.get("of")
            if isinstance(first, dict) and "period" in first:
                one = _earlier(line, first, estimated=name == "corrections")
                if one not in found[one.identity]:
                    found[one.identity].append(one)
    return found


def _earlier(line: Line, first: Line, *, estimated: bool) -> Earlier:
    position, reported = first.get("position"), line.get("reported_seconds")
    return Earlier(
        identity=identity_of(line),
        period=str(first["period"]),
        collector=str(first.get("collector")),
        ledger=str(first.get("ledger")),
        position=position if isinstance(position, int) else 0,
        duration=round(reported * SECOND) if isinstance(reported, int | float) else 0,
        time=None,
        estimated=estimated,
    )


def _durations(line: Line) -> set[int]:
    seconds = line.get("seconds")
    listed = seconds if isinstance(seconds, list) else []
    return {round(one * SECOND) for one in listed if isinstance(one, int | float)}


def identity_of(line: Line) -> bytes:
    """The identity that a line of a manifest is about; empty where it is none."""
    try:
        return bytes.fromhex(str(line.get("id")))
    except ValueError:
        return b""


def before(period: str) -> list[str]:
    """The two periods before this one, which a month is checked against; none if it is none."""
    try:
        month = Period.parse(period)
    except InvalidInput:
        return []
    return [str(month.previous), str(month.previous.previous)]


def joining(manifest: Manifest) -> Manifest:
    """The manifest with what `joined_months` looks at, and no other lists."""
    kept = ("period", "revision", "resumed", "carried", "announced", "pending")
    body = {name: manifest.body[name] for name in kept if name in manifest.body}
    for name, members in _JOINED.items():
        body[name] = [
            {member: line.get(member) for member in members} for line in manifest.lines(name)
        ]
    return replace(manifest, body=body)


def joined_months(deliveries: Iterable[Sequence[tuple[str, Manifest]]]) -> Iterator[Finding]:
    """Whether each month took over, and corrected, what those before it left and estimated."""
    found = [manifests for manifests in deliveries if manifests]
    left: dict[str, list[Manifest]] = defaultdict(list)
    for manifests in found:
        for _, manifest in manifests:
            left[manifest.period].append(manifest)
    for manifests in found:
        name, newest = manifests[-1]
        earlier = before(newest.period)
        known = left[earlier[0]] if earlier else []
        if known and newest.lines("resumed") not in [one.lines("carried") for one in known]:
            detail = f"the sessions that it took over are not those that {earlier[0]} left"
            yield Finding(Kind.ALTERED, name, detail)
        # Those of before this was told of took none over.
        told = newest.lines("announced") if "announced" in newest.body else None
        if known and told is not None and told not in [one.lines("pending") for one in known]:
            detail = f"the pending jobs that it took over are not those that {earlier[0]} left"
            yield Finding(Kind.ALTERED, name, detail)
        yield from _corrections(name, newest, left)


def _corrections(
    name: str, manifest: Manifest, given: Mapping[str, Sequence[Manifest]]
) -> Iterator[Finding]:
    estimated: dict[str, set[tuple[object, object]]] = {}
    for line in manifest.lines("corrections"):
        first = line.get("of")
        period = str(first.get("period")) if isinstance(first, dict) else ""
        reported = line.get("reported_seconds")
        if period not in estimated:
            estimated[period] = {pair for one in given.get(period, ()) for pair in _estimated(one)}
        if given.get(period) and (line.get("id"), reported) not in estimated[period]:
            detail = f"it corrects session {str(line.get('id'))[:16]}, which {period} did not"
            yield Finding(Kind.ALTERED, name, f"{detail} estimate at {reported} s")


def _estimated(manifest: Manifest) -> list[tuple[object, object]]:
    estimates = [(one.get("id"), one.get("seconds")) for one in manifest.lines("estimates")]
    again = [(one.get("id"), one.get("actual_seconds")) for one in manifest.lines("corrections")]
    return [*estimates, *again]
