"""The page and the table for people, made from a manifest."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from tests.collector.disks import memory
from tests.collector.made import KEYS, Ledger, delivery, event, ledger
from tests.collector.processes import command
from usage_collector.packages.manifest import signed
from usage_collector.periods import Period
from usage_collector.report import as_csv, as_html
from usage_collector.report.figures import Day, by, days, stretches
from usage_collector.report.plot import HEIGHT, WIDTH, plot, step

if TYPE_CHECKING:
    from pathlib import Path

OCTOBER = Period(2026, 10)
EVIL = "<script>alert(1)</script>&\"'"


class Page(HTMLParser):
    """The elements of a page and their text; whatever refers to elsewhere is kept."""

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.outside: list[str] = []
        self.feed(body.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.outside += [f"{name}={value}" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


def made(folder: Path, *events: bytes) -> Any:
    """The content of a month's manifest with these events."""
    book = Ledger(events)
    return delivery(folder, book, (1, len(events)), counted_at=OCTOBER.end).body


def test_the_page_tells_what_the_manifest_says(tmp_path: Path) -> None:
    """Totals, zones, customers, languages and how to prove it stand in the page."""
    body = made(tmp_path, event("a", 3600), event("b", 1800, customer_id="Globex"), event("b", 60))
    page = Page(as_html(body, "0123456789abcdef"))
    for told in ("1.500", "eu-1a", "Acme", "Globex", "Complete: no gaps", "Duplicates: 1"):
        assert told in page.text, told
    assert "usage-collector verify --kid 0123456789abcdef 2026-10/" in page.text
    assert body["files"][0]["sha256"] in page.text
    assert page.tags.count("svg") == 1


def test_gaps_come_before_every_figure(tmp_path: Path) -> None:
    """What is missing must not be overlooked."""
    body = made(tmp_path, event("a"))
    body["gaps"].append({"collector": "c-9", "ledger": None, "reason": "did not answer"})
    page = Page(as_html(body, "k"))
    assert "Complete" not in page.text
    assert page.text.index("c-9") < page.text.index("hours")


def test_nothing_that_a_client_sent_becomes_markup(tmp_path: Path) -> None:
    """Names of customers, languages and zones are text, in the page as in the plot's titles."""
    body = made(tmp_path, event("a", customer_id=EVIL), event("a", 5))
    for line in body["days"]:
        line["zone"] = EVIL
    body["gaps"].append({"collector": EVIL, "ledger": EVIL, "reason": EVIL})
    html = as_html(body, "k")
    page = Page(html)
    assert "script" not in page.tags
    assert EVIL in page.text
    assert page.outside == []
    assert not re.search(rb"url\(|@import|https?:", html)


def test_the_same_manifest_always_gives_the_same_bytes(tmp_path: Path) -> None:
    """A re-run must not differ."""
    body = made(tmp_path, *ledger(30).events)
    assert as_html(body, "k") == as_html(body, "k")
    assert as_csv(body) == as_csv(body)


def test_one_of_anything_is_no_plural(tmp_path: Path) -> None:
    """A month of one job that one collector received on another day, and one gap."""
    body = made(tmp_path, event(1, 3600, time_stamp="2026-02-03T00:00:00Z"))
    body["gaps"].append({"collector": "c-9", "ledger": None, "reason": "did not answer"})
    text = Page(as_html(body, "k")).text
    assert "Incomplete: 1 gap." in text
    assert "1 of 1 collector answered" in text
    assert "1job or session, each once" in text
    assert "1.000 hours in 1 job or session; it is" in text


def test_an_empty_month_is_a_page_too() -> None:
    """A month without any use, or a content that lacks members, is no error."""
    body: dict[str, object] = {"period": "2026-10", "revision": 1, "coverage": {}}
    coverage = {"since": "", "until": "", "collectors_answered": 1, "collectors_expected": 1}
    body["coverage"] = {**coverage, "percent": 100.0, "corrected_seconds": 0}
    assert "nothing was used" in Page(as_html(body, "k")).text
    assert as_csv(body).startswith(b"table,key,count,hours,seconds")


def test_a_name_is_no_formula(tmp_path: Path) -> None:
    """Spreadsheets run cells that begin like one."""
    body = made(tmp_path, event("a", customer_id="=HYPERLINK(1)"), event("b", customer_id="+1"))
    cells = {row[1] for row in csv.reader(io.StringIO(as_csv(body).decode())) if row}
    assert {"'=HYPERLINK(1)", "'+1"} <= cells


def test_days_add_up_and_days_of_no_use_are_shown(tmp_path: Path) -> None:
    """Every day of the month has its place; what is dated elsewhere stands apart."""
    stamps = ["2026-10-01T00:00:00Z", "2026-10-31T23:59:59Z", "2026-02-03T00:00:00Z", "?"]
    body = made(tmp_path, *(event(n, 3600, time_stamp=at) for n, at in enumerate(stamps)))
    found = days(body)
    assert [day.name for day in found.days] == [f"2026-10-{n:02}" for n in range(1, 32)]
    assert [sum(day.hours) for day in found.days] == [1.0, *[0.0] * 29, 1.0]
    assert (found.other.count, found.other.hours) == (2, 2.0)
    assert {line["month"] for line in body["months"]} == {"2026-10", "2026-02", "unknown"}


_HOURS = st.lists(st.floats(0, 1e6), min_size=3, max_size=3)


@given(st.lists(_HOURS, min_size=1, max_size=62))
def test_every_bar_stays_inside_the_plot(hours: list[list[float]]) -> None:
    """The tallest day reaches at most the top line, and bars stand on each other."""
    table = [Day(f"2026-10-{n:02}", tuple(each), 1) for n, each in enumerate(hours)]
    for column in plot(table).columns:
        ground = None
        for bar in column.bars:
            assert 0 <= bar.x <= bar.x + bar.width <= WIDTH
            assert 9.9 <= bar.y <= bar.y + bar.height <= HEIGHT
            assert ground is None or abs(bar.y + bar.height - ground) <= 0.02
            ground = bar.y


