"""Events as transcribers send them, for tests."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta

MONTH = datetime(2026, 10, 1, tzinfo=UTC)


def event(number: int = 0, **fields: object) -> bytes:
    """A finished batch job, ``number`` seconds into October 2026; fields replace its own."""
    specific = {
        "format_name": "wav",
        "job_config": {"transcription_config": {"language": "en"}, "type": "transcription"},
        "total_received_duration": fields.pop("duration", 2),
        "total_speech_duration": 1.5,
    }
    value = {
        "contract_id": "0",
        "customer_id": "Acme",
        "event": "TRANSCRIBER_DONE",
        "session_id": str(uuid.uuid4()),
        "source": "uniasr-batch",
        "time_stamp": (MONTH + timedelta(seconds=number)).isoformat().replace("+00:00", "Z"),
        "event_specific_data": specific,
        **fields,
    }
    return json.dumps(value).encode()


def array(events: list[bytes]) -> bytes:
    """A request body of several events."""
    return b"[" + b",".join(events) + b"]"
