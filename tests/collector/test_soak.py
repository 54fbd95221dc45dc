"""kill -9 under load: nothing acknowledged is lost, nothing is there twice."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest

from tests.bench.soak import soak

if TYPE_CHECKING:
    from pathlib import Path

KILLS = int(os.environ.get("SOAK_KILLS", "30"))


@pytest.mark.timeout(120 + 20 * KILLS)
def test_killing_the_collector_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Cuts, packing and purging go on meanwhile: each acknowledged event is there exactly once."""
    tally = soak(tmp_path, KILLS, random.Random(7))
    assert not tally.problems, tally.line()
    assert tally.kills == KILLS
    assert tally.stored >= tally.acknowledged > 0
    assert tally.exported > 0
