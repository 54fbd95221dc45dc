"""The day index stays right through restarts, purges, losses and restores."""

from __future__ import annotations

import io
import json
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.collector import made
from tests.collector.samples import array
from tests.collector.spoiling import spoil
from tests.collector.usage import naive
from tests.collector.usage.test_store import ALL, Local, _table
from usage_collector import events, export
from usage_collector.export import Exporter
from usage_collector.ledger import Ledgers, Limits, Origin, Part, ReceiptFile, restore
from usage_collector.periods import Period
from usage_collector.upkeep import Purger
from usage_collector.usage.exchange import Exchange
from usage_collector.usage.feeding import Feeder
from usage_collector.usage.registry import Registry
from usage_collector.usage.states import DAY
from usage_collector.usage.store import Store
from usage_collector.usage.told import Book

OCTOBER = Period(2026, 10)
START = datetime(2026, 10, 1, tzinfo=UTC)
LATER = OCTOBER.start + 100 * DAY
LIMITS = Limits(18, 10_000, 1000)


def _event(number: int) -> bytes:
    """The same number is the same event; some are of one session, some never end."""
    kind = ("TRANSCRIBER_DONE", "SESSION_STATUS", "SESSION_ENDED")[number % 3]
    value = {
        "event": kind,
        "session_id": f"s{number if kind == 'TRANSCRIBER_DONE' else number % 40}",
        "customer_id": f"customer-{number % 4}",
        "contract_id": str(number % 2),
        "time_stamp": (START + timedelta(minutes=37 * number)).isoformat(),
        "event_specific_data": {
            "total_received_duration": number % 50,
            "job_config": {"transcription_config": {"language": ("de", "en")[number % 2]}},
        },
        "dimensions": {"a": f"a{number % 3}"} if number % 5 else None,
    }
    return json.dumps(value).encode()


