"""The month as one page: nothing outside of it is needed, and it prints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from usage_collector.report import figures
from usage_collector.report.plot import COLOURS, plot
from usage_collector.words import many

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from usage_collector.report.figures import Row

SHOWN = 50
"""Lines of a list; the manifest has them all."""
_TABLES = (
    ("Zones", ("zone",)),
    ("Customers", ("customer",)),
    ("Jobs and sessions", ("mode", "type")),
    ("Languages", ("language",)),
    ("Operating points", ("operating_point",)),
    ("Formats", ("format",)),
)
_MEANINGS = {
    "duplicates": "received again, and counted once",
    "conflicts": "ended with different durations; the longest counts",
    "estimates": "never told their end; counted from their last status",
    "corrections": "estimated in an earlier month, and ended since",
    "implausible": "with a duration that cannot be; listed, not counted",
    "carried": "still running at the cut; the next month counts them",
    "pending": "announced by another vendor, of unknown duration; a later month counts them",
}


def _hours(value: float) -> str:
    return f"{value:,.3f}"


def _number(value: int) -> str:
    return f"{value:,}"


def _told(value: int | None) -> str:
    return "not known" if value is None else _number(value)


def _table(title: str, rows: Sequence[Row]) -> dict[str, object]:
    most = max((row.seconds for row in rows), default=0)
    bars = [round(100 * row.seconds / most, 2) if most else 0 for row in rows]
    return {"title": title, "rows": list(zip(rows, bars, strict=True))}


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(hours=_hours, many=many, number=_number, told=_told)
    return environment


def as_html(body: Mapping[str, object], proof_kid: str) -> bytes:
    """The page for a manifest's content; the same content always gives the same bytes.

    ``proof_kid`` names the key that the manifest is signed with.
    """
    days, uncertain = figures.days(body), figures.stretches(body)
    after, before = (figures.part(body, "totals", which) for which in ("after", "before"))
    lists = [
        (name, _MEANINGS[name], figures.lines(body, name)[:SHOWN], number)
        for name, number in figures.numbers(body).items()
        if number
    ]
    page = _environment().get_template("page.html.j2")
    return page.render(
        period=str(body.get("period")),
        revision=body.get("revision"),
        gaps=figures.lines(body, "gaps"),
        coverage=figures.part(body, "coverage"),
        uncertain=uncertain[:SHOWN],
        uncertain_all=len(uncertain),
        total=figures.amount(after),
        before=figures.amount(before),
        warm_ups=figures.amount(figures.part(after, "warm_ups")),
        estimated=figures.amount(figures.part(after, "estimated")),
        files=figures.lines(body, "files"),
        collectors=figures.lines(body, "collectors"),
        months=figures.lines(body, "months"),
        days=days,
        plot=plot(days.days),
        most_colours=COLOURS,
        tables=[_table(title, figures.by(body, *names)) for title, names in _TABLES],
        lists=lists,
        keys=sorted({str(line.get("proof_kid")) for line in figures.lines(body, "files")}),
        proof_kid=proof_kid,
    ).encode()
