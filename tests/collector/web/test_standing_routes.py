"""Months and backups of a fleet of real collectors, whichever of them is asked."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.collector.process import CollectorProcess
from tests.collector.samples import array, event
from tests.collector.test_peers import answering

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PATH = "/v1/collectors"
READ, BOSS = ({"Authorization": f"Bearer {token}"} for token in ("reader", "boss"))
REUSED = "usage_collector.web.standing_routes.REUSED_SECONDS"
EXCHANGE = "usage_collector.usage.fleet.EXCHANGE_SECONDS"
ASKING = "usage_collector.standing.SECONDS"
BACKUP = {"place": "s3://backups", "taken": "2026-11-02T02:17:00Z", "ends": {}}


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[list[CollectorProcess]]:
    """Three collectors that know of each other, with tokens and TLS."""
    tokens, peers, ca = tmp_path / "tokens", tmp_path / "peers", tmp_path / "ca"
    tokens.write_text("admin boss\nread reader\n")
    variables = {
        "EATS_SECURE": "false",
        "PANDAS_SECURE": "true",
        "USAGE_TOKENS_FILE": str(tokens),
        "USAGE_PEERS": f"@{peers}",
        "USAGE_CA_FILE": str(ca),
    }
    made = [
        CollectorProcess(tmp_path / name, USAGE_NAME=name, **variables)
        .patch(REUSED, 0.0)
        .patch(EXCHANGE, 0.2)
        for name in ("a-0", "b-0", "c-0")
    ]
    peers.write_text("\n".join(one.reporting_url for one in made))
    ca.write_text("")
    try:
        for one in made:
            one.there_since(40 * 86_400).start()
        ca.write_text("".join(one.ca_file.read_text() for one in made))
        yield made
    finally:
        for one in made:
            one.__exit__()


def _standing(of: CollectorProcess, done: Callable[[Any], bool] = lambda _: True) -> Any:
    """The first answer that is as wanted."""
    deadline = time.monotonic() + 60
    while True:
        answer = httpx.get(of.reporting_url + PATH, headers=READ, verify=False)
        assert answer.status_code == 200, answer.text
        if done(answer.json()):
            return {**answer.json(), "header": answer.headers.get("Usage-Partial")}
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.1)


def test_any_collector_tells_of_all(fleet: list[CollectorProcess]) -> None:
    """What one has cut, sent and backed up, and that others have not; one away is named."""
    one, other, _ = fleet
    sent = httpx.post(f"{one.ingest_url}/v1/log", content=array([event(n) for n in range(4)]))
    sent.raise_for_status()
    with httpx.Client(base_url=one.reporting_url, headers=BOSS, verify=False) as boss:
        cut = boss.post("/v1/periods/2026-01").raise_for_status().json()
        files = [{"name": f"{file['ledger']}.gz", "sha256": "a" * 64} for file in cut["files"]]
        for state in ("exported", "sent"):
            body = {"state": state, "by": "s3://months", "files": files}
            boss.post("/v1/periods/2026-01/receipts", json=body).raise_for_status()
        boss.put("/v1/notes/backup", json=BACKUP).raise_for_status()
    for asked in fleet:
        found = _standing(asked, lambda told: "partial" not in told)
        assert found["header"] is None
        assert [line["collector"] for line in found["collectors"]] == ["a-0", "b-0", "c-0"]
        assert [line["unreported"] for line in found["collectors"]] == [0, 0, 0]
        (month,) = found["months"]
        assert (month["period"], month["count"], month["not_cut"]) == ("2026-01", 4, ["b-0", "c-0"])
        (place,) = month["destinations"]
        assert (place["by"], place["state"], place["lacking"]) == ("s3://months", "sent", [])
        (backup,) = found["collectors"][0]["backups"]
        assert (backup["place"], backup["missing_events"]) == ("s3://backups", 4)
        assert [line["backups"] for line in found["collectors"][1:]] == [[], []]
    assert httpx.get(one.reporting_url + PATH, verify=False).status_code == 401
    one.kill()
    found = _standing(
        other, lambda told: [line["collector"] for line in told.get("partial", ())] == ["a-0"]
    )
    (away,) = found["partial"]
    assert found["header"] == "a-0"
    assert "cannot be reached" in away["reason"]
    assert away["as_of"] is None
    assert found["months"] == []
    assert [line["collector"] for line in found["collectors"]] == ["b-0", "c-0"]


def test_one_that_knows_no_such_notes_is_named(tmp_path: Path) -> None:
    """A collector of an older version; and however many ask, it is asked once in a while."""
    status = b'{"collector": "old-0", "ledgers": [], "periods": []}'
    nothing = (404, b'{"detail": "nothing is here"}')
    with answering(nothing, (200, status), nothing) as (url, asked):
        process = CollectorProcess(tmp_path / "data", USAGE_PEERS=url).patch(REUSED, 3600.0)
        with process.patch(EXCHANGE, 3600.0).patch(ASKING, 60.0):
            deadline = time.monotonic() + 60
            while not asked:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            found = _standing(process)
            assert _standing(process) == found
    assert found["header"] == url
    assert "nothing is here" in found["partial"][0]["reason"]
    assert [line.split()[0] for line in asked[1:]] == ["/v1/periods", "/v1/notes"]


def test_a_list_that_cannot_be_read_leaves_it_unknown(tmp_path: Path) -> None:
    """Then nobody knows of whom something is missing."""
    peers = tmp_path / "peers"
    process = CollectorProcess(tmp_path / "data", USAGE_PEERS=f"@{peers}").patch(REUSED, 0.0)
    with process.patch(EXCHANGE, 0.2):
        found = _standing(process, lambda told: "cannot be read" in str(told.get("partial")))
        assert [line["collector"] for line in found["partial"]] == ["unknown"]
        peers.write_text(process.reporting_url)
        found = _standing(process, lambda told: "partial" not in told)
        assert [line["collector"] for line in found["collectors"]] == ["collector-0"]