class Life:
    """A collector's ledgers and index, another collector that hears of it, and a backup."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._volumes = 0
        self.purged = 0
        self.received: list[naive.Received] = []
        self._backups: dict[str, list[tuple[int, int, bytes]]] = {}
        self._origins: dict[str, Origin] = {}
        self._peer = self._store("peer")
        self._volume = folder / "volume-0"
        self.open()

    def _store(self, name: str) -> Store:
        (self._folder / name).mkdir(exist_ok=True)
        return Store(self._folder / name)

    def open(self) -> None:
        self._volume.mkdir(exist_ok=True)
        self.ledgers = Ledgers(self._volume, "c", "z", lambda: OCTOBER.start)
        self.open_index()

    def open_index(self) -> None:
        self.store = Store(self._volume)
        self.feeder = Feeder(self.ledgers, self.store, "c", "zone-of-c")

    def send(self, first: int, number: int) -> None:
        """Some of it was sent before, perhaps."""
        raws = [_event(n) for n in range(first, first + number)]
        self.ledgers.writer.append_and_wait(events.parse(array(raws)))
        self.received += [("c", OCTOBER.start, raw) for raw in raws]

    def count(self) -> None:
        self.feeder.run(LATER)
        self.store.settle(LATER)
        self._tell(self._peer, self.store)

    def _tell(self, asking: Store, told: Store) -> None:
        folder = asking.path.parent
        registry = Registry(folder, "x", lambda: LATER)
        Exchange(asking, registry, Book(folder), lambda: LATER).ask(Local("c", told))
        asking.settle(LATER)

    def seal(self) -> None:
        for store in (self.store, self._peer):
            store.seal(LATER // DAY)

    def restart(self) -> None:
        self.store.close()
        self.ledgers.close()
        self.open()

    def forget(self) -> None:
        """The index is lost; what was purged meanwhile only the other collector can tell."""
        self.count()
        self.store.close()
        self.drop_index()
        self.open_index()
        self.hear()

    def drop_index(self) -> None:
        for path in self._volume.glob("usage-*.db*"):
            path.unlink()

    def hear(self) -> None:
        """The other collector tells all it knows."""
        self._tell(self.store, self._peer)

    def purge(self) -> None:
        self.backup()
        self.feeder.run(LATER)
        cut = export.cut(self.ledgers, OCTOBER, LIMITS, OCTOBER.start)
        for file in cut.files:
            name = f"usage-c-{file.ledger[:8]}-{file.first}-{file.last}.json.gz"
            sent = [ReceiptFile(name, "0" * 64)]
            export.receive(self.ledgers, OCTOBER, "sent", "test", sent, OCTOBER.start)
        purger = Purger(self.ledgers, 90, hold=True, counted=self.feeder.counted_to)
        self.purged += purger.run(LATER)

    def backup(self) -> None:
        exporter = Exporter(self.ledgers, "c", "z", lambda: made.KEYS)
        for status in self.ledgers.all():
            kept = self._backups.setdefault(status.id, [])
            origin = Origin(status.id, status.began, "c", "z", self.ledgers.cuts.all())
            self._origins[status.id] = origin
            first = kept[-1][1] + 1 if kept else status.first
            if status.last >= first:
                package = exporter.positions(status.id, first, status.last, None)
                plain = b"".join(package.plain)
                package.close()
                kept.append((first, status.last, plain))

    def forget_backup(self) -> None:
        """What was backed up so far is too old to be kept, and so is what others heard."""
        self._backups.clear()
        self._peer.renew("for the test")

    def lose(self) -> None:
        """The volume is lost, and its ledgers come back beside a new one."""
        self.backup()
        self.close(peer=False)
        self._volumes += 1
        self._volume = self._folder / f"volume-{self._volumes}"
        self.open()
        self.come_back()

    def come_back(self) -> None:
        """Restore every ledger of the backup."""
        for ledger, packages in self._backups.items():
            if packages:
                parts = [
                    Part(f"{first}-{last}", io.BytesIO(plain), OCTOBER.start)
                    for first, last, plain in packages
                ]
                restore(self.ledgers, self._origins[ledger], parts, OCTOBER.start)

    def close(self, *, peer: bool = True) -> None:
        self.store.close()
        self.ledgers.close()
        if peer:
            self._peer.close()

    def check(self) -> None:
        """Both collectors answer what a naive count of all that was received comes to."""
        self.count()
        expected = naive.usage(self.received, LATER, ALL.group_by)
        assert _table(self.store) == expected
        assert _table(self._peer) == expected
        # What came after a backup nobody can know, nor that nothing did.
        told = [one.reason.split(":")[0] for one in self.feeder.troubles(LATER)]
        assert told == [f"ledger {one.id}" for one in self.ledgers.all() if one.unsure]


_step = st.one_of(
    st.tuples(st.just("send"), st.integers(0, 200), st.integers(1, 150)),
    st.tuples(
        st.sampled_from(["count", "seal", "restart", "forget", "purge", "backup", "lose", "check"])
    ),
)


@pytest.mark.timeout(300)
@given(st.lists(_step, max_size=12))
@example(
    [
        ("send", 0, 150),
        ("send", 120, 150),
        ("purge",),
        ("forget",),
        ("check",),
        ("seal",),
        ("lose",),
    ]
)
@settings(max_examples=12, deadline=None)
def test_nothing_that_happens_to_a_collector_changes_the_sums(
    steps: list[tuple[str, *tuple[int, ...]]],
) -> None:
    """Restarts, a lost index, purges and a lost volume: any grouping equals the naive count."""
    with tempfile.TemporaryDirectory() as name:
        life = Life(Path(name))
        try:
            for what, *given_ in steps:
                getattr(life, what)(*given_)
            life.check()
        finally:
            life.close()


def test_purging_is_part_of_that(tmp_path: Path) -> None:
    """A lost index after a purge learns from the other collector what is no longer kept."""
    life = Life(tmp_path)
    life.send(0, 150)
    life.send(120, 150)
    life.purge()
    assert life.purged >= 200
    life.forget()
    life.check()
    life.lose()
    life.check()
    life.close()


def test_what_comes_back_after_years_counts_once(tmp_path: Path) -> None:
    """Billing identities are forgotten by then; a lost index, too, has all jobs from another."""
    life = Life(tmp_path)
    life.send(0, 150)
    life.purge()
    with life.ledgers.reader(life.ledgers.live) as reader:
        assert list(reader.purged_identities(1, 100)) != []
    Purger(life.ledgers, 90, hold=True).run(LATER + 400 * DAY)
    with life.ledgers.reader(life.ledgers.live) as reader:
        assert list(reader.purged_identities(1, 100)) == []
    life.forget()
    life.check()
    life.lose()
    life.check()
    life.close()


def test_what_was_purged_another_collector_may_know(tmp_path: Path) -> None:
    """A lost index says what it lacks, also after a start, until one that had heard of it told."""
    life = Life(tmp_path)
    life.send(0, 150)
    life.purge()
    life.count()
    life.store.close()
    life.drop_index()
    life.open_index()
    life.feeder.run(LATER)
    life.restart()
    life.feeder.run(LATER)
    (trouble,) = life.feeder.troubles(LATER)
    assert "positions up to 100 were gone" in trouble.reason
    life.hear()
    life.check()
    life.restart()
    life.check()
    life.close()


def test_what_a_backup_no_longer_held_is_told(tmp_path: Path) -> None:
    """A ledger that comes back without its beginning is not taken for one that had none."""
    life = Life(tmp_path)
    life.send(0, 150)
    life.purge()
    life.forget_backup()
    life.send(150, 100)
    life.lose()
    life.feeder.run(LATER)
    told = [trouble.reason for trouble in life.feeder.troubles(LATER)]
    assert any("positions up to 100 were gone" in reason for reason in told)
    life.close()


def test_a_damaged_ledger_that_is_completed_is_counted_again(tmp_path: Path) -> None:
    """What could not be read was missing and said so; what came back counts, nothing twice."""
    life = Life(tmp_path)
    for first in range(0, 450, 50):
        life.send(first, 50)
    life.check()
    life.backup()
    hurt = spoil(life.ledgers, 101)
    life.ledgers.writer.set_aside(hurt, "a page is damaged")
    life.ledgers.flush_head()
    life.close(peer=False)
    life.drop_index()
    life.open()
    life.feeder.run(LATER)
    told = "; ".join(trouble.reason for trouble in life.feeder.troubles(LATER))
    assert "100 events cannot be read" in told
    life.come_back()
    life.check()
    life.restart()
    life.check()
    life.close()
