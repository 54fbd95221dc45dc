"""Log lines in the form the field knows, or as JSON; client text never breaks a line."""

from __future__ import annotations

import json
import logging
import sys
import time as clock
from typing import TYPE_CHECKING

from aiohttp.abc import AbstractAccessLogger

if TYPE_CHECKING:
    from aiohttp import web

_CONTROL = {code: f"\\x{code:02x}" for code in [*range(32), 34, *range(127, 160)]}
_CONTROL.update({0x2028: "\\u2028", 0x2029: "\\u2029", 92: "\\\\"})
_MAX_TEXT = 200

STARTED = "started"
"""Key of a request: when it came, by `time.perf_counter`."""
BODY_BYTES = "body_bytes"
"""Key of a response: bytes of its body as sent."""


def clean(text: str) -> str:
    """Text from outside without control characters and quotes, bounded."""
    escaped = text[:_MAX_TEXT].encode(errors="backslashreplace").decode()
    return escaped if escaped.isalnum() else escaped.translate(_CONTROL)


class AccessLogger(AbstractAccessLogger):
    """One line a request; no query string, no header but the client's own name for itself."""

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:  # noqa: ARG002
        """Write the line; the event loop's own ``time`` is too coarse."""
        path = clean(request.rel_url.raw_path)
        version = f"HTTP/{request.version.major}.{request.version.minor}"
        agent = clean(request.headers.get("User-Agent", "-"))
        method = clean(request.method)
        size = response.get(BODY_BYTES, 0)
        self.logger.info(
            '"%s %s %s" %d %d "-" "%s" %.6f',
            method,
            path,
            version,
            response.status,
            size,
            agent,
            clock.perf_counter() - request.get(STARTED, clock.perf_counter()),
        )

    @property
    def enabled(self) -> bool:
        """Whether lines are wanted at all."""
        return self.logger.isEnabledFor(logging.INFO)


class _Formatter(logging.Formatter):
    """Tells the time in UTC, to the second; finds it out once a second."""

    _second: tuple[int, str] = (0, "")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802
        """Such as 2021-08-25T10:45:37Z."""
        second = int(record.created)
        if self._second[0] != second:
            text = clock.strftime("%Y-%m-%dT%H:%M:%SZ", clock.gmtime(second))
            self._second = (second, text)
        return self._second[1]


class LineFormatter(_Formatter):
    """``[2021-08-25T10:45:37Z INFO usage_collector.web] …``, in UTC."""

    def __init__(self) -> None:
        super().__init__("[%(asctime)s %(levelname)s %(name)s] %(message)s")


class JsonFormatter(_Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON text."""
        value = {
            "time": self.formatTime(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            value["exception"] = self.formatException(record.exc_info)
        return json.dumps(value)


def configure(form: str) -> None:
    """Send our log to standard output, as ``line`` or ``json``."""
    # Nobody reads these of a record, and finding them out costs more than writing the line.
    # https://docs.python.org/3/howto/logging.html#optimization
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter() if form == "json" else LineFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
