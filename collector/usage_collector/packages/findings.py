"""What verifying found, as plain facts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from usage_collector.packages.contents import Contents
    from usage_collector.packages.reading import Seal
    from usage_collector.totals import Totals


class Kind(StrEnum):
    """What can be wrong with a delivery."""

    ALTERED = "altered"
    MISSING = "missing"
    TWICE = "twice"
    NOT_OURS = "not ours"
    GAP = "gap"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: in which file, and at which positions of which ledger if known."""

    kind: Kind
    file: str
    detail: str
    ledger: str | None = None
    first: int | None = None
    last: int | None = None

    def as_json(self) -> dict[str, object]:
        """As `verify --json` prints it."""
        return {
            "kind": str(self.kind),
            "file": self.file,
            "ledger": self.ledger,
            "first": self.first,
            "last": self.last,
            "detail": self.detail,
        }


@dataclass(frozen=True, slots=True)
class FileReport:
    """One package that could be read to its end. ``pinned``: checked against a given key."""

    name: str
    contents: Contents
    seal: Seal
    pinned: bool

    def as_json(self) -> dict[str, object]:
        """As `verify --json` prints it."""
        contents, chain = self.contents, self.contents.chain
        return {
            "file": self.name,
            "collector": contents.collector,
            "zone": contents.zone,
            "period": contents.period,
            "ledger": contents.ledger,
            "first": chain.first if chain else None,
            "last": chain.last if chain else None,
            "since": contents.since,
            "until": contents.until,
            "count": contents.count,
            "sha256": self.seal.sha256,
            "payload_sha256": self.seal.payload_sha256,
            "bytes": self.seal.size,
            "signing_kid": self.seal.signing_kid,
            "proof_kid": self.seal.proof_kid,
            "trust": trust_word(pinned=self.pinned),
        }


def trust_word(*, pinned: bool) -> str:
    """How people are told against which key a file was checked."""
    return "given key" if pinned else "self-asserted"


@dataclass(frozen=True, slots=True)
class Delivered:
    """A manifest and what its packages come to when they are counted again."""

    name: str
    period: str
    revision: int
    totals: Totals
    pinned: bool

    def as_json(self) -> dict[str, object]:
        """As `verify --json` prints it."""
        return {
            "manifest": self.name,
            "period": self.period,
            "revision": self.revision,
            "trust": trust_word(pinned=self.pinned),
            "totals": self.totals.as_json(),
        }


@dataclass(frozen=True, slots=True)
class Report:
    """The result of `verify`: all is well only without any finding.

    ``notes`` say what could not be proved with what was given, though nothing speaks against it.
    """

    files: tuple[FileReport, ...]
    manifests: tuple[Delivered, ...]
    findings: tuple[Finding, ...]
    totals: Totals
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Unaltered, complete, nothing twice, no recorded gap."""
        return not self.findings

    @property
    def events(self) -> int:
        """How many events the readable files hold."""
        return sum(file.contents.count for file in self.files)

    @property
    def self_asserted(self) -> bool:
        """Whether any file could only be checked against the key that it carries itself."""
        return not (all(f.pinned for f in self.files) and all(m.pinned for m in self.manifests))

    def as_json(self) -> dict[str, object]:
        """As `verify --json` prints it."""
        return {
            "ok": self.ok,
            "self_asserted": self.self_asserted,
            "events": self.events,
            "files": [file.as_json() for file in self.files],
            "manifests": [manifest.as_json() for manifest in self.manifests],
            "findings": [finding.as_json() for finding in self.findings],
            "notes": list(self.notes),
            "totals": self.totals.as_json(),
        }


@dataclass(frozen=True, slots=True)
class Trust:
    """The keys a verifier was given, by key id; none of a kind means any of that kind will do.

    ``kids`` are ids of public keys that will do as well: each file carries its key itself.
    """

    secrets: Mapping[str, bytes] = field(default_factory=dict)
    proofs: Mapping[str, bytes] = field(default_factory=dict)
    kids: frozenset[str] = frozenset()

    @property
    def given(self) -> bool:
        """Whether there is any key to check against."""
        return bool(self.secrets or self.proofs or self.kids)

    def with_keys(self, kids: Iterable[str]) -> Trust:
        """The same with keys that somebody who is trusted vouches for."""
        return replace(self, kids=self.kids.union(kids)) if self.proofs or self.kids else self

    def judge(self, name: str, seal: Seal) -> Finding | None:
        """What is wrong with a file's signatures."""
        pinned = bool(self.proofs or self.kids)
        known = self.proofs.get(seal.proof_kid) == seal.public or seal.proof_kid in self.kids
        if pinned and not known:
            return Finding(
                Kind.NOT_OURS, name, f"its proof is of key {seal.proof_kid}, which was not given"
            )
        if self.secrets and seal.secret_ok is None:
            return Finding(
                Kind.NOT_OURS,
                name,
                f"it is signed with key {seal.signing_kid}, which was not given",
            )
        if seal.secret_ok is False or not seal.proof_ok:
            return Finding(Kind.ALTERED, name, "its signature does not fit its content")
        return None
