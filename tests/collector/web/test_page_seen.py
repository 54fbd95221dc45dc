"""The page as people see it, in a real browser."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from playwright.sync_api import expect

from tests.collector.browser import CONTRAST, SHIFTS, Visit, chromium
from tests.collector.process import CollectorProcess, free_port
from tests.collector.samples import array, event
from tests.collector.year.clock import HandSet
from usage_collector.periods import microseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Page

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>"
READ = {"Authorization": "Bearer reader"}
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
NOON = TODAY + timedelta(hours=12)
"""When it is here, for collectors and browsers, so that no day ends in between."""


def _day(ago: int) -> str:
    return f"{TODAY - timedelta(days=ago):%Y-%m-%d}"


def _events() -> list[bytes]:
    """Ten jobs of six minutes on each of the last 9 days before today, of 5 customers."""
    found = []
    for number in range(90):
        customer = [EVIL, "Acme", "b", "c", ""][number % 5]
        stamp = TODAY - timedelta(days=1 + number % 9, seconds=-number)
        form = ["wav", "mp3", "strange"][number % 3]
        raw = json.loads(event(session_id=f"s{number}", customer_id=customer, duration=360.0))
        raw["time_stamp"] = stamp.isoformat().replace("+00:00", "Z")
        raw["event_specific_data"]["format_name"] = form
        found.append(json.dumps(raw).encode())
    return found


def _asked(process: CollectorProcess, path: str, done: Callable[[Any], bool]) -> Any:
    """The first answer that is as wanted."""
    deadline = time.monotonic() + 60
    while True:
        answer = httpx.get(process.reporting_url + path, headers=READ).json()
        if done(answer):
            return answer
        assert time.monotonic() < deadline, answer
        time.sleep(0.05)


def _at_noon(process: CollectorProcess, since_days: int = 0) -> CollectorProcess:
    """Lets its clock begin at noon, and run from there; it was there so many days before."""
    clock = HandSet(process.folder.with_name("clock"), microseconds(NOON))
    process.environment |= clock.from_now
    if since_days:
        # That noon is another day's where a day ended since the tests were collected.
        late = time.time() - NOON.timestamp()
        process.there_since(since_days * 86_400 + late)
    return process


def _visit(browser: Browser, process: CollectorProcess, **options: Any) -> Visit:
    """A tab of a browser whose clock shows noon."""
    visit = Visit(browser, process.reporting_url, **options)
    visit.context.clock.set_fixed_time(NOON)
    return visit


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for all of them."""
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CollectorProcess]:
    """A collector with tokens, usage, customers with quotas, and a month that was delivered."""
    folder = tmp_path_factory.mktemp("used")
    (folder / "tokens").write_text("read reader\nadmin boss\n")
    tokens = str(folder / "tokens")
    process = CollectorProcess(folder / "data", EATS_SECURE="false", USAGE_TOKENS_FILE=tokens)
    with _at_noon(process, 400):
        httpx.post(process.ingest_url + "/v1/log", content=array(_events())).raise_for_status()
        boss = httpx.Client(
            base_url=process.reporting_url, headers={"Authorization": "Bearer boss"}
        )
        quota = {"name": f"Evil {EVIL}", "customer_ids": [EVIL], "monthly_hours": 1}
        boss.put("/v1/customers/evil", json=quota).raise_for_status()
        paid = {"name": "Acme", "customer_ids": ["Acme"], "plan": "paid"}
        boss.put("/v1/customers/acme", json=paid).raise_for_status()
        period = f"{TODAY.replace(day=1) - timedelta(days=1):%Y-%m}"
        cut = boss.post(f"/v1/periods/{period}").raise_for_status().json()
        files = [{"name": f"{file['ledger']}.gz", "sha256": "a" * 64} for file in cut["files"]]
        for state, to in (("exported", "s3://b"), ("sent", "s3://b"), ("exported", "mailto:v@v")):
            receipt = {"state": state, "by": to, "files": files}
            boss.post(f"/v1/periods/{period}/receipts", json=receipt).raise_for_status()
        due = {"period": f"{TODAY:%Y-%m}", "due": f"{_day(-40)}T06:00:00Z"}
        boss.put("/v1/notes/export", json=due).raise_for_status()
        backup = {"place": EVIL, "taken": f"{_day(1)}T02:17:00Z", "ends": {}}
        boss.put("/v1/notes/backup", json=backup).raise_for_status()
        _asked(process, "/v1/usage/series", lambda found: found["totals"]["count"] == 90)
        boss.close()
        yield process


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens the page of a collector; nothing may have gone wrong in the browser by the end."""
    visits: list[Visit] = []

    def opened(process: CollectorProcess, address: str = "", token: str = "", **more: Any) -> Page:
        visits.append(_visit(browser, process, **more))
        return visits[-1].open(address, token)

    yield opened
    for visit in visits:
        visit.close()
        assert visit.complaints == []


def _table(page: Page, selector: str) -> list[list[str]]:
    script = (
        "table => [...table.rows].map(row => [...row.cells].map(cell => cell.innerText.trim()))"
    )
    found: list[list[str]] = page.eval_on_selector(f"{selector} table", script)
    return found


def test_a_token_is_asked_for_and_forgotten(used: CollectorProcess, browser: Browser) -> None:
    """A wrong one is told; the right one stays in the tab only, until it is closed or left."""
    visit = _visit(browser, used)
    page = visit.page
    page.goto(used.reporting_url)
    page.fill("#token", "wrong")
    page.press("#token", "Enter")
    page.wait_for_selector("#wrong:not(:empty)")
    assert "the token is not known" in page.inner_text("#wrong")
    assert not page.is_visible("#content")
    page.fill("#token", "reader")
    page.click("#login button")
    page.wait_for_selector("#content:not([hidden])")
    assert visit.context.cookies() == []
    assert page.evaluate("localStorage.length") == 0
    page.reload()
    page.wait_for_selector("#content:not([hidden])")
    other = visit.context.new_page()
    other.goto(used.reporting_url)
    other.wait_for_selector("#login:not([hidden])")
    page.click("#leave")
    page.wait_for_selector("#login:not([hidden])")
    assert page.evaluate("sessionStorage.length") == 0
    assert visit.complaints == []
    visit.close()


def test_it_shows_what_the_collector_counts(used: CollectorProcess, open_page: Any) -> None:
    """Sums, each list, the table of days, quotas and deliveries; clients' text is only text."""
    page = open_page(used, token="reader")
    assert page.inner_text("#cards .card >> nth=0").startswith("9.000")
    assert page.inner_text("#cards .card >> nth=1").startswith("90\n")
    customers = _table(page, "#customers")[1:]
    assert sorted(row[:3] for row in customers) == sorted(
        [name, "18", "1.800"]
        for name in (
            f"Evil {EVIL}", "Acme", "b not registered", "c not registered", "no customer named"
        )
    )  # fmt: skip
    assert ["other unknown format", "30", "3.000"] in [row[:3] for row in _table(page, "#formats")]
    quota = page.inner_text("#quotas .quota >> nth=1")
    assert f"Evil {EVIL}" in quota
    assert "of 1 h" in quota
    months = page.inner_text("#months")
    assert "s3://b sent" in months
    assert "mailto:v@v waits for 1 file of collector-0" in months
    assert "0 events are in no month yet" in months
    assert page.inner_text("#next") == f"{TODAY:%Y-%m} is due at {_day(-40)} 06:00 UTC."
    backup = ["collector-0", EVIL, f"{_day(1)} 02:17", "90", "never"]
    assert _table(page, "#backups")[1:] == [backup]
    assert len(_table(page, "#latest")) == 21
    assert "All collectors answer" in page.inner_text("#coverage")
    assert page.query_selector("#partial *") is None


