"""Log lines: for people, or as JSON for machines."""

from __future__ import annotations

import json
import logging
import time


class _Line(logging.Formatter):
    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"


class _Json(_Line):
    def format(self, record: logging.LogRecord) -> str:
        """Write a record as one JSON object on a line."""
        entry = {
            "time": self.formatTime(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry)


def configure(form: str, level: str) -> None:
    """Send all logs to standard error; form is line or json."""
    handler = logging.StreamHandler()
    handler.setFormatter(
        _Json() if form == "json" else _Line("[%(asctime)s %(levelname)s %(name)s] %(message)s")
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # kopf tells of every event that it takes.
    logging.getLogger("kopf").setLevel(logging.WARNING)
