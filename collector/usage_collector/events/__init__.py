"""Usage events as transcribers send them: bytes in, records out, bytes never changed.

JSON is read strictly (RFC 8259): UTF-8 only, no NaN, nothing after the value. Whatever is a JSON
object is an event; fields of an unexpected type read as missing, they never refuse the event.
"""

from __future__ import annotations

import hashlib
import math
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import msgspec

from usage_collector.errors import InvalidInput, TooLarge
from usage_collector.events import cloud, crowded, dimensions, strict_json

MAX_EVENTS = 1000
"""Events in one array at most."""
MAX_DURATION = 48 * 3600.0
"""Seconds; a longer duration is implausible."""
WARM_UP_CONTRACT = "-77777777777777"
"""The contract id of jobs that engines run at their start, never billed."""
NATIVE = "native"
"""The vendor of what our own transcribers did, and of events that name none."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_END = (datetime(9999, 1, 1, tzinfo=UTC) - _EPOCH) // _MICROSECOND
"""What is dated later stands for "no time", and is in no month: the next one has five digits."""


class Outcome(StrEnum):
    """What an event says about its job or session."""

    DONE = "done"
    STATUS = "status"
    ENDED = "ended"
    ANNOUNCED = "announced"
    FAILED = "failed"
    OTHER = "other"


_OUTCOMES = {
    "TRANSCRIBER_DONE": Outcome.DONE,
    "SESSION_STATUS": Outcome.STATUS,
    "SESSION_ENDED": Outcome.ENDED,
    "TRANSCRIPT_NOTIFIED": Outcome.ANNOUNCED,
    "TRANSCRIPT_FAILED": Outcome.FAILED,
}


class Event(msgspec.Struct, frozen=True, gc=False):
    """One event: its bytes, and what counting needs to know of it.

    ``raw`` is what was received, byte for byte, without surrounding white space; ``digest`` is its
    SHA-256. ``time`` is the event's own time in µs since the Unix epoch, None when missing,
    unreadable, or not within the years 1970 to 9998. ``duration`` (what is billed) and ``speech``
    are seconds, None when missing or no finite number. ``implausible`` marks a duration that is no
    finite number from 0 to 48 h, and one that a finished job or session lacks. Texts are "" when
    missing; ``dimensions`` too, see `dimensions.text`. ``origin`` stands for source and id of a
    CloudEvent.
    """

    raw: bytes
    digest: bytes
    time: int | None
    kind: Outcome
    kind_name: str
    vendor: str
    session: str | None
    contract: str
    customer: str
    duration: float | None
    implausible: bool
    speech: float | None
    warm_up: bool
    mode: str
    type: str
    language: str
    operating_point: str
    format: str
    dimensions: str = ""
    origin: bytes | None = None

    @property
    def transport_id(self) -> bytes:
        """40 bytes: the time, big-endian (0 when there is none), then the origin or digest."""
        return (self.time or 0).to_bytes(8, "big") + (self.origin or self.digest)

    @property
    def short_id(self) -> bytes:
        """The first 24 bytes of the transport id, by which a ledger finds the event again.

        With 128 bits of the hash nobody can make an event that passes for another's.
        """
        return (self.time or 0).to_bytes(8, "big") + (self.origin or self.digest)[:16]

    @property
    def identity(self) -> bytes:
        """What is billed once: SHA-256 of vendor, contract and session, each with its length.

        Where there is no session it is the transport id, which has another length; that of a
        CloudEvent without the time, since source and id alone say that it is the same.
        """
        if self.session is None:
            return bytes(8) + self.origin if self.origin else self.transport_id
        parts = [part.encode() for part in (self.vendor, self.contract, self.session)]
        return hashlib.sha256(b"".join(len(p).to_bytes(8, "big") + p for p in parts)).digest()


def parse(body: bytes) -> list[Event]:
    """The events of one request body: an object, or an array of at most 1,000 objects.

    Raises:
        InvalidInput: not strict JSON, deeper than 64, or not an object; names the index.
        TooLarge: more than 1,000 events.
    """
    if body.lstrip(strict_json.WHITE_SPACE)[:1] != b"[":
        return [_read(body.strip(strict_json.WHITE_SPACE), None)]
    elements = _elements(body)
    try:
        body.decode()
        typical = _decode_all(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return [_read(element, index) for index, element in enumerate(elements)]
    pairs = zip(typical, elements, strict=True)
    return [_usual(fields, element, index) for index, (fields, element) in enumerate(pairs)]


def parse_cloud(body: bytes) -> list[Event]:
    """The one CloudEvent in its JSON format.

    Raises:
        InvalidInput: not strict JSON, deeper than 64, or no CloudEvent; names the attribute.
    """
    return [_read_cloud(body.strip(strict_json.WHITE_SPACE), None)]


def parse_cloud_batch(body: bytes) -> list[Event]:
    """The CloudEvents of a batch, an array of at most 1,000 in their JSON format.

    Raises:
        InvalidInput: as of `parse_cloud`; names the index.
        TooLarge: more than 1,000 events.
    """
    if body.lstrip(strict_json.WHITE_SPACE)[:1] != b"[":
        raise InvalidInput("the batch is not an array", "send a JSON array of CloudEvents")
    return [_read_cloud(element, index) for index, element in enumerate(_elements(body))]


def read(raw: bytes) -> Event:
    """One stored event."""
    return _read(raw, None)


def _elements(body: bytes) -> list[bytes]:
    crowd = crowded.is_crowded(body) and not crowded.has_at_most(body, MAX_EVENTS)
    elements = [] if crowd else strict_json.split_array(body, MAX_EVENTS + 1)
    if crowd or len(elements) > MAX_EVENTS:
        raise TooLarge(
            f"more than {MAX_EVENTS} events in one array", "send them in several requests"
        )
    return elements


class _Configuration(msgspec.Struct, gc=False):
    language: str | None = None
    operating_point: str | None = None


class _Job(msgspec.Struct, gc=False):
    transcription_config: _Configuration | None = None
    alignment_config: _Configuration | None = None
    type: str | None = None


class _Specific(msgspec.Struct, gc=False):
    total_received_duration: float | None = None
    total_speech_duration: float | None = None
    format_name: str | None = None
    job_config: _Job | None = None


class _Typical(msgspec.Struct, gc=False):
    """The fields that are read, in the types they have in practice."""

    event: str | None = None
    time_stamp: str | None = None
    session_id: str | None = None
    contract_id: str | None = None
    customer_id: str | None = None
    source: str | None = None
    vendor: str | None = None
    specversion: str | None = None
    event_specific_data: _Specific | None = None
    dimensions: dict[str, str] | None = None


_NO_SPECIFIC, _NO_JOB, _NO_CONFIGURATION = _Specific(), _Job(), _Configuration()
_decode = msgspec.json.Decoder(_Typical).decode
_decode_all = msgspec.json.Decoder(list[_Typical]).decode


def _read(raw: bytes, index: int | None) -> Event:
    try:
        raw.decode()
        typical = _decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _read_any(raw, index)
    return _usual(typical, raw, index)


def _usual(typical: _Typical, raw: bytes, index: int | None) -> Event:
    if typical.specversion is not None:
        return _read_any(raw, index)
    strict_json.check_depth(raw, index)
    specific = typical.event_specific_data or _NO_SPECIFIC
    job = specific.job_config or _NO_JOB
    return _event(typical, specific, job, job.transcription_config or _NO_CONFIGURATION, raw)


def _read_any(raw: bytes, index: int | None) -> Event:
    """The same for an event that is unusual in some way; decides what is refused."""
    value = _object(raw, index)
    origin = cloud.origin(value)
    return _from(value if origin is None else cloud.content(value), raw, origin)


def _read_cloud(raw: bytes, index: int | None) -> Event:
    value = _object(raw, index)
    cloud.check(value, index)
    return _from(cloud.content(value), raw, cloud.origin(value))


def _object(raw: bytes, index: int | None) -> dict[str, Any]:
    value = cloud.decode(raw, index)
    if not isinstance(value, dict):
        raise InvalidInput(
            f"{strict_json.place(index)} is {strict_json.type_name(value)}, not an object",
            "send each event as a JSON object",
        )
    return value


def _from(value: dict[str, Any], raw: bytes, origin: bytes | None) -> Event:
    specific = _member(value, "event_specific_data")
    job = _member(specific, "job_config")
    configuration = _member(job, "transcription_config")
    return _event(
        _Typical(
            event=_text(value.get("event")),
            time_stamp=_text(value.get("time_stamp")),
            session_id=_text(value.get("session_id")),
            contract_id=_text(value.get("contract_id")),
            customer_id=_text(value.get("customer_id")),
            source=_text(value.get("source")),
            vendor=_text(value.get("vendor")),
            dimensions={
                name: text
                for name, said in _member(value, "dimensions").items()
                if (text := _text(said)) is not None
            },
        ),
        _Specific(
            total_received_duration=_number(specific, "total_received_duration"),
            total_speech_duration=_number(specific, "total_speech_duration"),
            format_name=_text(specific.get("format_name")),
        ),
        _Job(
            alignment_config=_Configuration(
                language=_text(_member(job, "alignment_config").get("language"))
            ),
            type=_text(job.get("type")),
        ),
        _Configuration(
            language=_text(configuration.get("language")),
            operating_point=_text(configuration.get("operating_point")),
        ),
        raw,
        origin,
    )


def _event(
    fields: _Typical,
    specific: _Specific,
    job: _Job,
    configuration: _Configuration,
    raw: bytes,
    origin: bytes | None = None,
) -> Event:
    name = fields.event or ""
    kind = _OUTCOMES.get(name, Outcome.OTHER)
    duration = specific.total_received_duration
    contract = fields.contract_id or ""
    aligned = job.alignment_config or _NO_CONFIGURATION
    return Event(
        raw=raw,
        digest=hashlib.sha256(raw).digest(),
        time=_time(fields.time_stamp),
        kind=kind,
        kind_name=name,
        vendor=fields.vendor or NATIVE,
        session=fields.session_id or None,
        contract=contract,
        customer=fields.customer_id or "",
        duration=_finite(duration),
        implausible=_implausible(kind, duration),
        speech=_finite(specific.total_speech_duration),
        warm_up=contract == WARM_UP_CONTRACT,
        mode=_mode(kind, fields.source or ""),
        type=job.type or "",
        language=configuration.language or aligned.language or "",
        operating_point=configuration.operating_point or "",
        format=specific.format_name or "",
        dimensions=dimensions.text(fields.dimensions) if fields.dimensions else "",
        origin=origin,
    )


def _implausible(kind: Outcome, duration: float | None) -> bool:
    if duration is None:
        return kind in (Outcome.DONE, Outcome.ENDED)
    return not 0 <= duration <= MAX_DURATION


def _mode(kind: Outcome, source: str) -> str:
    if kind in (Outcome.STATUS, Outcome.ENDED):
        return "realtime"
    return "batch" if kind is Outcome.DONE or "batch" in source else "realtime"


def _time(text: str | None) -> int | None:
    """ISO 8601 date and time, UTC where no zone is given, to the microsecond; else None."""
    if text is None or len(text) < len("20220914T130113"):
        return None
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        time = (moment - _EPOCH) // _MICROSECOND
    except (ValueError, OverflowError):
        return None
    # Time 0 stands for "none" in the transport id, so no event may have it.
    return time if 0 < time < _END else None


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _member(value: dict[str, Any], name: str) -> dict[str, Any]:
    member = value.get(name)
    return member if isinstance(member, dict) else {}


def _text(value: object) -> str | None:
    """Identifiers sent as numbers count as their text; lone surrogates become their escapes."""
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return None


def _number(value: dict[str, Any], name: str) -> float | None:
    """A JSON number as it is, anything else that stands there as not-a-number."""
    number = value.get(name)
    if number is None:
        return None
    if isinstance(number, int | float) and not isinstance(number, bool):
        return float(number)
    return math.nan
