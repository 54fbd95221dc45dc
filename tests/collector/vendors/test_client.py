"""The helpers for programs that use AssemblyAI, against real collectors and a server like it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.collector.process import CollectorProcess, free_port
from tests.collector.vendors.assemblyai import KEY, serving
from usage_collector import events
from usage_collector.events import Outcome
from usage_collector.vendors.assemblyai.client import (
    Collector,
    NotRecorded,
    Session,
    Usage,
    Webhook,
    submit,
)
from usage_collector.vendors.assemblyai.notices import Notice

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 10, 5, 13, tzinfo=UTC)
WEBHOOK = Webhook("https://usage.example.org:9443/", "X-Hook", "0123456789abcdef")
USAGE = Usage("Acme", "7", {"project_id": "4/56"})
BEGIN = '{"type":"Begin","id":"5552493-16d8","expires_at":1}'
ENDED = b'{"type":"Termination","audio_duration_seconds":20,"session_duration_seconds":25}'
_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_names = _texts.filter(lambda name: name not in ("customer_id", "contract_id"))


@given(_texts, _texts, st.dictionaries(_names, _texts, max_size=5))
def test_whatever_an_address_carries_arrives(
    customer: str, contract: str, dimensions: dict[str, str]
) -> None:
    """Names and values of dimensions may hold anything; the listener reads what was meant."""
    url = urlsplit(WEBHOOK.url(Usage(customer, contract, dimensions)))
    assert (url.netloc, url.path) == ("usage.example.org:9443", "/v1/webhooks/assemblyai")
    assert url.geturl().isascii()
    notice = Notice.read(b'{"transcript_id":"a","status":"completed"}', url.query)
    assert notice == Notice("a", "completed", customer, contract, dimensions)


def test_an_address_that_nobody_could_read_is_refused() -> None:
    """Better now than when the transcript is made, and so is a dimension that is a field."""
    with pytest.raises(ValueError, match="8000"):
        WEBHOOK.url(Usage("Acme", dimensions={"a": "ä" * 2000}))
    with pytest.raises(ValueError, match="customer_id"):
        Usage("Acme", dimensions={"customer_id": "Other"})


def test_the_value_of_the_header_is_not_shown() -> None:
    """Programs print what they work with."""
    assert WEBHOOK.value not in repr(WEBHOOK)
    assert WEBHOOK.options(USAGE)["webhook_auth_header_value"] == WEBHOOK.value


def test_it_needs_the_standard_library_only() -> None:
    """Whoever imports it pays for nothing of the collector's."""
    text = (
        "import sys; import usage_collector.vendors.assemblyai.client; "
        "print([name for name in ('aiohttp', 'apsw', 'msgspec', 'httpx') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


async def test_a_file_is_uploaded_and_submitted(tmp_path: Path) -> None:
    """With the webhook, the header and the user's own options."""
    audio = tmp_path / "a.wav"
    audio.write_bytes(b"RIFF" * 1000)
    with serving() as server:
        options = {"language_detection": True}
        found = await submit(audio, KEY, WEBHOOK, USAGE, api=server.url, options=options)
        (_, headers, sent), (_, _, asked) = server.posted
        assert found == "made-1"
        assert sent == audio.read_bytes()
        assert headers["Authorization"] == KEY
        body = json.loads(asked)
        assert body["audio_url"] == server.url + "/stored"
        assert body["language_detection"] is True
        assert body["webhook_url"] == WEBHOOK.url(USAGE)
        with pytest.raises(OSError, match="401"):
            await submit("https://example.org/a", "wrong", WEBHOOK, USAGE, api=server.url)


def session(*messages: Any) -> Session:
    """A session that saw these messages."""
    made = Collector("https://localhost:1").session(USAGE)
    for message in messages:
        made.see(message)
    return made


def test_a_session_s_end_is_billed_by_its_duration() -> None:
    """Not by the audio's, which stands beside it."""
    raw = session(BEGIN, '{"type":"Turn","transcript":"secret"}', ENDED).event(NOW)
    assert raw is not None
    assert b"secret" not in raw
    event = events.read(raw)
    assert (event.kind, event.mode, event.vendor) == (Outcome.ENDED, "realtime", "assemblyai")
    assert (event.duration, event.session, event.customer) == (25, "5552493-16d8", "Acme")
    assert (event.contract, event.speech) == ("7", None)
    assert json.loads(raw)["event_specific_data"]["audio_duration_seconds"] == 20
    assert json.loads(raw)["dimensions"] == {"project_id": "4/56"}


@pytest.mark.parametrize("end", [
    (), ({"type": "Termination"},), ({"type": "Termination", "session_duration_seconds": None},),
    ({"type": "Termination", "session_duration_seconds": "25"},), ("no JSON", b"\xff", "[]", "7"),
])  # fmt: skip
def test_a_session_without_a_known_end_is_never_zero(end: tuple[Any, ...]) -> None:
    """It is recorded as far as it was seen, which counts as an estimate."""
    raw = session(BEGIN, *end).event(NOW)
    assert raw is not None
    event = events.read(raw)
    assert event.kind is Outcome.STATUS
    assert event.duration is not None
    assert event.duration > 0


def test_a_session_that_never_began_is_not_recorded() -> None:
    """Nothing was used."""
    assert session().event(NOW) is None
    assert session("no JSON", {"type": "Begin"}).event(NOW) is None


def stored(process: CollectorProcess) -> list[dict[str, Any]]:
    """All events that a collector has."""
    accept = {"Accept": "application/json"}
    answer = httpx.get(process.reporting_url + "/v1/export", headers=accept)
    found: list[dict[str, Any]] = answer.json()["payload"]["events"]
    return found


async def test_an_end_is_recorded_once_whatever_happens(tmp_path: Path) -> None:
    """Also when the collector comes up late, the program fails, or the event is sent again."""
    with CollectorProcess(tmp_path / "data") as process:
        process.kill()
        collector = Collector(process.ingest_url, process.ca_file)

        async def use() -> None:
            async with collector.session(USAGE) as stream:
                stream.see(BEGIN)
                stream.see(ENDED)
                raise RuntimeError

        using = asyncio.create_task(use())
        await asyncio.to_thread(process.start)
        with pytest.raises(RuntimeError):
            await using
        (event,) = stored(process)
        assert event["session_id"] == "5552493-16d8"


def test_a_program_without_asyncio_records_too(tmp_path: Path) -> None:
    """Also when it fails; a program with asyncio is told before anything is used."""
    with CollectorProcess(tmp_path / "data") as process:
        collector = Collector(process.ingest_url, process.ca_file)

        def use() -> None:
            with collector.session(USAGE) as stream:
                stream.see(BEGIN)
                stream.see(ENDED)
                raise RuntimeError

        with pytest.raises(RuntimeError):
            use()
        with collector.session(USAGE):
            pass
        (event,) = stored(process)
        assert (event["event"], event["session_id"]) == ("SESSION_ENDED", "5552493-16d8")

    async def enters() -> None:
        with session():
            pass

    with pytest.raises(RuntimeError, match="async with"):
        asyncio.run(enters())


async def test_a_cancelled_program_still_records(tmp_path: Path) -> None:
    """What was used was used."""
    with CollectorProcess(tmp_path / "data") as process:
        entered = asyncio.Event()

        async def use() -> None:
            async with Collector(process.ingest_url, process.ca_file).session(USAGE) as stream:
                stream.see(BEGIN)
                entered.set()
                await asyncio.Event().wait()

        using = asyncio.create_task(use())
        await entered.wait()
        using.cancel()
        with pytest.raises(asyncio.CancelledError):
            await using
        assert [event["event"] for event in stored(process)] == ["SESSION_STATUS"]


async def test_what_cannot_be_recorded_is_handed_back(tmp_path: Path) -> None:
    """A refusal at once, an outage after the given time, both with the event."""
    nobody = Collector(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(NotRecorded, match="cannot be reached") as raised:
        await nobody.record(b"{}", seconds=0.3)
    assert raised.value.event == b"{}"
    with CollectorProcess(tmp_path / "data", EATS_SECURE="false") as process:
        with pytest.raises(NotRecorded, match="answered 400") as raised:
            await Collector(process.ingest_url).record(b"{")
        assert raised.value.event == b"{"
        await Collector(process.ingest_url).record(b"{}")
    with pytest.raises(ValueError, match="https"):
        Collector("localhost:9090")
