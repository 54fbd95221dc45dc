"""Two operators, of which one works, on a real API server."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.operator.conftest import Operator, granted
from tests.operator.live import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.operator.live import Place

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]


@pytest.fixture
def pair(bare: Place, tmp_path: Path) -> Iterator[list[Operator]]:
    """Give two operators of one namespace; the first leads."""
    with granted(bare.cluster, bare.namespace, tmp_path) as rights:
        image = "localhost/none-such:1"
        operators = [
            Operator(rights, image, tmp_path / f"{number}.log", "--leader-election=on")
            for number in range(2)
        ]
        try:
            operators[0].start()
            bare.until("the first leads", lambda: "serving" in operators[0].log.read_text())
            operators[1].start()
            bare.until("the second waits", lambda: "waiting" in operators[1].log.read_text())
            yield operators
        finally:
            for one in operators:
                one.kill()


def serves(place: Place, operator: Operator) -> None:
    """Wait until an operator works; how soon it does, a benchmark tells."""
    place.until("the other serves", lambda: "serving" in operator.log.read_text())


def holder(place: Place) -> str:
    """Tell who holds the Lease; nobody does when it was given back."""
    return str(place.get("lease", "usage-operator")["spec"].get("holderIdentity", ""))


def test_the_standby_takes_over(bare: Place, pair: list[Operator]) -> None:
    """At once after a clean stop, which gives the Lease back, and after a kill when it ran out."""
    first, second = pair
    bare.apply()
    bare.until("the first writes", lambda: bare.collectors("sts"))
    assert "serving" not in second.log.read_text()
    leading = holder(bare)
    first.stop()
    assert holder(bare) != leading
    serves(bare, second)
    first.log.write_text("")
    first.start()
    bare.until("the first waits", lambda: "waiting" in first.log.read_text())
    leading = holder(bare)
    second.kill()
    serves(bare, first)
    assert holder(bare) != leading
    bare.kubectl("delete", "pdb", f"{bare.name}-collector")
    bare.until("the new one repairs", lambda: bare.collectors("pdb"))


def test_a_leader_that_slept_writes_nothing(bare: Place, pair: list[Operator]) -> None:
    """Stopped for longer than its Lease and then woken, it sees that another works, and ends."""
    first, second = pair
    first.signal(signal.SIGSTOP)
    serves(bare, second)
    bare.apply()
    bare.until("the second writes", lambda: bare.collectors("sts"))
    first.signal(signal.SIGCONT)
    assert first.wait(timeout=PATIENCE) == 1
    told = first.log.read_text()
    assert "the Lease was lost" in told
    assert "create" not in told
    assert "Traceback" not in told
