"""Bringing backups back: to another fleet, to several collectors, from files without an index."""

from __future__ import annotations

import json
import shutil
import socket
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx

from tests.collector.backup.test_backup import backup, index, live, load, lose, status
from tests.collector.processes import Collector, collectors, command, make_keys
from tests.collector.year.clock import HandSet
from usage_collector.backup import Source, catalog, place
from usage_collector.backup.returning import archive
from usage_collector.periods import Period

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

THIS = Period.of(datetime.now(UTC))
LAST = THIS.previous


@contextmanager
def last_month(folder: Path, number: int) -> Iterator[list[Collector]]:
    """Running collectors whose clock stands in the month before this."""
    clock = HandSet(folder / "clock", (LAST.start + LAST.end) // 2)
    made = [Collector(f"c-{n}", folder, make_keys(folder) | clock.from_now) for n in range(number)]
    try:
        for one in made:
            one.start()
        yield made
    finally:
        for one in made:
            one.stop()


def month(period: Period, folder: Path, keys: dict[str, str], *of: Collector) -> Any:
    """Exports a month of these collectors."""
    peers = ",".join(one.address for one in of)
    words = ("export-month", "--period", period, "--peers", peers, "--to", folder, "--json")
    return command(*words, environment=keys).facts


def heirs(folder: Path, number: int) -> list[Collector]:
    """Running collectors of another fleet with the same keys."""
    made = [Collector(f"heir-{n}", folder, make_keys(folder)) for n in range(number)]
    for one in made:
        one.start()
    return made


def addresses(of: Sequence[Collector]) -> str:
    """Where to restore to."""
    return ",".join(one.address for one in of)


def test_a_new_fleet_goes_on_where_another_ended(tmp_path: Path) -> None:
    """Each ledger comes to one collector; what was delivered stays so, the rest is next.

    Which positions came back is said there, for nobody knows what came after the backup.
    """
    places, exports, keys = tmp_path / "backups", tmp_path / "exports", make_keys(tmp_path)
    with last_month(tmp_path, 2) as fleet:
        for seed, one in enumerate(fleet, 1):
            load(one, 60, seed)
        assert month(LAST, exports, keys, *fleet)["result"] == "exported"
        more = sum(load(one, 40, seed=seed) for seed, one in enumerate(fleet, 11))
        for one in fleet:
            assert backup(one, places).code == 0
        ends = {live(one)["id"]: live(one)["last"] for one in fleet}
    new = heirs(tmp_path, 2)
    try:
        words = ("restore", places, "--to", addresses(new), "--all", "--json")
        planned = command(*words, "--dry-run").facts
        assert [len(status(one)["ledgers"]) for one in new] == [1, 1]
        done = command(*words).facts
        assert {one["ledger"]: one["to"] for one in planned["plan"]} == {
            one["ledger"]: one["to"] for one in done["restored"]
        }
        assert {one["ledger"] for one in done["restored"]} == ends.keys()
        assert {one["to"] for one in done["restored"]} == {"heir-0", "heir-1"}
        again = command(*words)
        assert (again.code, again.facts["restored"]) == (0, [])
        fresh = load(new[0], 20, seed=21)
        told = month(THIS, exports, keys, *new)
        assert (told["result"], told["events"]) == ("incomplete", more + fresh)
        assert len(told["gaps"]) == len(ends)
        for ledger, end in ends.items():
            back = f"of ledger {ledger} before it positions 1 to {end} came back"
            assert any(back in gap for gap in told["gaps"]), told["gaps"]
    finally:
        for one in new:
            one.stop()
    both = [exports / str(period) for period in (LAST, THIS)]
    proven = command("verify", *both, "--json")
    assert {(one["kind"], "came back" in one["detail"]) for one in proven.facts["findings"]} == {
        ("gap", True)
    }


def test_files_without_an_index_come_back(tmp_path: Path) -> None:
    """Packages say whose they are; with a month's manifest what was delivered is not sent again."""
    places, exports, keys = tmp_path / "backups", tmp_path / "exports", make_keys(tmp_path)
    key = tmp_path / "backup.key"
    key.write_bytes(b"k" * 32)
    with last_month(tmp_path, 1) as [one]:
        load(one, 130, seed=1)
        assert month(LAST, exports, keys, one)["result"] == "exported"
        more = load(one, 140, seed=2)
        assert backup(one, places, "--key-file", key).code == 0
        ledger = live(one)
        one.environment = keys
        lose(one)
        loose = tmp_path / "loose"
        shutil.copytree(places / one.name / "packages", loose)
        manifest = exports / str(LAST) / "manifest.json"
        words = ("restore", loose, manifest, "--to", one.address, "--json")
        refused = command(*words)
        assert (refused.code, "--key-file" in refused.err) == (2, True)
        done = command(*words, "--key-file", key)
        assert done.facts["restored"][0]["came_back"] == [[1, ledger["last"]]]
        found = next(held for held in status(one)["ledgers"] if held["id"] == ledger["id"])
        assert found["head"] == ledger["head"]
        told = month(THIS, exports, keys, one)
        assert told["events"] == more
        assert command(*words, "--key-file", key).facts["restored"] == []
        broken = next(loose.iterdir())
        broken.write_bytes(broken.read_bytes()[:-9])
        named = command(*words, "--key-file", key)
        assert (named.code, broken.name in named.err) == (1, True)


def test_a_restore_that_is_cut_short_brings_nothing_back(tmp_path: Path) -> None:
    """Wherever its stream ends; the collector is as it was, and the whole stream restores."""
    places = tmp_path / "backups"
    with collectors(tmp_path, 1) as [one]:
        load(one, 130, seed=1)
        assert backup(one, places).code == 0
        ledger = live(one)["id"]
        lose(one)
        store = place(str(places)).of(one.name)
        found = catalog.load(store)
        assert found
        body = b"".join(archive(Source(store, found, None), ledger))
        url = f"http://{one.address}/v1/ledgers/{ledger}"
        before = sorted(path.name for path in (one.data / "ledgers").iterdir())

        def put(content: bytes) -> httpx.Response:
            """The answer, once the collector noticed that whoever was killed before is gone."""
            while (answer := httpx.put(url, content=content, timeout=60)).status_code == 409:
                assert "another ledger is being restored" in answer.text
            return answer

        for size in (0, 700, len(body) // 2, len(body) - 3000):
            assert put(body[:size]).status_code == 400, size
            # One that is killed sends less than it announced.
            with socket.create_connection(("127.0.0.1", one.reporting)) as client:
                head = (
                    f"PUT /v1/ledgers/{ledger} HTTP/1.1\r\nHost: c\r\nContent-Length: {len(body)}"
                )
                client.sendall(f"{head}\r\n\r\n".encode() + body[:size])
        answer = put(body)
        assert (answer.status_code, answer.json()["state"]) == (201, "restored"), answer.text
        after = sorted(path.name for path in (one.data / "ledgers").iterdir())
        assert after == sorted([*before, ledger])


def test_one_of_several_ledgers_comes_back(tmp_path: Path) -> None:
    """What only the others were cut for is left out: the collector could not place it."""
    places, keys = tmp_path / "backups", make_keys(tmp_path)
    with collectors(tmp_path, 1) as [one]:
        load(one, 30, seed=1)
        month(THIS, tmp_path / "exports", keys, one)
        assert backup(one, places).code == 0
        first = live(one)["id"]
        lose(one)
        load(one, 30, seed=2)
        assert backup(one, places).code == 0
        second = live(one)["id"]
        lose(one)
        words = ("restore", places, "--to", one.address, "--json")
        for ledger, periods in ((second, 0), (first, 1)):
            done = command(*words, "--ledger", ledger)
            assert (done.code, done.facts["restored"][0]["ledger"]) == (0, ledger), done.err
            assert len(status(one)["periods"]) == periods


def test_files_that_are_no_packages_are_named(tmp_path: Path) -> None:
    """Nothing is asked of the collector before; an empty folder is no backup."""
    with collectors(tmp_path, 1) as [one]:
        load(one, 30, seed=1)
        window, text = tmp_path / "window.json.gz", tmp_path / "a.txt"
        assert command("export", "--from", one.address, "--out", window).code == 0
        text.write_text("no package")
        empty = tmp_path / "empty"
        empty.mkdir()
        places = tmp_path / "backups"
        assert backup(one, places).code == 0
        for files, said in (
            ((window, window), "window of time"),
            ((text,), "not ours"),
            ((empty,), "no packages"),
            ((tmp_path / "gone", text), "there is no"),
            ((places, places), "tells more than the packages"),
            ((places / one.name,), "tells more than the packages"),
        ):
            refused = command("restore", *files, "--to", one.address)
            assert refused.code in (1, 2)
            assert said in refused.err, refused.err


def test_a_zone_is_restored_together(tmp_path: Path) -> None:
    """Each gets its own backup, one that has none is left alone; the summary is for a job."""
    places, summary = tmp_path / "backups", tmp_path / "summary"
    with collectors(tmp_path, 2) as [one, other]:
        last = load(one, 60, seed=1)
        assert backup(one, places).code == 0
        ledger = index(one, places)["ledgers"][0]["id"]
        lose(one)
        words = ("restore", places, "--to", addresses([one, other]), "--summary-file", summary)
        assert command(*words, "--dry-run").code == 0
        told = json.loads(summary.read_text())
        assert (told["result"], told["events"]) == ("planned", last)
        assert command(*words).code == 0
        told = json.loads(summary.read_text())
        assert told["came_back"] == [f"c-0, ledger {ledger[:8]}: 1 to {last} came back"]
        assert told["lost"] == [f"c-0, ledger {ledger[:8]}: what came after {last}"]
        assert len(status(other)["ledgers"]) == 1
        assert command(*words).code == 0
        assert json.loads(summary.read_text())["result"] == "nothing"
        away = command("restore", places, "--to", "127.0.0.1:1", "--summary-file", summary)
        assert away.code == 1
        assert json.loads(summary.read_text())["result"] == "failed"
        for wrong in (("--collector", "c-0"), ("--ledger", "x", "--all")):
            assert command(*words, *wrong).code == 2


def test_what_came_after_a_backup_is_a_gap_also_at_one_that_was_there(tmp_path: Path) -> None:
    """No ledger begins there that would tell of it: the month says who is gone."""
    places, exports, keys = tmp_path / "backups", tmp_path / "exports", make_keys(tmp_path)
    with last_month(tmp_path, 2) as fleet:
        for seed, one in enumerate(fleet, 1):
            load(one, 20, seed)
        assert month(LAST, exports, keys, *fleet)["result"] == "exported"
    gone, heir = (Collector(one.name, tmp_path, keys) for one in fleet)
    try:
        for seed, one in enumerate((gone, heir), 11):
            one.start()
            load(one, 20, seed)
        assert backup(gone, places).code == 0
        load(gone, 20, seed=31)
        gone.stop()
        words = ("restore", places, "--to", heir.address, "--collector", gone.name)
        assert command(*words).code == 0
        told = month(THIS, exports, keys, heir)
        assert told["result"] == "incomplete"
        assert told["gaps"] == [f"{gone.name}: it was in the period before and is no longer listed"]
    finally:
        gone.stop()
        heir.stop()
