"""Events, keys and packages for tests, made the way collectors make them."""

from __future__ import annotations

import gzip
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from usage_collector.packages import (
    Chain,
    Contents,
    Keys,
    Trust,
    file_name,
    genesis,
    gzipped,
    link,
    marks_between,
    runs,
    write,
)
from usage_collector.packages import manifest as manifests
from usage_collector.packages.checking import Check
from usage_collector.packages.manifest import Facts, Source, manifest_name
from usage_collector.packages.sorting import Sorter
from usage_collector.report import summaries
from usage_collector.totals.carrying import Carried
from usage_collector.totals.month import Earlier, Month

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from usage_collector.packages.manifest import Manifest

KEYS = Keys(b"s" * 64, Ed25519PrivateKey.from_private_bytes(b"p" * 32))
OTHER_KEYS = Keys(b"o" * 64, Ed25519PrivateKey.from_private_bytes(b"q" * 32))


def event(session: object, seconds: object = 2, **changed: object) -> bytes:
    """A batch job's end as transcribers send it, with fields changed."""
    fields = {
        "event": "TRANSCRIBER_DONE",
        "contract_id": "0",
        "customer_id": "Acme",
        "session_id": None if session is None else str(session),
        "time_stamp": "2026-10-05T13:01:13.239Z",
        **changed,
        "event_specific_data": {
            "format_name": "wav",
            "job_config": {"transcription_config": {"language": "en"}, "type": "transcription"},
            "total_received_duration": seconds,
            "total_speech_duration": 1,
        },
    }
    return json.dumps(fields).encode()


@dataclass(frozen=True)
class Ledger:
    """A collector's ledger: all its events, from position 1."""

    events: Sequence[bytes]
    id: str = "0b6f1c9e-5d0e-4c1b-9d5e-2f6a3e1b7c11"
    collector: str = "speech-eu-1a-0"
    zone: str = "eu-1a"

    @property
    def hashes(self) -> list[bytes]:
        """h(0) … h(n)."""
        found = [genesis(self.id)]
        for raw in self.events:
            found.append(link(found[-1], hashlib.sha256(raw).digest()))
        return found

    def contents(self, first: int, last: int, period: str | None = "2026-10") -> Contents:
        """What the package of these positions says."""
        hashes = self.hashes
        chain = Chain(
            first,
            last,
            hashes[first - 1],
            hashes[last],
            [hashes[position] for position in marks_between(first, last)],
        )
        count = last - first + 1
        return Contents(self.collector, self.zone, self.id, period, None, None, count, chain, None)

    def plain(
        self, first: int, last: int, keys: Keys = KEYS, period: str | None = "2026-10"
    ) -> bytes:
        """The package of these positions, uncompressed."""
        contents = self.contents(first, last, period)
        return b"".join(write(contents, self.events[first - 1 : last], keys))

    def save(
        self,
        folder: Path,
        first: int,
        last: int,
        keys: Keys = KEYS,
        period: str | None = "2026-10",
    ) -> Path:
        """The package of these positions as a file under its own name."""
        path = folder / file_name(self.contents(first, last, period))
        path.write_bytes(b"".join(gzipped([self.plain(first, last, keys, period)])))
        return path


def delivery(
    folder: Path,
    ledger: Ledger,
    stretch: tuple[int, int],
    period: str = "2026-10",
    *,
    counted_at: int,
    resumed: Sequence[dict[str, object]] = (),
    revision: int = 1,
    keys: Keys = KEYS,
    earlier: Mapping[bytes, Sequence[Earlier]] | None = None,
) -> Manifest:
    """A month's folder of one ledger, made from the parts that the monthly export consists of."""
    folder.mkdir(exist_ok=True)
    path = ledger.save(folder, *stretch, keys, period)
    with Sorter() as uses:
        check = Check(path.name, Trust(), uses.add)
        with path.open("rb") as file:
            check.run(file)
        assert check.report
        for line in resumed:
            uses.add(msgspec.convert(line, Carried).use)
        month = Month(counted_at)
        for group in uses.groups():
            month.add(group, (earlier or {}).get(group[0].identity, ()))
    facts = Facts(
        period=period,
        revision=revision,
        files=[check.report],
        sources=[Source(ledger.collector, ledger.zone, counted_at, (ledger.id,))],
        gaps=[],
        month=month,
        resumed=resumed,
    )
    body = manifests.content(facts)
    people = summaries(body, revision, keys.proof_kid)
    for name, content in people:
        (folder / name).write_bytes(content)
    body["summaries"] = manifests.summary_lines(people)
    path = folder / manifest_name(revision)
    path.write_bytes(manifests.signed(body, keys))
    with path.open("rb") as file:
        return manifests.read(file, {})


def window(ledger: Ledger, positions: Sequence[int], keys: Keys = KEYS) -> bytes:
    """The package of a window of time that holds these positions in this order, uncompressed."""
    found = runs((ledger.id, position) for position in positions)
    contents = Contents(
        ledger.collector, ledger.zone, None, None, None, None, len(positions), None, found
    )
    return b"".join(write(contents, [ledger.events[p - 1] for p in positions], keys))


def ledger(number: int, **named: str) -> Ledger:
    """A ledger with so many different jobs of whole seconds."""
    collector = named.get("collector", "")
    events = [event(f"{collector}job-{n}", n % 50) for n in range(1, number + 1)]
    return Ledger(events, **named)


def replace_in(path: Path, old: bytes, new: bytes) -> None:
    """Changes what a package file holds, without changing anything else."""
    plain = gzip.decompress(path.read_bytes())
    assert old in plain
    path.write_bytes(b"".join(gzipped([plain.replace(old, new, 1)])))
