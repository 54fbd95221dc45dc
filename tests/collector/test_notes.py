"""What jobs tell a collector of backups and of the next export."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.collector.process import CollectorProcess
from tests.collector.processes import collectors, command, make_keys, simulate
from tests.collector.samples import array, event
from usage_collector import notes
from usage_collector.errors import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 2, tzinfo=UTC)
BOSS = {"Authorization": "Bearer boss"}


def _backup(place: str = "/backups", **ends: int) -> notes.Backup:
    return notes.Backup(place, NOW, ends, NOW, verified_ok=True)


def test_what_is_not_in_a_backup_is_counted() -> None:
    """Positions behind its end, of each ledger that there is; what was purged is none of them."""
    backup = _backup(old=10, live=5)
    assert notes.missing(backup, [("old", 1, 10), ("live", 1, 5)]) == 0
    assert notes.missing(backup, [("old", 1, 12), ("live", 9, 10), ("new", 1, 3)]) == 2 + 2 + 3
    assert notes.missing(backup, [("live", 11, 10)]) == 0


def test_the_latest_of_each_place_is_kept(tmp_path: Path) -> None:
    """Also by the next process; of many places the one told of longest ago is forgotten."""
    kept = notes.Notes(tmp_path)
    kept.put(notes.Export("2026-11", NOW))
    for number in range(notes.PLACES + 1):
        kept.put(_backup(f"s3://{number}", a=1))
    kept.put(_backup("s3://3", a=2))
    again = notes.Notes(tmp_path)
    assert again.export == notes.Export("2026-11", NOW)
    assert len(again.backups) == notes.PLACES
    assert again.backups[-1] == _backup("s3://3", a=2)
    assert "s3://0" not in [one.place for one in again.backups]


def test_a_file_that_cannot_be_read_is_begun_anew(tmp_path: Path) -> None:
    """Nothing but what people see depends on it, and the next jobs tell it again."""
    (tmp_path / "notes.json").write_text('{"backups": 7}')
    kept = notes.Notes(tmp_path)
    assert (kept.backups, kept.export) == ([], None)
    kept.put(notes.Export("2026-11", NOW))
    assert notes.Notes(tmp_path).export is not None


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"{", "place, taken"),
        (b'{"place": "p", "taken": "2026-11-02T00:00:00", "ends": {}}', "taken"),
        (b'{"place": "p", "taken": "2026-11-02T00:00:00Z", "ends": {"a": -1}}', "ends"),
        (b'{"place": "p", "taken": "2026-11-02T00:00:00Z", "ends": {}, "x": 1}', "x"),
        (b"\xff", "place, taken"),
    ],
)
def test_a_bad_note_names_the_field(body: bytes, named: str) -> None:
    """What is wrong with it, or what belongs there."""
    with pytest.raises(InvalidInput, match=named):
        notes.read(notes.Backup, body)


def test_only_an_admin_leaves_notes(tmp_path: Path) -> None:
    """A reader reads them; both listeners' rules hold."""
    (tmp_path / "tokens").write_text("read reader\nadmin boss\n")
    export = {"period": "2026-11", "due": "2026-11-30T06:00:00Z"}
    with CollectorProcess(
        tmp_path / "data", EATS_SECURE="false", USAGE_TOKENS_FILE=str(tmp_path / "tokens")
    ) as process:
        url, reader = process.reporting_url, {"Authorization": "Bearer reader"}
        assert httpx.put(url + "/v1/notes/export", json=export, headers=reader).status_code == 403
        assert httpx.get(url + "/v1/notes").status_code == 401
        nothing = httpx.get(url + "/v1/notes", headers=reader).json()
        assert nothing == {"collector": "collector-0", "backups": [], "export": None}
        httpx.put(url + "/v1/notes/export", json=export, headers=BOSS).raise_for_status()
        backup = {"place": "/b", "taken": "2026-11-02T00:00:00Z", "ends": {}}
        httpx.put(url + "/v1/notes/backup", json=backup, headers=BOSS).raise_for_status()
        events = array([event(number) for number in range(3)])
        httpx.post(process.ingest_url + "/v1/log", content=events).raise_for_status()
        told: Any = httpx.get(url + "/v1/notes", headers=reader).json()
    assert told["export"] == export
    assert [(one["place"], one["missing_events"]) for one in told["backups"]] == [("/b", 3)]


def test_a_backup_tells_its_collector(tmp_path: Path) -> None:
    """When it was taken and proven, and what came since."""
    with collectors(tmp_path, 1) as [one]:
        simulate([one], "--jobs", 20, "--sessions", 0, "--seed", 1)
        done = command(
            "backup", "--from", one.address, "--to", tmp_path / "b", "--verify", "--json"
        )
        assert done.code == 0, done.err
        url = f"http://{one.address}/v1/notes"
        (told,) = httpx.get(url).json()["backups"]
        taken = json.loads(done.out)["collectors"][0]
        assert told["place"] == taken["place"]
        assert told["taken"][:19] == taken["taken"][:19]
        assert (told["verified_ok"], told["missing_events"]) == (True, 0)
        simulate([one], "--jobs", 5, "--sessions", 0, "--seed", 2)
        (told,) = httpx.get(url).json()["backups"]
        assert told["missing_events"] >= 5


def test_a_run_with_nothing_due_tells_which_month_is_next(tmp_path: Path) -> None:
    """Every collector that answers; one that does not is said, and fails nothing."""
    with collectors(tmp_path, 2) as both:
        addresses = ",".join(one.address for one in both)
        asked = ["export-month", "--due", "--day", "28", "--to", tmp_path / "out", "--json"]
        keys = make_keys(tmp_path)
        result = command(*asked, "--peers", addresses, environment=keys)
        assert (result.code, result.facts["result"]) == (0, "nothing-due")
        for one in both:
            told = httpx.get(f"http://{one.address}/v1/notes").json()["export"]
            assert (told["period"], told["due"]) == (
                result.facts["next"]["period"], result.facts["next"]["time"]
            )  # fmt: skip
