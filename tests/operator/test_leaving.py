"""Collectors that leave: led out of ingest, and removed when all they hold was sent."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from tests.operator.support import NOW
from tests.operator.support import pod as collector
from usage_operator import naming
from usage_operator.plan import Fleet, doors, leavers, muster, quiet, waits

LEFT = Fleet({"a": 3, "b": 1}, {"a": 1, "b": 1}, ())


def pod(name: str, zone: str, ingest: str | None = "on", since: str | None = None) -> Any:
    """Give a collector's pod with the label and the mark."""
    made = collector(name, zone)
    made["metadata"]["uid"] = f"uid-{name}"
    if ingest:
        made["metadata"]["labels"][naming.INGEST] = ingest
    if since:
        made["metadata"]["annotations"] = {naming.INGEST_OFF: since}
    return made


def turned(*pods: Any, fleet: Fleet = LEFT, reopened: tuple[str, ...] = ()) -> dict[str, str]:
    """Give what each pod's label becomes, where it changes."""
    steps = doors(pods, fleet, reopened, NOW)
    return {
        one.document["metadata"]["name"]: one.document["metadata"]["labels"][naming.INGEST]
        for one in steps
    }


def test_only_those_that_leave_are_led_out() -> None:
    """The last replicas of a zone that shrinks, and all of a zone that went."""
    assert leavers(LEFT) == [("a", 2), ("b", 0)]
    pods = [pod("s-a-0", "a"), pod("s-a-1", "a"), pod("s-a-2", "a"), pod("s-b-0", "b")]
    assert turned(*pods) == {"s-a-2": "off", "s-b-0": "off"}


def test_a_pod_that_was_led_out_is_left_alone() -> None:
    """Its mark says since when, and is not moved."""
    assert not turned(pod("s-b-0", "b", "off", "2026-11-05T11:00:00Z"))


def test_one_that_is_wanted_again_takes_events_first() -> None:
    """The Service leads to it again only when it said that it takes events."""
    back = pod("s-a-0", "a", "off", "2026-11-05T11:00:00Z")
    assert not turned(back)
    assert turned(back, reopened=("a/0",)) == {"s-a-0": "on"}


def test_a_pod_without_the_label_gets_it() -> None:
    """Those of an earlier version are not left out of the Service."""
    assert turned(pod("s-a-0", "a", None)) == {"s-a-0": "on"}


@pytest.mark.parametrize(
    ("ingest", "since", "expected"),
    [
        ("off", "2026-11-05T11:58:00Z", True),
        ("off", "2026-11-05T11:59:30Z", False),
        ("on", "2026-11-05T11:00:00Z", False),
        ("off", None, False),
        ("off", "yesterday", False),
        ("off", "2026-11-05T11:00:00", False),
    ],
)
def test_connections_get_their_time(ingest: str, since: str | None, *, expected: bool) -> None:
    """Quiet is who has been out for longer than a connection lives."""
    assert quiet(pod("s-b-0", "b", ingest, since), NOW) is expected
    assert NOW.tzinfo is dt.UTC


def ledger(**fields: Any) -> dict[str, Any]:
    """Give a ledger as a collector tells of it."""
    clean = {"id": "0123456789", "last": 7, "sent": 7, "damaged": False}
    return clean | {"purged_unsent": [], "unreported": []} | fields


@pytest.mark.parametrize(
    ("ledgers", "words"),
    [
        ([ledger(), ledger(last=0, sent=0)], None),
        ([ledger(sent=4)], "3 events not exported yet"),
        ([ledger(sent=6), ledger()], "1 event not"),
        ([ledger(damaged=True)], "01234567"),
        ([ledger(unreported=[[1, 2]])], "no export could read"),
        ([ledger(purged_unsent=[[1, 2]])], "no export could read"),
        ([{"id": "x", "last": 0}], "version"),
        (None, "version"),
    ],
)
def test_what_a_collector_waits_for(ledgers: Any, words: str | None) -> None:
    """It goes when everything was sent, and stays when that cannot be known."""
    said = waits({"ledgers": ledgers})
    assert (said is None) if words is None else (words in str(said))


@pytest.mark.parametrize(("pending", "words"), [(0, None), (3, "3 of"), (None, "unknown")])
def test_a_collector_waits_for_what_vendors_have_yet_to_tell(
    pending: int | None, words: str | None
) -> None:
    """What is pending would be billed by nobody, though all that is stored was sent."""
    said = waits({"ledgers": [ledger()], "pending": pending})
    assert (said is None) if words is None else (words in str(said))


def test_a_collector_that_was_emptied_just_goes() -> None:
    """Without the annotation, from the last replica on."""
    running = {"a": 3, "b": 1}
    assert muster({"a": 1}, running, {}, frozenset({"a/2", "b/0"})).running == {"a": 2}
    assert muster({"a": 1}, running, {}, frozenset({"a/1"})).running == running
