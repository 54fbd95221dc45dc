"""The month's page in a real browser, on the screen's width and on paper."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.collector.browser import Visit, chromium
from tests.collector.debian import needed
from tests.collector.made import Ledger, delivery, event
from usage_collector.periods import Period
from usage_collector.report import as_html

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PAPER = {"A4": 210 - 30, "Letter": 215.9 - 30}
"""Width in mm between the margins."""
NAMES = ["Acme", "W" * 90, *(f"Customer Number {n}" for n in range(60))]
LARGE = {"count": 12_345_678, "seconds": 1_234_567.891 * 3600}


def month(folder: Path) -> dict[str, Any]:
    """A month with a gap, unknown days, long names and figures, and more customers than a page."""
    jobs = [event(n, 60 + n, customer_id=name) for n, name in enumerate(NAMES)]
    body: Mapping[str, Any] = delivery(
        folder, Ledger(jobs), (1, len(jobs)), counted_at=Period(2026, 10).end
    ).body
    gap = {"collector": "c-9", "ledger": "0" * 36, "reason": "did not answer " * 20}
    day = {"coverage": 0.5, "count": None, "silent_sessions": 3, "early_events": None}
    zones = ("eu-1a", "z" * 40, None)
    days = [{"day": "2026-10-01", "zone": zone, **day} for zone in zones]
    totals = {which: {**all_of, **LARGE} for which, all_of in body["totals"].items()}
    coverage = {**body["coverage"], "days": days}
    return {**body, "gaps": [gap], "coverage": coverage, "totals": totals}


@pytest.mark.timeout(300)
def test_the_page_prints_whole(tmp_path: Path) -> None:
    """Nothing runs off paper or phone, every row is there, and ink is dark if the screen was."""
    read = needed("poppler-utils", lambda: shutil.which("pdftotext"))
    body, path = month(tmp_path), tmp_path / "report.html"
    path.write_bytes(as_html(body, "0123456789abcdef"))
    with chromium() as browser:
        visit = Visit(browser, path.as_uri(), color_scheme="dark")
        visit.page.goto(path.as_uri())
        wide = "document.documentElement.scrollWidth - innerWidth"
        visit.page.set_viewport_size({"width": 360, "height": 800})
        assert visit.page.evaluate(wide) <= 0, "on a phone"
        visit.page.emulate_media(media="print", color_scheme="dark")
        assert visit.page.evaluate("getComputedStyle(document.body).backgroundColor") == (
            "rgb(255, 255, 255)"
        )
        # Else a printer leaves out which colour is whose.
        legend = "getComputedStyle(document.querySelector('.key i')).printColorAdjust"
        assert visit.page.evaluate(legend) == "exact"
        for paper, width in PAPER.items():
            visit.page.set_viewport_size({"width": int(width / 25.4 * 96), "height": 900})
            assert visit.page.evaluate(wide) <= 0
            (tmp_path / "page.pdf").write_bytes(visit.page.pdf(format=paper))
            text = subprocess.run(
                [read, "-raw", tmp_path / "page.pdf", "-"], capture_output=True, check=True
            ).stdout.decode()
            printed = "".join(text.split())
            assert text.count("\f") > 1
            assert "1,234,567.891\n" in text, "in one line"
            assert [one for one in NAMES if one.replace(" ", "") not in printed] == []
            assert body["files"][0]["sha256"] in printed
        assert visit.complaints == []
        visit.close()
