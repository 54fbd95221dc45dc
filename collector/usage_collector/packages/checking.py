"""One package file, proved from its first byte to its last."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from usage_collector import events
from usage_collector.errors import InvalidInput
from usage_collector.packages.contents import MARK_EVERY, link, places
from usage_collector.packages.findings import FileReport, Finding, Kind
from usage_collector.packages.reading import Foreign, Package
from usage_collector.packages.scanner import Malformed
from usage_collector.sessions import Place, use
from usage_collector.words import many

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from usage_collector.packages.contents import Chain, Contents
    from usage_collector.packages.findings import Trust
    from usage_collector.packages.scanner import Readable
    from usage_collector.sessions import Use


class ChainCheck:
    """Follows a ledger's chain and keeps the stretches, of at most 100, where it does not hold."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._head = chain.before
        self._marks = iter(chain.marks)
        self._from = chain.first
        self._position = chain.first - 1
        self.broken: list[tuple[int, int]] = []

    def add(self, digest: bytes) -> None:
        """The next event's SHA-256."""
        self._position += 1
        self._head = link(self._head, digest)
        if self._position % MARK_EVERY == 0 and self._position <= self._chain.last:
            self._compare(next(self._marks))

    def _compare(self, expected: bytes) -> None:
        if self._head != expected:
            self.broken.append((self._from, min(self._position, self._chain.last)))
        self._head = expected
        self._from = self._position + 1

    def close(self) -> None:
        """Compares the chain's end."""
        if self._from <= self._chain.last or self._head != self._chain.after:
            self._position = self._chain.last
            self._compare(self._chain.after)


def _origins(contents: Contents) -> Iterator[tuple[str, int]]:
    chain = contents.chain
    if chain:
        ledger = contents.ledger or ""
        return ((ledger, position) for position in range(chain.first, chain.last + 1))
    return places(contents.positions or ())


def _without_marks(contents: Contents) -> Contents:
    # A report is kept as long as all files are read; its marks have done their work.
    chain = contents.chain and replace(contents.chain, marks=())
    return replace(contents, chain=chain)


class Check:
    """One file's check; `report` stays None when it cannot be read to its end."""

    def __init__(self, name: str, trust: Trust, take: Callable[[Use], None]) -> None:
        self.name = name
        self.report: FileReport | None = None
        self.findings: list[Finding] = []
        self._trust = trust
        self._take = take

    def run(self, file: Readable) -> None:
        """Reads the file once; every use in it is handed to ``take``."""
        try:
            package = Package(file, self._trust.secrets)
            watch = ChainCheck(package.contents.chain) if package.contents.chain else None
            count = self._events(package, watch)
            seal = package.close()
        except Foreign as error:
            self._found(Kind.NOT_OURS, str(error))
        except Malformed as error:
            self._found(Kind.ALTERED, str(error))
        else:
            contents = _without_marks(package.contents)
            self.report = FileReport(self.name, contents, seal, self._trust.given)
            self._judge(self.report, watch, count)

    def _events(self, package: Package, watch: ChainCheck | None) -> int:
        contents, count = package.contents, 0
        origins = _origins(contents)
        for raw in package.events():
            count += 1
            ledger, position = next(origins, ("", 0))
            try:
                event = events.read(raw)
            except InvalidInput as error:
                self._found(Kind.ALTERED, f"no event: {error.detail}", ledger, position, position)
                continue
            if watch:
                watch.add(event.digest)
            found = use(event, Place(contents.collector, ledger, position), contents.zone)
            if found:
                self._take(found)
        return count

    def _judge(self, report: FileReport, watch: ChainCheck | None, count: int) -> None:
        contents, ledger = report.contents, report.contents.ledger
        if watch:
            watch.close()
        broken = watch.broken if watch else []
        if count != contents.count:
            kind = Kind.MISSING if count < contents.count else Kind.TWICE
            number = abs(contents.count - count)
            what = "missing" if count < contents.count else "too many"
            # Behind a lost or added event everything stands elsewhere, so only the first tells.
            first, last = broken[0] if broken else (None, None)
            self._found(
                kind, f"{number} of {many(contents.count, 'event')} {what}", ledger, first, last
            )
        else:
            for first, last in broken:
                self._found(Kind.ALTERED, "the chain does not hold", ledger, first, last)
        finding = self._trust.judge(self.name, report.seal)
        if finding and (finding.kind is Kind.NOT_OURS or not self.findings):
            self.findings.append(finding)

    def _found(
        self,
        kind: Kind,
        detail: str,
        ledger: str | None = None,
        first: int | None = None,
        last: int | None = None,
    ) -> None:
        self.findings.append(Finding(kind, self.name, detail, ledger, first, last))
