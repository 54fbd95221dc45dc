"""One destination after the other gets a month; receipts at the collectors say who has what."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from usage_collector.errors import DeliveryFailed, UsageError
from usage_collector.monthly import plan
from usage_collector.packages import ending_of, name_ending
from usage_collector.targets import Parcel, sha256
from usage_collector.words import many

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from usage_collector.monthly.parts import Order, Parts
    from usage_collector.packages import FileReport
    from usage_collector.peers import Cut
    from usage_collector.periods import Period
    from usage_collector.targets import Destination, Letter


@dataclass(frozen=True, slots=True)
class Ready:
    """A month that is ready to go: every file that there is, and what to write to people.

    ``common`` are the files that belong to no single collector, the manifest last.
    """

    period: Period
    revision: int
    parts: Parts
    packages: Sequence[Path]
    common: Sequence[Path]
    letter: Letter

    @property
    def files(self) -> list[Path]:
        """All of them in the order of delivery."""
        return [*self.packages, *self.common]


def hand_over(
    order: Order, month: Ready, held: Mapping[str, Mapping[str, str]]
) -> tuple[list[str], list[str], list[str]]:
    """Where it is now, why it is not elsewhere, and which receipts could not be kept.

    ``held`` is what each destination that can be reached has: name to SHA-256. Every one is
    promised the month first, so that collectors keep it until the last of them has it.
    """
    for destination in order.destinations:
        _receipts(month, "exported", destination.name)
    delivered, failed, unnoted = [], [], []
    for destination in order.destinations:
        if destination.name not in held:
            continue
        try:
            new = destination.deliver(_parcel(month, destination, held[destination.name]))
        except DeliveryFailed as error:
            failed.append(str(error))
            continue
        delivered.append(destination.where(str(month.period)))
        among = many(len(month.files), "file was", "files were")
        order.say(f"{destination.name}: {len(new)} of {among} new")
        unnoted += _receipts(month, "sent", destination.name)
    return delivered, failed, unnoted


def keep_manifest(month: Ready, manifest: bytes) -> list[str]:
    """Leaves the manifest with the collectors, where the next month finds it; why with none.

    Before anything is delivered: who has got a month must find it counted in the next.
    """
    errors = []
    for peer, _ in month.parts.fetched:
        try:
            peer.keep_manifest(str(month.period), manifest)
        except UsageError as error:
            errors.append(f"the manifest is not kept: {error}")
    return errors if len(errors) == len(month.parts.fetched) else []


def _parcel(month: Ready, destination: Destination, known: Mapping[str, str]) -> Parcel:
    cuts = [fetched.cut for _, fetched in month.parts.fetched]
    return Parcel(
        folder=str(month.period),
        files=month.files,
        letter=month.letter,
        known=known,
        settled=plan.settled(cuts, destination.name, month.revision),
        note=partial(_note, month, destination.name),
    )


def _note(month: Ready, by: str, paths: Sequence[Path]) -> None:
    """Every collector notes all files: one that is away later must not make them come again."""
    files = [{"name": path.name, "sha256": sha256(path)} for path in paths]
    errors = []
    for peer, _ in month.parts.fetched:
        try:
            peer.receipt(str(month.period), "sent", files, by)
        except UsageError as error:
            errors.append(str(error))
    if len(errors) == len(month.parts.fetched):
        raise DeliveryFailed(
            f"{by} has got {', '.join(path.name for path in paths)}, which nobody noted: "
            + "; ".join(errors),
            "the next run sends them again",
        )


def _receipts(month: Ready, state: str, by: str) -> list[str]:
    """Tells every collector what became of its packages; what went wrong doing so."""
    common = [(path.name, sha256(path)) for path in month.common]
    errors = []
    for peer, fetched in month.parts.fetched:
        mine = [
            *month.parts.files[fetched.status.collector],
            *_taken_over(month.parts, fetched.cut),
        ]
        named = [*((file.name, file.seal.sha256) for file in mine), *common]
        files = [{"name": name, "sha256": sha256} for name, sha256 in named]
        try:
            peer.receipt(str(month.period), state, files, by)
        except UsageError as error:
            errors.append(f"{state} is not noted at {fetched.status.collector}: {error}")
    return errors


def _taken_over(parts: Parts, cut: Cut) -> list[FileReport]:
    """What was delivered of a collector's cut under another's name, whose ledger it has now."""
    mine = {name_ending(one.ledger, one.first, one.last) for one in cut.files}
    return [file for file, _ in parts.kept if ending_of(file.name) in mine]