@given(st.floats(1e-6, 1e9))
def test_lines_are_at_round_distances_and_reach_the_largest(largest: float) -> None:
    """Four of them hold the largest value without leaving most of the plot empty."""
    assert largest <= step(largest) * 4 * 1.0000001
    assert step(largest) * 4 <= largest * 2.6


def test_the_command_shows_the_newest_revision(tmp_path: Path) -> None:
    """A folder of months, a month's folder and a manifest are all taken; gaps are exit code 1."""
    folder = tmp_path / "2026-10"
    made(folder, event("a", 3600), event("b", 1800, customer_id="[red]Globex"))
    for path in (["--period", "2026-10", tmp_path], [folder], [folder / "manifest.json"]):
        done = command("report", *path)
        assert done.code == 0, done.err
        for told in ("1.500000", "[red]Globex", "2026-10-31", "nothing"):
            assert told in done.out
    assert command("report", folder, "--csv", "-").out == (folder / "summary.csv").read_text()
    assert command("report", folder, "--html", tmp_path / "p.html").code == 0
    assert (tmp_path / "p.html").read_bytes() == (folder / "report.html").read_bytes()
    assert command("report", folder, "--json").facts["period"] == "2026-10"


def test_a_day_of_which_not_all_is_known_is_no_zero(tmp_path: Path) -> None:
    """Printed too it is not known, or at least what was counted; the table names it, and gaps."""
    folder = tmp_path / "2026-10"
    body = made(folder, event("a", 3600))
    days = [("2026-10-04", 0.0, None), ("2026-10-05", 0.5, 1), ("2026-10-06", 1.0, 0)]
    body["coverage"]["days"] = [
        {"day": day, "zone": "eu-1a", "coverage": share, "count": count}
        for day, share, count in days
    ]
    body["gaps"] = [{"collector": "c-2", "reason": "it did not answer"}]
    (folder / "manifest.json").write_bytes(signed(body, KEYS))
    rows = list(csv.reader(io.StringIO(command("report", folder, "--csv", "-").out)))
    assert rows[1:4] == [
        ["gap", "c-2: it did not answer", "", "", ""],
        ["not all known", "2026-10-04 eu-1a", "", "", ""],
        ["not all known", "2026-10-05 eu-1a", "", "", ""],
    ]
    printed = [line.split() for line in command("report", folder).out.splitlines()]
    told = {words[0]: words[1:] for words in printed if words and words[0].startswith("2026-10-")}
    assert told["2026-10-04"] == ["not", "known"]
    assert told["2026-10-05"][:4] == ["≥", "1", "≥", "1.000"]
    assert told["2026-10-06"] == ["0", "0.000"]


def test_days_in_a_row_of_which_nothing_is_known_are_one_line() -> None:
    """Zone by zone; a day with something to tell stands by itself, and so does one after a hole."""

    def line(day: int, zone: str, count: int | None = None, silent: int = 0) -> dict[str, object]:
        told = {"coverage": 0.5 if count else 0, "count": count, "silent_sessions": silent}
        return {"day": f"2026-10-{day:02}", "zone": zone, **told}

    days = [
        *(line(day, zone) for day in (1, 2, 3) for zone in ("a", "b")),
        *(line(4, "a", 1), line(5, "a", 1), line(5, "b"), line(6, "a"), line(6, "b", silent=2)),
    ]
    found = stretches({"coverage": {"days": days}})
    assert [(str(one["day"])[-2:], last[-2:], one["zone"]) for one, last in found] == [
        *(("01", "03", "a"), ("01", "03", "b"), ("04", "04", "a"), ("05", "05", "a")),
        *(("05", "05", "b"), ("06", "06", "a"), ("06", "06", "b")),
    ]


def test_the_command_names_what_is_wrong(tmp_path: Path) -> None:
    """A missing month, a file that is there already, and a manifest that was changed."""
    folder = tmp_path / "2026-10"
    made(folder, event("a"))
    asked = command("report", tmp_path)
    assert (asked.code, "--period 2026-10" in asked.err) == (2, True)
    again = command("report", folder, "--csv", folder / "summary.csv")
    assert (again.code, "exists already" in again.err) == (2, True)
    assert command("report", tmp_path / "none").code == 2
    other = command("report", folder, "--period", "2026-11")
    assert (other.code, "is of 2026-10, not of 2026-11" in other.err) == (2, True)
    table = command("report", folder / "summary.csv")
    assert (table.code, "summary.csv is no manifest" in table.err) == (2, True)
    manifest = folder / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b"2026-10", b"2026-11"))
    altered = command("report", folder)
    assert (altered.code, "signature" in altered.err) == (1, True)


def test_a_page_that_does_not_fit_is_not_left_half(tmp_path: Path) -> None:
    """A full disk is named, and the next try finds nothing that is there already."""
    made(tmp_path / "2026-10", event("a"))
    with memory(8192) as full:
        done = command("report", tmp_path / "2026-10", "--html", full / "page.html")
        assert (done.code, "No space left" in done.err) == (2, True)
        assert list(full.iterdir()) == []


def test_a_kind_without_a_name_leaves_no_mark() -> None:
    """What has a mode and no type is named by its mode alone."""
    line = {"mode": "batch", "type": "", "count": 1, "seconds": 1.0}
    body = {"totals": {"after": {"by_mode_and_type": [line]}}}
    assert [row.name for row in by(body, "mode", "type")] == ["batch"]
