"""Notifications and what comes of them, as events."""

from __future__ import annotations

import json
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usage_collector import events
from usage_collector.errors import InvalidInput
from usage_collector.events import Outcome
from usage_collector.vendors.assemblyai.notices import MARK, Notice
from usage_collector.vendors.assemblyai.transcripts import Transcript

RECEIVED = 1_790_812_805_000_001
_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_dimensions = st.dictionaries(
    _texts.filter(lambda name: name not in ("customer_id", "contract_id")), _texts, max_size=5
)


def body(status: str = "completed", transcript: object = "t-1") -> bytes:
    """What AssemblyAI sends."""
    return json.dumps({"transcript_id": transcript, "status": status}).encode()


def notice(query: str = "customer_id=Acme", status: str = "completed") -> Notice:
    """A notification that came with that query."""
    found = Notice.read(body(status), query)
    assert found is not None
    return found


@given(_texts, _texts, _dimensions)
def test_any_query_comes_back_from_the_event(
    customer: str, contract: str, dimensions: dict[str, str]
) -> None:
    """Customer, contract and dimensions survive the address and the ledger, whatever they hold."""
    given_ = {"customer_id": customer, **dimensions, "contract_id": contract}
    made = notice(urlencode(given_))
    assert (made.customer, made.contract, made.dimensions) == (customer, contract, dimensions)
    assert MARK in made.event
    assert Notice.of(made.event) == made
    read = events.read(made.event)
    assert (read.customer, read.contract, read.session) == (customer, contract, "t-1")
    assert (read.vendor, read.kind, read.mode) == ("assemblyai", Outcome.ANNOUNCED, "batch")


@given(st.text(st.characters(codec="ascii"), max_size=60))
def test_no_query_loses_a_notification(query: str) -> None:
    """Whatever stands behind the question mark, the notification is kept, always as the same."""
    assert Notice.of(notice(query).event) == notice(query)


def test_the_same_notification_is_the_same_event() -> None:
    """A retry has the same bytes, so it is a duplicate at the door."""
    assert notice().event == notice().event
    assert notice().event != notice("customer_id=Other").event


def test_of_two_parameters_the_last_counts() -> None:
    """As with duplicate keys of an event."""
    assert notice("a=1&customer_id=x&a=2&customer_id=y") == Notice(
        "t-1", "completed", "y", "", {"a": "2"}
    )


@pytest.mark.parametrize("transcript", ["a b", "", "../x", "x" * 65, None, "ä", "a\n"])
def test_ids_that_could_lead_elsewhere_are_refused(transcript: object) -> None:
    """An id becomes part of an address, so nothing but letters, digits, '-' and '_' is one."""
    with pytest.raises(InvalidInput, match="transcript_id"):
        Notice.read(body(transcript=transcript), "")


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b'{"transcript_id":"a"}', b"\xff", b'"a"'])
def test_what_is_no_notification_is_refused(raw: bytes) -> None:
    """The message says what AssemblyAI sends."""
    with pytest.raises(InvalidInput, match="transcript_id"):
        Notice.read(raw, "")


def test_redacted_audio_says_nothing_of_usage() -> None:
    """Its transcript was notified already; neither it nor its address is stored."""
    raw = b'{"status":"redacted_audio_ready","redacted_audio_url":"https://example.org/x"}'
    assert Notice.read(raw, "customer_id=Acme") is None


def test_a_failed_transcript_is_stored_and_never_pending() -> None:
    """Nothing will ever be billed for it."""
    failed = notice(status="error")
    assert events.read(failed.event).kind is Outcome.FAILED
    assert Notice.of(failed.event) is None


def test_a_known_duration_is_a_batch_job() -> None:
    """It counts with its seconds, under its customer, dated when it was notified."""
    known = Transcript("completed", 281.5, "en_us", "universal-2", "mp3")
    raw = notice("customer_id=Acme&contract_id=7&project=x").outcome(known, RECEIVED)
    assert raw is not None
    event = events.read(raw)
    assert (event.kind, event.mode, event.type) == (Outcome.DONE, "batch", "transcription")
    assert (event.duration, event.implausible, event.time) == (281.5, False, RECEIVED)
    assert (event.customer, event.contract, event.format) == ("Acme", "7", "mp3")
    assert (event.language, event.operating_point) == ("en_us", "universal-2")
    announced = events.read(notice("customer_id=Acme&contract_id=7&project=x").event)
    assert event.identity == announced.identity
    assert json.loads(raw)["dimensions"] == {"project": "x"}


@pytest.mark.parametrize("status", ["queued", "processing", "completed", "", "new"])
def test_an_unknown_duration_comes_to_nothing(status: str) -> None:
    """Not known is never zero."""
    assert notice().outcome(Transcript(status, None, "", "", ""), RECEIVED) is None


def test_a_duration_before_the_end_is_not_taken() -> None:
    """Only that of a completed transcript is the one that is billed."""
    assert notice().outcome(Transcript("processing", 5.0, "", "", ""), RECEIVED) is None


def test_a_failure_that_shows_later_is_not_billed() -> None:
    """The API's word counts: the transcript failed, whatever its duration."""
    raw = notice().outcome(Transcript("error", 5.0, "", "", ""), RECEIVED)
    assert raw is not None
    assert events.read(raw).kind is Outcome.FAILED
    assert Notice.of(raw) is None
