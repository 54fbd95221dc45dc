"""What a person reads in an email before opening anything attached."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from usage_collector.report import figures

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_GAPS = 20
"""So many are named: a letter must leave its message room for attachments."""
_CELL = 'style="padding:2px 16px 2px 0;text-align:left"'


def as_letter(body: Mapping[str, object], proof_kid: str) -> tuple[str, str, str]:
    """Subject, text and HTML for a manifest's content; the key that it is signed with is named."""
    period, revision = str(body.get("period")), body.get("revision")
    gaps = [f"{one.get('collector')}: {one.get('reason')}" for one in figures.lines(body, "gaps")]
    if more := gaps[_GAPS:]:
        gaps = [*gaps[:_GAPS], f"{len(more)} more, which the page and the manifest name"]
    state = "INCOMPLETE" if gaps else "complete"
    again = f", revision {revision}" if revision != 1 else ""
    rows = _rows(body)
    check = (
        "To prove it, save all attachments of all messages into one folder and run "
        f"`usage-collector verify FOLDER`. The manifest is signed with the key {proof_kid}."
    )
    subject = f"Usage {period}{again}{' (incomplete)' if gaps else ''}"
    text = [f"Usage of {period}{again}: {state}", ""]
    text += [f"  {name + ':':<22}{value}" for name, value in rows]
    text += ["", *(f"Missing: {gap}" for gap in gaps), *([""] if gaps else []), check]
    return subject, "\n".join(text) + "\n", _html(text[0], rows, gaps, check)


def _rows(body: Mapping[str, object]) -> list[tuple[str, str]]:
    after, files = figures.part(body, "totals", "after"), figures.lines(body, "files")
    events = sum(int(str(one.get("count") or 0)) for one in files)
    hours = float(str(after.get("seconds") or 0)) / 3600
    return [
        ("Jobs and sessions", f"{int(str(after.get('count') or 0)):,}"),
        ("Hours", f"{hours:,.6f}"),
        ("Events", f"{events:,}"),
        ("Packages", f"{len(files):,}"),
        ("Collectors", f"{len(figures.lines(body, 'collectors')):,}"),
    ]


def _html(title: str, rows: Sequence[tuple[str, str]], gaps: Sequence[str], check: str) -> str:
    table = "".join(
        f"<tr><th {_CELL}>{escape(name)}</th><td {_CELL}>{escape(value)}</td></tr>"
        for name, value in rows
    )
    missing = "".join(f"<li>{escape(gap)}</li>" for gap in gaps)
    missing = f"<p><strong>Missing</strong></p><ul>{missing}</ul>" if gaps else ""
    return (
        f"<!doctype html><html lang=en><body><h2>{escape(title)}</h2><table>{table}</table>"
        f"{missing}<p>{escape(check)}</p></body></html>\n"
    )
