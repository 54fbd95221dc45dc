"""A start that takes long says where it is.

A busy disk may keep a flush for a minute: whoever looks at the log then sees what is waited for.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_log = logging.getLogger("usage_collector.web")

PATIENCE_SECONDS = 5.0
"""How long a step may take until the log tells of it, and then again."""


@contextmanager
def told(step: str) -> Iterator[None]:
    """Log that this step of the start is under way, if it takes long, and how long it took."""
    began, over = time.monotonic(), threading.Event()

    def tell() -> None:
        text = "starting: %s takes %.0f s so far; look at the load of the volume's disk"
        while not over.wait(PATIENCE_SECONDS):
            _log.warning(text, step, time.monotonic() - began)

    teller = threading.Thread(target=tell, name="starting", daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()
        if (took := time.monotonic() - began) >= PATIENCE_SECONDS:
            _log.warning("starting: %s took %.1f s", step, took)
