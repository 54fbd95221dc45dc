"""The limits that the operator writes are those that collectors read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.operator.support import context
from tests.operator.test_limits import LIMITS
from usage_collector.settings import VARIABLES
from usage_collector.usage import policy
from usage_collector.usage.customers import Register
from usage_operator.manifests import limits
from usage_operator.spec.limits import BUILT_IN

if TYPE_CHECKING:
    from pathlib import Path


def test_the_file_is_read_as_it_was_meant(tmp_path: Path) -> None:
    """Every member arrives: plans, quotas, rates, thresholds, and where alerts go."""
    where = context(limits=LIMITS)
    file = tmp_path / limits.FILE
    (made,) = limits.build(where)
    file.write_text(made["data"][limits.FILE])
    read = policy.PolicyFile(file)
    assert read.policy.name == "metering/speech"
    assert (read.policy.gets_per_second, read.policy.posts_per_second) == (50, 10)
    assert read.policy.parts == (0.5, 1.0)
    plan, quota = read.policy.quota("acme", Register())
    assert (plan, quota.monthly_hours, quota.concurrent_sessions) == ("startup", 120.5, 5)
    assert list(read.hooks) == ["http://ours:8080/alerts", "https://alerts.example.org/usage"]
    mounts = {one["mountPath"] for one in limits.mounted(where)[1]}
    hook = read.policy.webhooks[1]
    for given in (hook.header_file, hook.ca_file, limits.environment(where)["USAGE_LIMITS_FILE"]):
        assert str(given).split("/1/")[0].removesuffix(f"/{limits.FILE}") in mounts
    assert limits.environment(where).keys() <= {variable.name for variable in VARIABLES}


def test_both_know_the_same_plans() -> None:
    """A quota's plan is checked by the operator before collectors see it."""
    assert set(BUILT_IN) == policy.PLANS.keys()
