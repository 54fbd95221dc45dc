"""Whether packages join: every ledger's chain without a gap, without an overlap, without a seam.

Pure: reports of single files in, findings out.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING

from usage_collector.packages.contents import genesis
from usage_collector.packages.findings import Finding, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from usage_collector.packages.contents import Chain
    from usage_collector.packages.findings import FileReport

_Stretch = tuple[int, int, str]


def joined(files: Sequence[FileReport]) -> list[Finding]:
    """What is wrong between these files, ledger by ledger."""
    chained: dict[str, list[tuple[Chain, FileReport]]] = defaultdict(list)
    stretches: dict[str, list[_Stretch]] = defaultdict(list)
    for file in files:
        chain, ledger = file.contents.chain, file.contents.ledger
        if chain and ledger is not None:
            chained[ledger].append((chain, file))
            stretches[ledger].append((chain.first, chain.last, file.name))
        for run in file.contents.positions or ():
            stretches[run.ledger] += [(first, last, file.name) for first, last in run.runs]
    found: list[Finding] = []
    for ledger, parts in sorted(chained.items()):
        parts.sort(key=lambda part: (part[0].first, part[0].last, part[1].name))
        found += _seams(ledger, parts)
    for ledger, known in sorted(stretches.items()):
        found += _overlaps(ledger, sorted(known))
    return found


def _seams(ledger: str, parts: Sequence[tuple[Chain, FileReport]]) -> Iterator[Finding]:
    chain, file = parts[0]
    if chain.first == 1 and chain.before != genesis(ledger):
        yield Finding(Kind.ALTERED, file.name, "it does not begin as its ledger must", ledger, 1, 1)
    end = chain
    for chain, file in parts[1:]:
        if chain.first > end.last + 1:
            yield Finding(
                Kind.MISSING,
                file.name,
                "what comes before this file was not given",
                ledger,
                end.last + 1,
                chain.first - 1,
            )
        elif chain.first == end.last + 1 and chain.before != end.after:
            yield Finding(
                Kind.ALTERED,
                file.name,
                "its beginning does not join the end of the file before it",
                ledger,
                chain.first,
                chain.first,
            )
        if chain.last >= end.last:
            end = chain


def _overlaps(ledger: str, known: Iterable[_Stretch]) -> Iterator[Finding]:
    """Positions that stand in two files, once for each pair that follows one another."""
    worst: dict[tuple[str, str], tuple[int, int]] = {}
    reach: _Stretch | None = None
    for stretch in known:
        first, last, name = stretch
        if reach and first <= reach[1] and last >= first:
            pair = (reach[2], name)
            seen = worst.get(pair, (first, 0))
            worst[pair] = (seen[0], max(seen[1], min(last, reach[1])))
        if not reach or last > reach[1]:
            reach = stretch
    for (one, other), (first, last) in worst.items():
        detail = f"the same positions stand in {one}" if one != other else "positions stand twice"
        yield Finding(Kind.TWICE, other, detail, ledger, first, last)


def same_files(files: Iterable[FileReport]) -> Iterator[Finding]:
    """Packages with the same payload, whatever they are called."""
    by_payload: dict[str, list[str]] = defaultdict(list)
    for file in files:
        by_payload[file.seal.payload_sha256].append(file.name)
    for names in by_payload.values():
        for one, other in pairwise(sorted(names)):
            yield Finding(Kind.TWICE, other, f"the same package as {one}")
