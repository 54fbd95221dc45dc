"""What a restore came to, or would come to, in the words of `usage-collector restore`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import click
import msgspec
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from usage_collector.cli.clients import console, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from usage_collector.backup import Return

Answer: TypeAlias = dict[str, object]
MOST_BYTES = 2048
"""What a container's termination message is to hold."""
_LINES = 6


@dataclass(frozen=True, slots=True)
class Told:
    """Which ledgers were considered, and what collectors answered to those that were sent."""

    planned: Sequence[Return]
    done: Sequence[tuple[Return, Answer]]
    dry_run: bool

    @property
    def lossy(self) -> bool:
        """Whether positions are known to be lost."""
        answers = ((one, self.answer(one)) for one in self.planned)
        return any(answer["lost"] if answer else one.coming.lost for one, answer in answers)

    @property
    def taken(self) -> datetime | None:
        """When the oldest of the backups was taken."""
        times = [one.backup.taken for one in self.planned if one.backup.taken]
        return min(times, default=None)

    def answer(self, one: Return) -> Answer | None:
        """What its collector said of a ledger."""
        return next((answer for sent, answer in self.done if sent is one), None)

    def came(self, one: Return) -> str:
        """The positions that came back, or would, and what a damaged ledger itself still gave."""
        answer = self.answer(one)
        if answer is None:
            return spans(one.coming.comes)
        read = spans(answer.get("salvaged"))
        from_files = f"from the damaged files {read}" if read else ""
        return " and ".join(filter(None, (spans(answer["came_back"]), from_files)))

    def lost(self, one: Return) -> str:
        """The positions that are lost, as far as they are known."""
        answer, coming = self.answer(one), one.coming
        known = spans(answer["lost"] if answer else coming.lost)
        if known and answer is None and coming.state == "damaged":
            known += ", but for what its damaged files still give"
        unknown = f"what came after {coming.last}" if coming.open_end and coming.needed else ""
        return " and ".join(filter(None, (known, unknown)))

    def events(self, one: Return) -> int:
        """How many that are."""
        answer = self.answer(one)
        if answer is None:
            return one.coming.events
        runs = (*_runs(answer["came_back"]), *_runs(answer.get("salvaged")))
        return sum(last - first + 1 for first, last in runs)


def summary(told: Told) -> bytes:
    """For whoever started this as a job: the result, and lines for people; at most 2 KiB."""
    needed = [one for one in told.planned if one.coming.needed]
    verb = "would come back" if told.dry_run else "came back"
    back = [f"{_where(one)}: {told.came(one)} {verb}" for one in needed if told.came(one)]
    lost = [f"{_where(one)}: {told.lost(one)}" for one in needed if told.lost(one)]
    events = sum(map(told.events, needed))
    result = "planned" if told.dry_run else "restored" if needed else "nothing"
    values = {"result": result, "events": events, "ledgers": len(needed)}
    values["taken"] = f"{told.taken:%Y-%m-%dT%H:%M:%SZ}" if told.taken else None
    text = json.dumps(values | {"came_back": back, "lost": lost}).encode()
    if len(text) > MOST_BYTES:
        text = json.dumps(values | {"came_back": _first(back), "lost": _first(lost)}).encode()
    return text


def _first(lines: Sequence[str]) -> list[str]:
    more = [f"and {len(lines) - _LINES} more: see the log"] if len(lines) > _LINES else []
    return [*(line[:120] for line in lines[:_LINES]), *more]


def _where(one: Return) -> str:
    return f"{one.to}, ledger {one.coming.ledger[:8]}"


def tell(told: Told, *, as_json: bool) -> None:
    """Print it, for people or as JSON."""
    if as_json:
        print_json(
            {
                "taken": msgspec.to_builtins(told.taken),
                "dry_run": told.dry_run,
                "plan": [_line(one, msgspec.to_builtins(one.coming)) for one in told.planned],
                "restored": [_line(one, answer) for one, answer in told.done],
            }
        )
        return
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("backup of")
    table.add_column("to")
    table.add_column("ledger", overflow="fold")
    for name in ("there", "would come back" if told.dry_run else "came back", "lost"):
        table.add_column(name)
    for one in told.planned:
        words = (told.came(one) or "nothing", told.lost(one) or "nothing known")
        names = (escape(one.backup.collector), escape(one.to))
        table.add_row(*names, one.coming.ledger, one.coming.state, *words)
    console().print(table)
    if told.taken:
        click.echo(f"The oldest of these backups was taken {told.taken:%Y-%m-%dT%H:%M:%SZ}.")


def _line(one: Return, facts: Answer) -> Answer:
    return {"collector": one.backup.collector, "to": one.to, **facts}


def spans(runs: object) -> str:
    """Runs of positions, as people read them."""
    return ", ".join(f"{first} to {last}" for first, last in _runs(runs))


def _runs(found: object) -> list[tuple[int, int]]:
    return found if isinstance(found, list) else []
