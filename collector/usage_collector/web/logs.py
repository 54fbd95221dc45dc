"""Log lines in the form the field knows, or as JSON; client text never breaks a line."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import sys
import time as clock
from collections import deque
from typing import TYPE_CHECKING, TextIO

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

if TYPE_CHECKING:
    from aiohttp import HttpVersion

_CONTROL = {code: f"\\x{code:02x}" for code in [*range(32), 34, *range(127, 160)]}
_CONTROL.update({0x2028: "\\u2028", 0x2029: "\\u2029", 92: "\\\\"})
_MAX_TEXT = 200

STARTED = web.RequestKey("started", float)
"""Key of a request: when it came, by `time.perf_counter`."""
BODY_BYTES = web.ResponseKey("body_bytes", int)
"""Key of a response: bytes of its body as sent."""


def clean(text: str) -> str:
    """Text from outside without control characters and quotes, bounded."""
    escaped = text[:_MAX_TEXT].encode(errors="backslashreplace").decode()
    return escaped if escaped.isalnum() else escaped.translate(_CONTROL)


@functools.lru_cache(1024)
def _what(method: str, path: str, version: HttpVersion, status: int, size: int, agent: str) -> str:
    """A request and its answer: most are like others before."""
    return (
        f'"{clean(method)} {clean(path)} HTTP/{version.major}.{version.minor}" {status} {size} "-"'
        f' "{clean(agent)}"'
    )


class AccessLogger(AbstractAccessLogger):
    """One line a request; no query string, no header but the client's own name for itself."""

    def __init__(self, logger: logging.Logger, log_format: str) -> None:
        super().__init__(logger, log_format)
        handlers = logging.getLogger().handlers
        self._output = next((one for one in handlers if isinstance(one, Output)), None)

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:  # noqa: ARG002
        """Write the line; the event loop's own ``time`` is too coarse."""
        assert self._output is not None  # noqa: S101
        now = clock.perf_counter()
        # No more of a text is remembered than is written.
        what = _what(
            request.method,
            request.rel_url.raw_path[:_MAX_TEXT],
            request.version,
            response.status,
            response.get(BODY_BYTES, 0),
            request.headers.get("User-Agent", "-")[:_MAX_TEXT],
        )
        self._output.gather(self.logger.name, f"{what} {now - request.get(STARTED, now):.6f}")

    @property
    def enabled(self) -> bool:
        """Whether lines are wanted at all."""
        return self._output is not None and self.logger.isEnabledFor(logging.INFO)


class Form(logging.Formatter):
    """How a line looks; tells the time in UTC, to the second, and finds it out once a second."""

    _second: tuple[int, str] = (0, "")

    def line(self, created: float, level: str, name: str, message: str) -> str:
        """A line without an exception; ``created`` in s since the Unix epoch."""
        raise NotImplementedError

    def time(self, created: float) -> str:
        """Such as 2021-08-25T10:45:37Z."""
        second = int(created)
        if self._second[0] != second:
            text = clock.strftime("%Y-%m-%dT%H:%M:%SZ", clock.gmtime(second))
            self._second = (second, text)
        return self._second[1]


class LineForm(Form):
    """``[2021-08-25T10:45:37Z INFO usage_collector.web] …``, in UTC."""

    def line(self, created: float, level: str, name: str, message: str) -> str:
        """The line, without its end."""
        return f"[{self.time(created)} {level} {name}] {message}"

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """What stands before an exception."""
        return self.line(record.created, record.levelname, record.name, record.message)


class JsonForm(Form):
    """One JSON object a line."""

    def line(self, created: float, level: str, name: str, message: str) -> str:
        """The object as JSON text."""
        return json.dumps(self._value(created, level, name, message))

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON text."""
        message = record.getMessage()
        value = self._value(record.created, record.levelname, record.name, message)
        if record.exc_info:
            value["exception"] = self.formatException(record.exc_info)
        return json.dumps(value)

    def _value(self, created: float, level: str, name: str, message: str) -> dict[str, str]:
        return {"time": self.time(created), "level": level, "logger": name, "message": message}


class Output(logging.StreamHandler[TextIO]):
    """Writes lines; those of the requests that one turn of the event loop answers together.

    A record of `logging` and a write for each would cost a third of what taking an event does.
    """

    def __init__(self, stream: TextIO, form: Form) -> None:
        super().__init__(stream)
        self._form = form
        self._lines: deque[str] = deque()
        self.setFormatter(form)

    def gather(self, name: str, message: str) -> None:
        """Write a line of that logger at level INFO; called from within the event loop."""
        if not self._lines:
            asyncio.get_running_loop().call_soon(self.flush)
        self._lines.append(self._form.line(clock.time(), "INFO", name, message) + "\n")

    def emit(self, record: logging.LogRecord) -> None:
        """Write what came before, then the record."""
        self.flush()
        super().emit(record)

    def flush(self) -> None:
        """Write what was gathered."""
        self.acquire()
        try:
            while self._lines:
                self.stream.write(self._lines.popleft())
        finally:
            self.release()
        super().flush()


def configure(form: str, stream: TextIO | None = None) -> None:
    """Send our log to standard output, or that stream, as ``line`` or ``json``."""
    # Nobody reads these of a record, and finding them out costs more than writing the line.
    # https://docs.python.org/3/howto/logging.html#optimization
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None
    handler = Output(stream or sys.stdout, JsonForm() if form == "json" else LineForm())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    # It writes the address of each request of ours, query and all, every few seconds.
    logging.getLogger("httpx").setLevel(logging.WARNING)
