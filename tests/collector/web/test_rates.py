"""Limits of the rate of requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.collector.process import CollectorProcess
from tests.collector.samples import array, event
from usage_collector.errors import TooMany
from usage_collector.web.rates import Rates

if TYPE_CHECKING:
    from pathlib import Path


@given(
    st.floats(0.1, 100),
    st.lists(st.floats(0, 0.5), min_size=1, max_size=200),
)
def test_no_client_gets_more_than_its_rate(rate: float, pauses: list[float]) -> None:
    """In any time at most the rate goes on, and one second's worth at once; waiting helps."""
    now = 0.0
    rates = Rates(rate, 0, lambda: now)
    passed = 0
    for pause in pauses:
        now += pause
        try:
            rates.check("GET", "Bearer a", None)
        except TooMany as refused:
            now += refused.seconds + 1e-6
            rates.check("GET", "Bearer a", None)
        passed += 1
    assert passed <= max(rate, 1) + now * rate + 1e-6


def test_clients_do_not_share_a_limit() -> None:
    """Another token, another address and another kind of request have limits of their own."""
    rates = Rates(1, 1, lambda: 0.0)
    for method, token, client in (
        ("GET", "Bearer a", None),
        ("GET", "Bearer b", None),
        ("POST", "Bearer a", None),
        ("GET", None, "10.0.0.1"),
        ("GET", None, "10.0.0.2"),
    ):
        rates.check(method, token, client)
        with pytest.raises(TooMany):
            rates.check(method, token, client)


def test_the_documented_figures_are_a_second_s_worth_of_each_token() -> None:
    """50 gets and 10 posts at once, no more, and as many again after a second."""
    clock = [0.0]
    rates = Rates(50, 10, lambda: clock[0])
    for clock[0] in (0.0, 1.0):
        for token in ("Bearer a", "Bearer b"):
            for method, most in (("GET", 50), ("POST", 10)):
                for _ in range(most):
                    rates.check(method, token, None)
                with pytest.raises(TooMany) as refused:
                    rates.check(method, token, None)
                assert refused.value.seconds == pytest.approx(1 / most)


def test_no_limit_is_no_limit() -> None:
    """A rate of 0 lets everything pass."""
    rates = Rates(0, 0, lambda: 0.0)
    for _ in range(1000):
        rates.check("GET", None, None)


def test_a_limited_client_is_told_when_to_come_again(tmp_path: Path) -> None:
    """429 with Retry-After and the usual body; health, metrics and ingest are never limited."""
    limited = {"USAGE_GETS_PER_SECOND": "0.01", "USAGE_POSTS_PER_SECOND": "0.01"}
    with CollectorProcess(tmp_path / "data", **limited) as collector:
        url = collector.reporting_url
        assert httpx.get(f"{url}/v2/usage").status_code == 200
        refused = httpx.get(f"{url}/v2/usage")
        assert refused.status_code == 429
        assert 1 <= int(refused.headers["Retry-After"]) <= 100
        assert refused.json()["error"] == "Too Many Requests"
        changed = [httpx.put(f"{url}/v1/customers/{n}", json={"name": "A"}) for n in "ab"]
        assert [one.status_code for one in changed] == [200, 429]
        assert "Retry-After" in changed[1].headers
        for path in ("/healthz", "/metrics", "/v1/usage/news"):
            assert httpx.get(url + path).status_code == 200
        for number in range(20):
            sent = httpx.post(
                f"{collector.ingest_url}/v1/log", content=array([event(number)]), verify=False
            )
            assert sent.status_code == 201