def test_the_plot_has_its_figures_as_a_table(used: CollectorProcess, open_page: Any) -> None:
    """By any grouping, with the keyboard alone, and the address leads back to it."""
    page = open_page(used, f"#since={_day(9)}&until={_day(0)}&by=format", "reader")
    assert page.input_value("#by") == "format"
    label = page.get_attribute("#plot", "aria-label") or ""
    assert "9.000 in all" in label
    page.focus("#days summary")
    page.keyboard.press("Enter")
    page.wait_for_selector("#days table")
    head, *rows = _table(page, "#days")
    assert head == ["day", "hours", "number", "mp3", "other", "wav"]
    assert rows[0] == [f"{_day(0)} so far", "0.000", "0", "0.000", "0.000", "0.000"]
    assert [row[0] for row in rows[1:]] == [_day(ago) for ago in range(1, 10)]
    assert all(row[1:3] == ["1.000", "10"] for row in rows[1:])
    page.select_option("#by", "customer")
    expect(page.locator("#days thead th")).to_have_count(8)
    assert "by=customer" in page.url
    page.go_back()
    expect(page.locator("#days thead th")).to_have_count(6)


def test_days_that_cannot_be_shown_are_said(used: CollectorProcess, open_page: Any) -> None:
    """Reversed, or too many; a year is not too many."""
    page = open_page(used, token="reader")
    said = "document.querySelector('#until').validationMessage"
    for since, until, why in ((_day(1), _day(2), "after the last"), (_day(500), _day(0), "400")):
        page.fill("#since", since)
        page.fill("#until", until)
        page.click("#window button")
        assert why in page.evaluate(said)
    page.select_option("#preset", "last 365")
    page.click("#days summary")
    expect(page.locator("#days tbody tr")).to_have_count(365)
    assert f"since={_day(364)}" in page.url


