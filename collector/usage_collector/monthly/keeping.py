"""What a destination holds already stays: the same payload under another key is no news."""

from __future__ import annotations

from typing import TYPE_CHECKING

from usage_collector.errors import DeliveryFailed
from usage_collector.packages import Trust
from usage_collector.packages.checking import Check

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from usage_collector.monthly.parts import Order, Parts
    from usage_collector.packages import FileReport
    from usage_collector.periods import Period


def keep_delivered(
    order: Order, period: Period, parts: Parts, held: Mapping[str, Mapping[str, str]]
) -> None:
    """Puts delivered packages in the place of fetched ones that differ from them in nothing signed.

    Keys and compressors change; a package that was sent is never sent again for that. ``held`` is
    what each destination has: name to SHA-256 in hex.
    """
    for _, fetched in parts.fetched:
        reports = parts.files[fetched.status.collector]
        for number, (_, part) in enumerate(fetched.packages):
            report = reports[number]
            path = part.with_name(report.name)
            for body in _others(order, period, report, held):
                if kept := _same(body, path, report, fetched.proofs):
                    reports[number] = kept
                    break


def _others(
    order: Order, period: Period, report: FileReport, held: Mapping[str, Mapping[str, str]]
) -> Iterator[bytes]:
    for destination in order.destinations:
        known = held.get(destination.name, {}).get(report.name)
        if known and known != report.seal.sha256:
            try:
                body = destination.fetch(str(period), report.name)
            except DeliveryFailed:
                continue
            if body is not None:
                yield body


def _same(
    body: bytes, path: Path, report: FileReport, proofs: Mapping[str, bytes]
) -> FileReport | None:
    """The report of a delivered file that takes the place of the one at ``path``, if it may."""
    other = path.with_name(path.name + ".held")
    other.write_bytes(body)
    check = Check(report.name, Trust(proofs=proofs), lambda _: None)
    with other.open("rb") as file:
        check.run(file)
    kept = check.report
    if check.findings or not kept or kept.seal.payload_sha256 != report.seal.payload_sha256:
        return None
    other.replace(path)
    return kept
