"""Fixtures for all tests: the cluster, namespaces in it, and children that can be interrupted."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from httpx._config import DEFAULT_TIMEOUT_CONFIG
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest_plugins = ["tests.kind_helper.fixtures"]

# httpx gives up after five seconds unless told otherwise; a busy machine may take longer.
for step in ("connect", "read", "write", "pool"):
    setattr(DEFAULT_TIMEOUT_CONFIG, step, 60.0)
# So does aiosmtpd of its own servers, while they start.
os.environ.setdefault("AIOSMTPD_CONTROLLER_TIMEOUT", "60")

# Nor may an example's time be a failure; hypothesis knows that itself where CI is set.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
if settings.get_current_profile_name() == "default":
    settings.load_profile("patient")


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> Iterator[None]:
    """Let children be interrupted, also where the tests themselves run in the background.

    What a background job ignores its children ignore too, as it should be.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
