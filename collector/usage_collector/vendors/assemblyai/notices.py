"""What AssemblyAI says of a transcript, as events: notified first, counted once it is known.

No event holds any of the transcript's text, nor where its audio lies.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Self
from urllib.parse import parse_qsl

import msgspec

from usage_collector.errors import InvalidInput
from usage_collector.periods import rfc3339

if TYPE_CHECKING:
    from usage_collector.vendors.assemblyai.transcripts import Transcript

VENDOR = "assemblyai"
NOTIFIED = "TRANSCRIPT_NOTIFIED"
FAILED = "TRANSCRIPT_FAILED"
DONE = "TRANSCRIBER_DONE"
"""That of our own batch jobs: from here on a transcript counts as one."""
MARK = b'"assemblyai"'
"""Stands in every event that is made here."""
_SOURCE = "assemblyai-batch"
_ERROR = "error"
_REDACTED = "redacted_audio_ready"
"""A notification of its own for transcripts that were notified already."""
_ID = re.compile("[A-Za-z0-9_-]{1,64}")
_HINT = 'send what AssemblyAI sends: {"transcript_id": …, "status": …}'


class _Body(msgspec.Struct):
    status: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    transcript_id: str | None = None


class _Specific(msgspec.Struct, omit_defaults=True):
    status: str = ""
    total_received_duration: float | None = None
    format_name: str = ""
    job_config: dict[str, object] = {}


class _Event(msgspec.Struct, omit_defaults=True):
    """The members of these events, in their order."""

    event: str
    vendor: str
    session_id: str
    event_specific_data: _Specific
    source: str = ""
    customer_id: str = ""
    contract_id: str = ""
    dimensions: dict[str, str] = {}
    time_stamp: str | None = None


_read_body = msgspec.json.Decoder(_Body).decode
_read_event = msgspec.json.Decoder(_Event).decode


class Notice(msgspec.Struct, frozen=True):
    """A notification: which transcript, how it ended, and whose it is."""

    transcript: str
    status: str
    customer: str
    contract: str
    dimensions: dict[str, str]

    @classmethod
    def read(cls, body: bytes, query: str) -> Self | None:
        """A notification as it came; None for one that says nothing of usage.

        Every parameter of the query is a dimension, besides ``customer_id`` and ``contract_id``;
        of parameters of one name the last counts.

        Raises:
            InvalidInput: it names no transcript.
        """
        try:
            said = _read_body(body)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise InvalidInput(f"the notification cannot be read: {error}", _HINT) from None
        if said.status == _REDACTED:
            return None
        if said.transcript_id is None or not _ID.fullmatch(said.transcript_id):
            raise InvalidInput(
                "transcript_id is missing, or not 1 to 64 letters, digits, '-' and '_'", _HINT
            )
        given = dict(parse_qsl(query, keep_blank_values=True, errors="replace"))
        customer, contract = given.pop("customer_id", ""), given.pop("contract_id", "")
        return cls(said.transcript_id, said.status, customer, contract, given)

    @classmethod
    def of(cls, raw: bytes) -> Self | None:
        """The notification that an event stands for; None for any other event."""
        try:
            event = _read_event(raw)
        except msgspec.MsgspecError:
            return None
        if (event.event, event.vendor) != (NOTIFIED, VENDOR) or not _ID.fullmatch(event.session_id):
            return None
        status = event.event_specific_data.status
        return cls(event.session_id, status, event.customer_id, event.contract_id, event.dimensions)

    @property
    def event(self) -> bytes:
        """The notification itself; the same bytes each time it is sent again."""
        kind = FAILED if self.status == _ERROR else NOTIFIED
        return self._event(kind, _Specific(status=self.status))

    def outcome(self, transcript: Transcript, received: int) -> bytes | None:
        """What came of it, notified at ``received`` (µs); None while that is not known."""
        if transcript.status == _ERROR:
            return self._event(FAILED, _Specific(status=_ERROR))
        if transcript.status != "completed" or transcript.seconds is None:
            return None
        config = {
            "language": transcript.language,
            "operating_point": transcript.model,
        }
        specific = _Specific(
            total_received_duration=transcript.seconds,
            format_name=transcript.format,
            job_config={
                "type": "transcription",
                "transcription_config": {name: text for name, text in config.items() if text},
            },
        )
        return self._event(DONE, specific, rfc3339(received))

    def _event(self, kind: str, specific: _Specific, time: str | None = None) -> bytes:
        return msgspec.json.encode(
            _Event(
                event=kind,
                vendor=VENDOR,
                session_id=self.transcript,
                event_specific_data=specific,
                source=_SOURCE,
                customer_id=self.customer,
                contract_id=self.contract,
                dimensions=self.dimensions,
                time_stamp=time,
            )
        )
