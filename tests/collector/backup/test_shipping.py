"""Following a collector: what is new lies beside its backup within seconds, and is never lost."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.collector import disks
from tests.collector.backup.test_backup import backup, live, load, lose, restore, status
from tests.collector.process import free_port
from tests.collector.processes import collectors, command
from usage_collector.backup import Key, catalog, place, shipping
from usage_collector.errors import Conflict, Damaged, InvalidInput, StorageUnavailable
from usage_collector.peers import Peer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.collector.processes import Collector
    from usage_collector.backup import Index

FORM = re.compile(
    r"\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (INFO|WARNING) usage_collector\.cli\.ship\] (.+)"
)


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    """One collector with 60 jobs."""
    with collectors(tmp_path, 1) as [one]:
        load(one, 60, seed=1)
        yield one


@pytest.fixture(autouse=True)
def attentive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step looks at the scheduled backup."""
    monkeypatch.setattr(shipping, "LOOK_SECONDS", 0.0)


def route(collector: Collector, folder: object, key: Key | None = None) -> shipping.Route:
    """From that collector to that place."""
    peer = Peer(f"http://{collector.address}", attempts=1)
    return shipping.Route(peer, place(str(folder)), key, lambda: datetime.now(UTC))


def ship(collector: Collector, folder: object, key: Key | None = None) -> shipping.Step:
    """One step of a process that begins and ends with it."""
    with closing(shipping.follow(route(collector, folder, key))) as steps:
        return next(steps)


def held(collector: Collector, folder: object) -> Index:
    """All that there is of it."""
    found = catalog.load(place(str(folder)).of(collector.name))
    assert found
    return found


def check(collector: Collector, folder: Path) -> Index:
    """Nothing that is named is missing, and nothing between the packages."""
    found = held(collector, folder)
    for one in found.packages:
        assert (folder / collector.name / one.file).stat().st_size == one.stored_bytes
    for ledger in {one.ledger for one in found.packages}:
        have = found.of(ledger)
        assert all(a.first <= b.first <= a.last + 1 <= b.last + 1 for a, b in pairwise(have))
    return found


def files(collector: Collector, folder: Path, part: str) -> set[str]:
    """The files of a part."""
    return {path.name for path in (folder / collector.name / part).iterdir()}


