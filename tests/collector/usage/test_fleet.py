"""Several real collectors that answer for each other."""

from __future__ import annotations

import re
import shutil
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.collector.process import CollectorProcess
from tests.collector.processes import command, make_keys
from tests.collector.samples import array, event
from usage_collector.ledger import sqlite
from usage_collector.periods import Period
from usage_collector.usage.exchange import Exchange
from usage_collector.usage.registry import Registry
from usage_collector.usage.store import Mark, Store
from usage_collector.usage.told import Book

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATH = "/v2/usage?group_by=zone"


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[list[CollectorProcess]]:
    """Three collectors in two zones that know of each other, with tokens and TLS."""
    tokens, peers, ca = tmp_path / "tokens", tmp_path / "peers", tmp_path / "ca"
    tokens.write_text("admin boss\nread reader\n")
    peers.write_text("")
    ca.write_text("")
    made = [
        CollectorProcess(
            tmp_path / name,
            USAGE_NAME=name,
            USAGE_ZONE=zone,
            USAGE_TOKENS_FILE=str(tokens),
            USAGE_PEERS=f"@{peers}",
            USAGE_CA_FILE=str(ca),
            PANDAS_SECURE="true",
        )
        .patch("usage_collector.usage.fleet.EXCHANGE_SECONDS", 0.2)
        .patch("usage_collector.usage.exchange.STALE", 2_000_000)
        for name, zone in (("a-0", "eu-1a"), ("a-1", "eu-1a"), ("b-0", "eu-1b"))
    ]
    try:
        for one in made:
            # Longer ago than the days of these tests' events.
            one.there_since(2_000 * 86_400).start()
        ca.write_text("".join(one.ca_file.read_text() for one in made))
        peers.write_text("\n".join(one.reporting_url for one in made))
        yield made
    finally:
        for one in made:
            one.__exit__()


def _send(to: CollectorProcess, raws: list[bytes]) -> None:
    answer = httpx.post(f"{to.ingest_url}/v1/log", content=array(raws), verify=False)
    assert answer.status_code == 201


def _usage(of: CollectorProcess, path: str = PATH) -> httpx.Response:
    headers = {"Authorization": "Bearer reader"}
    return httpx.get(of.reporting_url + path, headers=headers, verify=False)


def _until(of: CollectorProcess, count: int, partial: str | None = None) -> httpx.Response:
    """The first answer with that count and header; fails when none comes."""
    deadline = time.monotonic() + 60
    while True:
        answer = _usage(of)
        counted = sum(row["count"] for row in answer.json()["summary"] or [])
        if (counted, answer.headers.get("Usage-Partial")) == (count, partial):
            return answer
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.05)


def _agreed(fleet: list[CollectorProcess], count: int) -> Any:
    """What all of them answer, once they have told each other which of them had what first."""
    deadline = time.monotonic() + 60
    while True:
        first, *others = (_until(one, count).json() for one in fleet)
        if all(one == first for one in others):
            return first
        assert time.monotonic() < deadline, (first, others)
        time.sleep(0.05)


def test_any_collector_answers_for_all(fleet: list[CollectorProcess]) -> None:
    """Each event counts once wherever it arrived, and a collector that is away is named."""
    raws = [event(n, session_id=f"s{n}", duration=36) for n in range(30)]
    for number, one in enumerate(fleet):
        _send(one, raws[number * 5 : number * 5 + 20])
    agreed = _agreed(fleet, 30)
    assert agreed["since"] == "2026-10-01"
    assert agreed["summary"][0]["duration_hrs"] == 0.3
    assert "partial" not in agreed
    assert fleet[2].stop() == 0
    answer = _until(fleet[0], 30, "b-0").json()
    (away,) = answer["partial"]
    assert away["collector"] == "b-0"
    assert away["as_of"]
    assert "cannot be reached" in away["reason"]
    deadline = time.monotonic() + 60

    def lacking() -> list[tuple[str, int | None]]:
        days = _usage(fleet[0], "/v1/coverage").json()["days"]
        assert len(days) == 60
        return [(line["zone"], line["count"]) for line in days if line["coverage"] < 1]

    # On a busy machine the other one may be late now and then, too.
    while lacking() != [("eu-1b", None)]:
        assert time.monotonic() < deadline, lacking()
    while "usage_collectors_missing 1.0" not in _usage(fleet[0], "/metrics").text:
        assert time.monotonic() < deadline
    _send(fleet[1], [event(31, session_id="more")])
    _until(fleet[0], 31, "b-0")
    fleet[2].start()
    assert _agreed([fleet[2], fleet[0]], 31)["groups"]


