"""Fixtures for all tests: the cluster, namespaces in it, and children that can be interrupted."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest_plugins = ["tests.kind_helper.fixtures"]


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> Iterator[None]:
    """Let children be interrupted, also where the tests themselves run in the background.

    What a background job ignores its children ignore too, as it should be.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
