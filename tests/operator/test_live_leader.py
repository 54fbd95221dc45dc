"""Two operators, of which one works, on a real API server."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.operator.conftest import Operator, granted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.operator.live import Place

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(120)]


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


def serves(place: Place, operator: Operator) -> float:
    """Wait until an operator works; give the seconds that it took."""
    began = time.monotonic()
    place.until("the other serves", lambda: "serving" in operator.log.read_text(), timeout=30)
    return time.monotonic() - began


def test_the_standby_takes_over(bare: Place, pair: list[Operator]) -> None:
    """In less than 3 s after a clean stop, in less than 20 s after a kill."""
    first, second = pair
    bare.apply()
    bare.until("the first writes", lambda: bare.collectors("sts"))
    assert "serving" not in second.log.read_text()
    first.stop()
    assert serves(bare, second) < 3
    first.log.write_text("")
    first.start()
    bare.until("the first waits", lambda: "waiting" in first.log.read_text())
    second.kill()
    assert serves(bare, first) < 20
    bare.kubectl("delete", "pdb", f"{bare.name}-collector")
    bare.until("the new one repairs", lambda: bare.collectors("pdb"), timeout=5)


def test_a_leader_that_slept_writes_nothing(bare: Place, pair: list[Operator]) -> None:
    """Stopped for longer than its Lease and then woken, it sees that another works, and ends."""
    first, second = pair
    first.signal(signal.SIGSTOP)
    assert serves(bare, second) < 20
    bare.apply()
    bare.until("the second writes", lambda: bare.collectors("sts"))
    first.signal(signal.SIGCONT)
    assert first.wait(timeout=20) == 1
    told = first.log.read_text()
    assert "the Lease was lost" in told
    assert "create" not in told
    assert "Traceback" not in told