@contextmanager
def shipper(*arguments: object, code: int = 0) -> Iterator[subprocess.Popen[str]]:
    """`usage-collector ship`, ended by SIGTERM."""
    process = subprocess.Popen(
        [sys.executable, "-m", "usage_collector", "ship", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
        process.terminate()
        assert process.wait(60) == code
    finally:
        process.kill()
        process.wait()
        assert process.stdout
        process.stdout.close()


def level(collector: Collector, folder: object, process: subprocess.Popen[str]) -> None:
    """Returns once all that the collector holds is in the backup."""
    wanted = sum(one["last"] for one in status(collector)["ledgers"])
    while True:
        assert process.poll() is None
        found = catalog.load(place(str(folder)).of(collector.name))
        if found and found.events >= wanted:
            return


def test_it_follows_the_head(collector: Collector, tmp_path: Path) -> None:
    """Whatever comes is there soon, each event once; SIGTERM ends it well."""
    folder = tmp_path / "backups"
    with shipper("--from", collector.address, "--to", folder, "--every", "0.1") as process:
        for seed in (2, 3, 4):
            load(collector, 30, seed=seed)
            level(collector, folder, process)
    found = check(collector, folder)
    assert found.events == live(collector)["last"]
    assert command("verify", folder / collector.name / "tail").code == 0


def test_a_lost_volume_comes_back_up_to_the_last_step(collector: Collector, tmp_path: Path) -> None:
    """A restore takes the scheduled backup and what came since; the dry run says so."""
    folder = tmp_path / "backups"
    assert backup(collector, folder).code == 0
    load(collector, 130, seed=2)
    ship(collector, folder)
    ledger = live(collector)
    lose(collector)
    planned = restore(collector, folder, "--dry-run").facts["plan"][0]
    assert (planned["comes"], planned["lost"]) == ([[1, ledger["last"]]], [])
    assert restore(collector, folder).code == 0
    back = next(one for one in status(collector)["ledgers"] if one["id"] == ledger["id"])
    assert (back["head"], back["last"]) == (ledger["head"], ledger["last"])


def test_people_see_how_far_it_is(collector: Collector, tmp_path: Path) -> None:
    """The collector is told, and `backups` tells, beside what is said of the scheduled backup."""
    folder = tmp_path / "backups"
    assert backup(collector, folder, "--verify").code == 0
    (listed,) = command("backups", folder, "--json").facts["backups"]
    assert listed["tail_taken"] is None
    load(collector, 130, seed=2)
    ship(collector, folder)
    notes = httpx.get(f"http://{collector.address}/v1/notes").json()["backups"]
    assert [(one["continuous"], one["missing_events"] > 0) for one in notes] == [
        (False, True),
        (True, False),
    ]
    (again,) = command("backups", folder, "--json").facts["backups"]
    assert again["tail_taken"] > listed["taken"]
    assert again["tail_events"] >= again["events"] - listed["events"] > 0
    assert "ago" in command("backups", folder).out


def test_the_scheduled_backup_takes_its_place(collector: Collector, tmp_path: Path) -> None:
    """What that holds the tail lets go, and nothing else; nobody waits for the other."""
    folder = tmp_path / "backups"
    with closing(shipping.follow(route(collector, folder))) as steps:
        assert next(steps).events == live(collector)["last"]
        assert backup(collector, folder).facts["events"] == live(collector)["last"]
        new = load(collector, 130, seed=2)
        assert next(steps).events == new
        assert check(collector, folder).events == live(collector)["last"]
        store = place(str(folder)).of(collector.name)
        base, tail = catalog.load_base(store), catalog.load_tail(store)
        assert base
        assert tail
        assert min(one.last for one in tail.packages) > base.packages[-1].last
        assert backup(collector, folder, "--verify").code == 0
        next(steps)
    assert files(collector, folder, "tail") == set()
    assert check(collector, folder).events == live(collector)["last"]


@pytest.mark.parametrize("keyed", [False, True])
def test_what_only_the_tail_has_is_taken_over(
    collector: Collector, tmp_path: Path, keyed: bool
) -> None:
    """A ledger that went with its volume is in the next scheduled backup, up to the last step."""
    folder, secret = tmp_path / "backups", tmp_path / "key"
    secret.write_bytes(b"k" * 32)
    key, more = (Key.load(secret), ("--key-file", secret)) if keyed else (None, ())
    assert backup(collector, folder, *more).code == 0
    load(collector, 130, seed=2)
    ship(collector, folder, key)
    lost = live(collector)
    lose(collector)
    load(collector, 20, seed=3)
    ship(collector, folder, key)
    done = backup(collector, folder, "--auto-restore", "--verify", *more)
    assert (done.code, done.facts["verified_ok"]) == (0, True), done.err
    assert f"{lost['id']} came back up to {lost['last']}" in done.facts["restored"][0]
    assert files(collector, folder, "tail") == set()
    assert check(collector, folder).events == lost["last"] + live(collector)["last"]


def test_many_small_packages_become_few(collector: Collector, tmp_path: Path) -> None:
    """Also before a scheduled backup runs, so that its index stays small."""
    folder = tmp_path / "backups"
    with closing(shipping.follow(route(collector, folder))) as steps:
        for seed in range(14):
            load(collector, 110, seed=10 + seed)
            next(steps)
    found = check(collector, folder)
    assert found.events == live(collector)["last"] > 1500
    assert len(found.packages) < 12
    assert len(files(collector, folder, "tail")) == len(found.packages)
    assert command("verify", folder / collector.name / "tail").code == 0


def ended_at(step: int, collector: Collector, folder: Path) -> bool:
    """Follows for one step in a process that ends at that step on the disk, as by a kill."""
    child = os.fork()
    if child == 0:
        left = step

        def count(event: str, details: tuple[object, ...]) -> None:
            nonlocal left
            if event in ("os.rename", "os.remove", "open") and "/backups/" in str(details[0]):
                left -= 1
                if left == 0:
                    os._exit(9)

        sys.addaudithook(count)
        try:
            ship(collector, folder)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


@pytest.mark.timeout(400)
def test_one_that_is_killed_at_any_step_leaves_a_whole_backup(
    collector: Collector, tmp_path: Path
) -> None:
    """Whatever step it ends at, what is named is there; the next one goes on from it."""
    folder = tmp_path / "backups"
    assert backup(collector, folder).code == 0
    ended, before = 0, live(collector)["last"]
    for step in range(1, 40):
        if step % 10 == 1:
            load(collector, 25, seed=10 + step)
        if step == 20:
            assert backup(collector, folder).code == 0
        ended += ended_at(step, collector, folder)
        now = check(collector, folder).events
        assert now >= before
        before = now
    assert ended > 12
    ship(collector, folder)
    assert check(collector, folder).events == live(collector)["last"]


def test_only_one_follows(collector: Collector, tmp_path: Path) -> None:
    """A second process is refused, while a scheduled backup is not."""
    folder = tmp_path / "backups"
    with closing(shipping.follow(route(collector, folder))) as steps:
        next(steps)
        with pytest.raises(Conflict, match="another"):
            ship(collector, folder)
        assert backup(collector, folder).code == 0


def test_the_wrong_key_ends_it(collector: Collector, tmp_path: Path) -> None:
    """What is encrypted is not gone on with without its key, whoever wrote it."""
    folder, secret = tmp_path / "backups", tmp_path / "key"
    secret.write_bytes(b"k" * 32)
    ship(collector, folder, Key(b"k" * 32))
    assert all(name.endswith(".enc") for name in files(collector, folder, "tail"))
    with pytest.raises(InvalidInput, match="encrypted with key"):
        ship(collector, folder)
    ended = command("ship", "--from", collector.address, "--to", folder)
    assert (ended.code, "encrypted with key" in ended.err) == (2, True)
    other = tmp_path / "others"
    assert backup(collector, other, "--key-file", secret).code == 0
    with pytest.raises(InvalidInput, match="encrypted with key"):
        ship(collector, other, Key(b"o" * 32))


@pytest.mark.parametrize("how", ["flip", "cut", "remove"])
def test_a_broken_tail_holds_up_nothing(collector: Collector, tmp_path: Path, how: str) -> None:
    """What it was of is fetched again, or named where nobody has it any more."""
    folder = tmp_path / "backups"
    ship(collector, folder)
    victim = max((folder / collector.name / "tail").iterdir(), key=lambda one: one.stat().st_size)
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 4
    if how == "remove":
        victim.unlink()
    else:
        victim.write_bytes(data if how == "flip" else data[: len(data) // 2])
    copied = tmp_path / "copied"
    shutil.copytree(folder, copied / "backups")
    assert backup(collector, folder, "--verify").code == 0
    assert check(collector, folder).events == live(collector)["last"]
    lose(collector)
    done = backup(collector, copied / "backups")
    notes = done.facts["collectors"][0]["notes"] if not done.code else [done.facts["error"]]
    assert any(victim.name in note for note in notes)


def test_an_index_that_cannot_be_read_is_named(collector: Collector, tmp_path: Path) -> None:
    """One copy is enough; with neither nothing is overwritten, and backups go on."""
    folder = tmp_path / "backups"
    ship(collector, folder)
    whole = held(collector, folder)
    first, second = (folder / collector.name / name for name in ("tail.json", "tail.copy.json"))
    first.write_bytes(first.read_bytes()[:-9])
    assert held(collector, folder) == whole
    second.write_bytes(second.read_bytes().replace(b'"first": 1', b'"first": 2'))
    names = files(collector, folder, "tail")
    done = backup(collector, folder)
    assert (done.code, done.facts["events"]) == (0, live(collector)["last"])
    assert "tail.json" in done.facts["collectors"][0]["notes"][0]
    for failed in (command("backups", folder), restore(collector, folder)):
        assert (failed.code, "neither is its copy" in failed.err) == (1, True)
        assert "tail.json" in failed.err
    with pytest.raises(Damaged, match=r"tail\.json"):
        ship(collector, folder)
    assert files(collector, folder, "tail") == names


def test_it_outlives_its_collector(collector: Collector, tmp_path: Path) -> None:
    """While that is away it says so, once, and goes on by itself; metrics tell how far it is."""
    folder, port = tmp_path / "backups", free_port()
    to = ("--from", collector.address, "--to", folder, "--every", "0.1", "--listen", port)
    with shipper(*to) as process:
        level(collector, folder, process)
        assert httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200
        collector.stop()
        assert process.stdout
        told: list[str] = []
        while "cannot be reached" not in "".join(told):
            told.append(process.stdout.readline())
        collector.start()
        load(collector, 20, seed=5)
        wanted, facts = live(collector)["last"], dict[str, str]()
        while facts.get("usage_backup_shipped_events_total") != f"{wanted:.1f}":
            said = httpx.get(f"http://127.0.0.1:{port}/metrics").text
            lines = [line for line in said.splitlines() if not line.startswith("#")]
            facts = dict(line.rsplit(" ", 1) for line in lines)
        process.terminate()
        told += process.stdout
    forms = [FORM.fullmatch(line.rstrip("\n")) for line in told]
    assert all(forms), told
    words = [one.group(2) for one in forms if one]
    assert words[0] == f"listens on port {port}"
    assert words[1] == f"follows http://{collector.address} every 0.1 s, into {folder}"
    assert words[-1] == "ended"
    # Once at first, and once after it was away or a minute behind: not in each round.
    again = [
        re.search(r" is level with it after (\d+) s, with \d+ events? more", one) for one in words
    ]
    away = next(n for n, one in enumerate(words) if "cannot be reached" in one)
    assert any(again[:away])
    assert any(again[away:])
    assert not any(one and two and int(two[1]) < 60 for one, two in pairwise(again))
    assert check(collector, folder).events == wanted
    source = f'{{source="http://{collector.address}"}}'
    assert float(facts[f"usage_backup_ship_failures_total{source}"]) > 0
    assert 0 <= float(facts[f"usage_backup_lag_seconds{source}"]) < 60


def test_ctrl_c_ends_it(collector: Collector, tmp_path: Path) -> None:
    """With the code of an interrupted command; what it was at is whole."""
    folder = tmp_path / "backups"
    to = ("--from", collector.address, "--to", folder, "--every", "0.1", "--json")
    with shipper(*to, code=130) as process:
        level(collector, folder, process)
        process.send_signal(signal.SIGINT)
        process.wait(60)
    check(collector, folder)


def test_a_full_volume_leaves_what_was_there(collector: Collector, tmp_path: Path) -> None:
    """The message says what is full; with more room it goes on."""
    with disks.memory(100 * 1024) as folder:
        ship(collector, folder)
        before = held(collector, folder)
        load(collector, 2500, seed=2)
        with pytest.raises(StorageUnavailable, match="No space left"):
            ship(collector, folder)
        now = check(collector, folder)
        assert (now.taken, now.events >= before.events) == (before.taken, True)
        subprocess.run(["mount", "-o", "remount,size=4M", folder], check=True)
        ship(collector, folder)
        assert check(collector, folder).events == live(collector)["last"]