def test_one_that_joins_is_not_missing_before(tmp_path: Path) -> None:
    """A collector that is added and does not answer yet makes no day before that partial."""
    peers = tmp_path / "peers"
    process = CollectorProcess(tmp_path / "data", USAGE_PEERS=f"@{peers}")
    peers.write_text(process.reporting_url)
    process.patch("usage_collector.usage.fleet.EXCHANGE_SECONDS", 0.2)
    with process.there_since(90 * 86_400):
        index = next(process.folder.glob("usage-*.db"))
        deadline = time.monotonic() + 60

        def lines() -> list[dict[str, Any]]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
            found: list[dict[str, Any]] = _usage(process, "/v1/coverage").json()["days"]
            return found

        # It was told of itself, and knows that that is itself.
        while not _rows(index, "SELECT 1 FROM meta WHERE name LIKE 'began %'") or len(lines()) > 30:
            pass
        peers.write_text(f"{process.reporting_url}\nhttp://127.0.0.1:1")
        while len(days := lines()) == 30:
            pass
        assert {line["coverage"] for line in days if line["zone"]} == {1.0}
        # One day's line, or two's, where a day ends meanwhile.
        added = [line for line in days if not line["zone"]]
        assert 1 <= len(added) <= 2
        assert {line["count"] for line in added} == {None}
        assert all(line["coverage"] < 1 for line in added)
        assert {one["kind"] for line in added for one in line["problems"]} == {"away"}
        old = days[20]["day"]
        answer = _usage(process, f"/v2/usage?since={old}&until={old}")
        assert "Usage-Partial" not in answer.headers


def test_only_what_joins_others_is_new(tmp_path: Path) -> None:
    """Not what a new index, or one of before, finds listed; and not when all addresses change."""
    clock = [1_000]
    store = Store(tmp_path)
    registry, book = Registry(tmp_path, "c", lambda: clock[0]), Book(tmp_path)

    def listed(*urls: str) -> list[int | None]:
        exchange = Exchange(store, registry, book, lambda: clock[0])
        exchange.list(urls)
        exchange.list(urls)
        clock[0] += 1
        return [exchange.known(url).began for url in urls]

    store.fold([], 0, own=False, marks=[Mark.peer("a", "a", "e", 1, 5, "z")], epoch=store.epoch)
    assert listed("a", "b") == [None, None]
    assert listed("a", "b", "c") == [None, None, 1_001]
    assert listed("a", "c") == [None, 1_001]
    assert listed("https-a", "https-c") == [None, None]
    assert listed("https-a", "d", "c") == [None, 1_004, 1_001]
    store.close()


def _rows(path: Path, sql: str) -> list[Any]:
    connection = sqlite.open_reader(path)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def test_a_lost_index_is_learnt_again(fleet: list[CollectorProcess]) -> None:
    """A collector whose index was deleted answers as before, and tells the others nothing twice."""
    for one in fleet:
        _send(one, [event(n, session_id=f"{one.folder.name}-{n}") for n in range(20)])
    before = _until(fleet[0], 60).json()
    fleet[0].kill()
    for path in fleet[0].folder.glob("usage-*.db*"):
        path.unlink()
    fleet[0].start()
    assert _until(fleet[0], 60).json() == before
    assert _until(fleet[1], 60).json() == before