def test_csv_is_what_the_interface_answers(used: CollectorProcess, open_page: Any) -> None:
    """The same bytes, under a name that says of what."""
    page = open_page(used, f"#since={_day(9)}&until={_day(1)}&by=zone", "reader")
    with page.expect_download() as download:
        page.click("#csv")
    assert download.value.suggested_filename == f"usage-{_day(9)}-{_day(1)}-zone.csv"
    query = {"since": _day(9), "until": _day(1), "group_by": "day,zone", "format": "csv"}
    answer = httpx.get(used.reporting_url + "/v2/usage", params=query, headers=READ)
    assert download.value.path().read_bytes() == answer.content


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_can_be_read(
    used: CollectorProcess, open_page: Any, scheme: str
) -> None:
    """Nothing is wider than 390 px, text stands out (WCAG 2.2, 1.4.3), and nothing jumps about."""
    size = {"width": 390, "height": 844}
    page = open_page(used, token="reader", viewport=size, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate(CONTRAST) == []
    page.click("#refresh")
    expect(page.locator("#state")).to_contain_text("As of")
    assert page.evaluate(SHIFTS) < 0.1


def test_nothing_used_is_said_where_it_is_known(
    tmp_path_factory: pytest.TempPathFactory, open_page: Any
) -> None:
    """A collector without others that was there all the time has used nothing, and says so."""
    folder = tmp_path_factory.mktemp("empty")
    process = CollectorProcess(folder / "data")
    with _at_noon(process, 40):
        page = open_page(process)
        assert page.inner_text("#empty").startswith("Nothing was used in these days")
        assert page.inner_text("#cards .card >> nth=0").startswith("0.000")
        assert page.inner_text("#zones") == "Nothing was used."
        assert "whether there is one is not known" in page.inner_text("#backups")
        assert "was not told yet" in page.inner_text("#next")
        assert not page.is_visible("#leave")


def test_before_it_began_nobody_knows(
    tmp_path_factory: pytest.TempPathFactory, open_page: Any
) -> None:
    """A new collector says nothing of the days before it: they are not known, and no alarm."""
    folder = tmp_path_factory.mktemp("new")
    process = CollectorProcess(folder / "data")
    with _at_noon(process, 5):
        page = open_page(process)
        assert "no collector was there before" in page.inner_text("#partial")
        assert page.query_selector("#partial .bad") is None
        assert page.inner_text("#cards .card >> nth=0").startswith("not known")
        assert "not all is known" in page.inner_text("#empty")
        assert "no collector was there before" in page.inner_text("#coverage .problems")
        page.click("#days summary")
        page.wait_for_selector("#days table")
        rows = _table(page, "#days")[1:]
        assert {row[1] for row in rows[:5]} == {"0.000"}
        assert {row[1] for row in rows[5:]} == {"not known"}


def test_what_nobody_knows_is_no_zero(
    tmp_path_factory: pytest.TempPathFactory, open_page: Any
) -> None:
    """With a collector that never answered all figures say so, and the days and the file too."""
    folder = tmp_path_factory.mktemp("partial")
    away = f"http://127.0.0.1:{free_port()}"
    process = CollectorProcess(folder / "data", EATS_SECURE="false")
    process.environment["USAGE_PEERS"] = f"{process.reporting_url},{away}"
    with _at_noon(process):
        _asked(process, "/v1/usage/series", lambda found: "cannot be reached" in str(found))
        page = open_page(process)
        assert away in page.inner_text("#partial")
        assert page.inner_text("#cards .card >> nth=0").startswith("not known")
        assert "not all is known" in page.inner_text("#empty")
        assert "not all is known" in page.inner_text("#key")
        assert "but not all is known" in page.inner_text("#zones")
        assert "not all is known" in page.inner_text("#latest")
        for part in ("#months", "#backups"):
            assert f"{away} is not in this list" in page.inner_text(part)
        assert "No month is known to have been cut" in page.inner_text("#months")
        page.click("#days summary")
        page.wait_for_selector("#days table")
        assert {row[1] for row in _table(page, "#days")[1:]} == {"not known"}
        httpx.post(process.ingest_url + "/v1/log", content=array(_events())).raise_for_status()
        _asked(process, "/v1/usage/series", lambda found: found["totals"]["count"] == 90)
        page.click("#refresh")
        expect(page.locator("#cards")).to_contain_text("≥\u00a09.000")
        assert {row[1] for row in _table(page, "#days")[1:]} == {"not known", "≥\u00a01.000"}
        with page.expect_download() as download:
            page.click("#csv")
        assert download.value.suggested_filename.endswith("-partial.csv")


def test_months_and_backups_are_those_of_all(
    tmp_path_factory: pytest.TempPathFactory, open_page: Any
) -> None:
    """The page of one collector shows another's, and says when nothing is known of them."""
    folder = tmp_path_factory.mktemp("fleet")
    one, asked = (
        CollectorProcess(folder / name, EATS_SECURE="false", USAGE_NAME=name)
        for name in ("a-0", "b-0")
    )
    asked.patch("usage_collector.web.standing_routes.REUSED_SECONDS", 0.0)
    asked.patch("usage_collector.standing.SECONDS", 60.0)
    for process in (one, asked):
        process.environment["USAGE_PEERS"] = f"{one.reporting_url},{asked.reporting_url}"
        process.there_since(400 * 86_400)
    with one, asked:
        boss = one.reporting_url
        httpx.post(one.ingest_url + "/v1/log", content=array(_events())).raise_for_status()
        httpx.post(f"{boss}/v1/periods/2026-01").raise_for_status()
        sent = {"state": "sent", "by": "s3://b", "files": [{"name": "x", "sha256": "a" * 64}]}
        httpx.post(f"{boss}/v1/periods/2026-01/receipts", json=sent).raise_for_status()
        backup = {"place": "s3://c", "taken": "2026-02-01T02:17:00Z", "ends": {}}
        httpx.put(f"{boss}/v1/notes/backup", json=backup).raise_for_status()
        _asked(asked, "/v1/collectors", lambda found: len(found["collectors"]) == 2)
        page = open_page(asked)
        month, cut_at, count, where = _table(page, "#months")[1]
        assert (month, bool(cut_at), count) == ("2026-01", True, "90")
        assert "s3://b sent" in where
        assert "not cut at b-0" in where
        (row,) = _table(page, "#backups")[1:]
        assert row[:4] == ["a-0", "s3://c", "2026-02-01 02:17", "90"]
        assert "No backup of b-0 told of itself" in page.inner_text("#backups")
        one.kill()
        page.click("#refresh")
        for part in ("#months", "#backups"):
            expect(page.locator(part)).to_contain_text("a-0 is not in this list")
            assert "cannot be reached" in page.inner_text(part)
        assert "At least 0 events" in page.inner_text("#months")


def test_an_answer_that_fails_is_told_in_its_place(
    used: CollectorProcess, browser: Browser
) -> None:
    """The rest is shown; without coverage no figure is taken for the whole."""
    visit = _visit(browser, used)
    visit.page.route("**/v1/coverage*", lambda route: route.abort())
    page = visit.open(token="reader")
    assert "This cannot be shown" in page.inner_text("#coverage")
    assert page.inner_text("#cards .card >> nth=0").startswith("≥\u00a09.000")
    assert page.inner_text("#state").startswith("Not everything could be loaded")
    assert len(_table(page, "#zones")) == 2
    visit.page.route("**/v1/usage/series*by=zone*", lambda route: route.abort())
    page.click("#refresh")
    expect(page.locator("#cards")).to_contain_text("This cannot be shown")
    assert not page.is_visible("#plot")
    assert "Acme" in page.inner_text("#customers")
    visit.close()


def test_it_waits_where_requests_are_limited(
    tmp_path_factory: pytest.TempPathFactory, open_page: Any
) -> None:
    """As 429 says, until it has all that it asked for."""
    folder = tmp_path_factory.mktemp("limited")
    process = CollectorProcess(folder / "data", USAGE_GETS_PER_SECOND="4")
    with _at_noon(process):
        page = open_page(process)
        assert page.inner_text("#state").startswith("As of")
        assert '" 429 ' in process.log.read_text()
