"""Collectors that were there before a test began."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from usage_collector.ledger import Ledgers

if TYPE_CHECKING:
    from pathlib import Path


def begun(folder: Path, name: str, zone: str, ago: float) -> None:
    """An empty ledger in that data folder that began so many seconds ago."""
    began = round((time.time() - ago) * 1e6)
    folder.mkdir(parents=True, exist_ok=True)
    Ledgers(folder, name, zone, lambda: began).close()