def test_a_lost_volume_is_remembered_by_the_others(
    fleet: list[CollectorProcess], tmp_path: Path
) -> None:
    """Nobody knows what came after its last answer: usage and its first month say so."""
    lost, ca = fleet[2], tmp_path / "ca"
    _send(lost, [event(1, session_id="told")])
    for one in fleet:
        _until(one, 1)
    assert lost.stop() == 0
    shutil.rmtree(lost.folder)
    lost.start()
    ca.write_text("".join(one.ca_file.read_text() for one in fleet))
    for one in fleet:
        # Away at first, as far as the others know.
        while "until" not in (gap := _until(one, 1, "b-0").json()["partial"][0]):
            time.sleep(0.05)
        assert "it lost what it held, and began anew" in gap["reason"]
        assert gap["as_of"] < gap["until"]
        days = [d for d in _usage(one, "/v1/coverage").json()["days"] if d["zone"] == "eu-1b"]
        assert len(days) == 30
        assert {day["coverage"] for day in days[:20]} == {1.0}
        assert min(day["coverage"] for day in days) < 1
    # It learns of it itself, of the others, and tells until a delivered month does.
    while not (since := _lost(lost)):
        time.sleep(0.05)
    assert abs(since - time.time()) < 600
    assert [_lost(one) for one in fleet[:2]] == [0, 0]
    words = [
        *("export-month", "--json", "--period", Period.of(datetime.now(UTC))),
        *("--peers", f"@{tmp_path / 'peers'}", "--to", tmp_path / "out", "--ca-file", ca),
    ]
    environment = make_keys(tmp_path) | {"USAGE_TOKEN": "boss"}
    done = [command(*words, environment=environment) for _ in range(2)]
    assert [one.code for one in done] == [1, 1]
    assert "0 of 3 files were new" in done[1].err
    (gap,) = done[1].facts["gaps"]
    assert gap.startswith("b-0: it lost what it held, and began anew at ")
    assert _lost(lost) == 0


def _lost(process: CollectorProcess) -> float:
    """Since when a collector says of itself that it lost what it held."""
    url = f"{process.reporting_url}/metrics"
    text = httpx.get(url, verify=process.trusting()).raise_for_status().text
    found = re.search(r"^usage_volume_lost_timestamp_seconds (\S+)$", text, re.MULTILINE)
    assert found
    return float(found[1])


def test_damage_to_the_index_heals_while_it_runs(fleet: list[CollectorProcess]) -> None:
    """Pages that change on the disk make the index anew; no answer is wrong meanwhile."""
    one = fleet[0]
    _send(one, [event(n, session_id=f"s{n}") for n in range(500)])
    before = _until(one, 500).json()
    assert one.stop() == 0
    (path,) = one.folder.glob("usage-*.db")
    path.with_name(path.name + "-wal").unlink(missing_ok=True)
    body = bytearray(path.read_bytes())
    body[8192 : len(body)] = b"\xa5" * (len(body) - 8192)
    path.write_bytes(body)
    one.start()
    deadline = time.monotonic() + 60
    while (answer := _usage(one)).status_code == 500 or "Usage-Partial" in answer.headers:
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.05)
    assert answer.json() == before
    assert "made anew" in one.log.read_text()


def test_a_month_is_cut_though_the_index_is_damaged(tmp_path: Path) -> None:
    """What only people look at is then not known; the events are all there."""
    process = CollectorProcess(tmp_path / "data", EATS_SECURE="false")
    process.patch("usage_collector.usage.fleet.FEED_SECONDS", 3600.0)
    with process:
        url = process.reporting_url
        httpx.post(f"{process.ingest_url}/v1/log", content=event(1)).raise_for_status()
        assert httpx.get(f"{url}{PATH}").json()["summary"][0]["count"] == 1
        for path in process.folder.glob("usage-*.db*"):
            if path.suffix != ".db-shm":
                path.write_bytes(b"\xff" * path.stat().st_size)
        failed = httpx.get(f"{url}{PATH}")
        assert (failed.status_code, failed.json()["code"]) == (500, 500)
        assert set(failed.json()) == {"code", "error", "detail"}
        cut = httpx.post(f"{url}/v1/periods/2026-01")
        assert (cut.status_code, cut.json()["count"]) == (200, 1), cut.text
        assert httpx.get(f"{url}/v1/periods").json()["periods"][0]["early_events"] is None


def test_questions_are_answered_or_refused_with_the_reason(fleet: list[CollectorProcess]) -> None:
    """CSV, tokens, unknown parameters: the documented statuses and bodies."""
    _send(fleet[0], [event(1)])
    _until(fleet[0], 1)
    table = _usage(fleet[0], "/v2/usage?format=csv&group_by=customer,day")
    assert table.headers["Content-Type"].startswith("text/csv")
    assert table.text.splitlines()[1].startswith("Acme,2026-10-01,1,")
    refused = _usage(fleet[0], "/v2/usage?since=yesterday")
    assert refused.status_code == 400
    assert refused.json()["detail"].startswith("since: 'yesterday' is no date")
    assert _usage(fleet[0], "/v2/usage?colour=red").status_code == 400
    assert _usage(fleet[0], "/v1/usage/news?after=x").status_code == 400
    unknown = httpx.get(fleet[0].reporting_url + "/v2/usage", verify=False)
    assert (unknown.status_code, set(unknown.json())) == (401, {"code", "error", "detail"})


