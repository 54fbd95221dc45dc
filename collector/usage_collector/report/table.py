"""The month as a table for spreadsheets."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

from usage_collector.report.figures import lacking, lines, part
from usage_collector.totals import DIMENSIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_HEAD = ("table", "key", "count", "hours", "seconds")
_UNKNOWN = ("", "", "")


def as_csv(body: Mapping[str, object]) -> bytes:
    """A manifest's totals, one table below the other (RFC 4180); seconds are exact.

    What is not known stands there by its name, without figures.
    """
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(_HEAD)
    for gap in lines(body, "gaps"):
        writer.writerow(("gap", _cell(f"{gap.get('collector')}: {gap.get('reason')}"), *_UNKNOWN))
    for day in lacking(body):
        key = f"{day.get('day')} {day.get('zone') or ''}".strip()
        writer.writerow(("not all known", _cell(key), *_UNKNOWN))
    for table, key, line in _rows(body):
        hours = f"{line.get('hours', 0):.6f}"
        writer.writerow((table, _cell(key), line.get("count", 0), hours, line.get("seconds", 0)))
    return out.getvalue().encode()


def _rows(body: Mapping[str, object]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    period, after = str(body.get("period")), part(body, "totals", "after")
    yield "total", period, after
    yield "before duplicates", period, part(body, "totals", "before")
    yield "warm-ups", period, part(after, "warm_ups")
    yield "estimated", period, part(after, "estimated")
    for line in lines(body, "collectors"):
        yield "collector", str(line.get("collector")), part(line, "totals")
    for line in lines(body, "months"):
        yield "month", str(line.get("month")), line
    for line in lines(body, "days"):
        yield "day", f"{line.get('day')} {line.get('zone')} {line.get('mode')}", line
    for dimension in DIMENSIONS:
        for line in lines(after, f"by_{dimension}"):
            yield dimension, str(line.get(dimension)), line


def _cell(text: str) -> str:
    # A customer's name must not become a formula in whoever's spreadsheet.
    return f"'{text}" if text.startswith(_FORMULA) else text
