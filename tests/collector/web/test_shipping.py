"""What a shipper says of itself: metrics, and whether it keeps up."""

from __future__ import annotations

import httpx
import pytest

from usage_collector.errors import InvalidInput
from usage_collector.web import Lag, LagListener


def ask(listener: LagListener, path: str) -> httpx.Response:
    """What it answers."""
    return httpx.get(f"http://127.0.0.1:{listener.port}{path}", trust_env=False)


@pytest.mark.parametrize(("behind", "status"), [(3600.0, 200), (-1.0, 503)])
def test_one_that_is_too_far_behind_is_not_ready(behind: float, status: int) -> None:
    """It names the collectors; it is alive whatever they do."""
    lag = Lag(["http://a:8000", "http://b:8000"], behind)
    listener = LagListener(lag, "127.0.0.1", 0)
    try:
        ready = ask(listener, "/readyz")
        assert ready.status_code == status
        assert ("http://a:8000, http://b:8000" in ready.text) is (status == 503)
        assert ask(listener, "/healthz").status_code == 200
        assert ask(listener, "/").status_code == 404
    finally:
        listener.close()


def test_each_collector_has_a_lag_of_its_own() -> None:
    """Counted from the moment at which its backup was level; attempts that failed count too."""
    lag = Lag(["a", "b"], 60.0)
    lag.level("a", -1e6, 7)
    lag.failed("b")
    listener = LagListener(lag, "127.0.0.1", 0)
    try:
        said = dict(line.rsplit(" ", 1) for line in ask(listener, "/metrics").text.splitlines())
    finally:
        listener.close()
    assert float(said['usage_backup_lag_seconds{source="a"}']) > 1e6
    assert float(said['usage_backup_lag_seconds{source="b"}']) < 60
    assert said["usage_backup_shipped_events_total"] == "7.0"
    assert said['usage_backup_ship_failures_total{source="b"}'] == "1.0"
    assert lag.late == ["a"]


def test_a_port_that_is_taken_is_named() -> None:
    """With the flag that chooses another."""
    lag = Lag(["a"], 60.0)
    listener = LagListener(lag, "127.0.0.1", 0)
    try:
        with pytest.raises(InvalidInput, match=f"port {listener.port} .*in use.*--listen"):
            LagListener(lag, "127.0.0.1", listener.port)
    finally:
        listener.close()