def test_a_dimension_is_grouped_by_over_the_fleet(fleet: list[CollectorProcess]) -> None:
    """Sent here and there, now and then twice: any collector answers by it, as JSON and CSV."""
    raws = [
        event(n, session_id=f"s{n}", dimensions={"project": f"p{n % 3}"} if n % 4 else None)
        for n in range(24)
    ]
    for number, one in enumerate(fleet):
        _send(one, raws[number * 8 : number * 8 + 12])
    for one in fleet:
        _until(one, 24)
        lines = _usage(one, "/v2/usage?group_by=dimension:project").json()["groups"]
        counted = [(line["dimension:project"], line["count"]) for line in lines]
        assert counted == [(None, 6), ("p0", 6), ("p1", 6), ("p2", 6)]
        table = _usage(one, "/v2/usage?group_by=month,dimension:project&format=csv").text
        assert table.splitlines()[2].startswith("2026-10,p0,6,")


def test_customers_are_known_everywhere(fleet: list[CollectorProcess]) -> None:
    """Registered at one collector, invoiced at another; strangers are kept and flagged."""
    raws = [
        event(1, session_id="a", customer_id="Acme", duration=3600),
        event(2, session_id="b", customer_id=None, contract_id="7", duration=1800),
        event(3, session_id="c", customer_id="Stranger", duration=900),
    ]
    raws[0] = raws[0].replace(b'"wav"', b'"wave"')
    _send(fleet[0], raws)
    _until(fleet[1], 3)
    boss = {"Authorization": "Bearer boss"}
    customers = f"{fleet[0].reporting_url}/v1/customers"
    body = {"name": "Acme Ltd", "customer_ids": ["Acme"], "contracts": ["7"]}
    reader = {"Authorization": "Bearer reader"}
    refused = httpx.put(f"{customers}/acme", json=body, headers=reader, verify=False)
    assert refused.status_code == 403
    made = httpx.put(f"{customers}/acme", json=body, headers=boss, verify=False)
    assert (made.status_code, made.json()["name"]) == (200, "Acme Ltd")
    deadline = time.monotonic() + 60
    while not (listed := _usage(fleet[1], "/v1/customers").json())["customers"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    (unknown,) = listed["unknown"]
    assert (unknown["customer_id"], unknown["duration_hrs"]) == ("Stranger", 0.25)
    told = _usage(fleet[1], "/v1/customers/-/usage").json()["other_formats"]
    assert told == [{"customer": "acme", "formats": ["wave"]}]
    assert "other_formats" not in _usage(fleet[1], "/v1/customers/-/usage?until=2026-09-30").json()
    table = _usage(fleet[1], "/v1/customers/-/usage?format=csv").text.splitlines()
    assert [line.split(",")[:4] for line in table[1:]] == [
        ["2026-10", "Stranger", "Stranger", "False"],
        ["2026-10", "acme", "Acme Ltd", "True"],
    ]
    assert table[2].split(",")[6:8] == ["2", "1.5"]
    httpx.put(f"{customers}/umbrella", json={"name": "U"}, headers=boss, verify=False)
    merged = f"{customers}/acme/merge"
    httpx.post(merged, json={"into": "umbrella"}, headers=boss, verify=False).raise_for_status()
    lines = _usage(fleet[0], "/v1/customers/umbrella/usage").json()["usage"]
    assert [(line["name"], line["count"]) for line in lines] == [("U", 2)]
    of_one = _usage(fleet[0], "/v2/usage?customer=acme&group_by=month")
    assert of_one.json()["since"] == "2026-10-01"
    assert [row["count"] for row in of_one.json()["summary"]] == [2]
    assert of_one.json()["groups"][0]["duration_hrs"] == 1.5
    for path in ("/v1/customers/nobody/usage", "/v2/usage?customer=nobody"):
        refused = _usage(fleet[0], path)
        assert refused.status_code == 400
        assert refused.json()["detail"].startswith("customer: 'nobody' is not registered")
    assert _usage(fleet[0], "/v1/customers/nobody").status_code == 404
    unplanned = httpx.put(
        f"{customers}/x", json={"name": "X", "plan": "gold"}, headers=boss, verify=False
    )
    assert unplanned.status_code == 400
    assert "plan: 'gold' is no plan: use one of enterprise, free, paid" in unplanned.text
    bad = httpx.post(merged, content=b"{", headers=boss, verify=False)
    assert bad.status_code == 400
