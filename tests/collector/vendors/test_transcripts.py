"""Asking the API how long a transcript was, against a real server."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from tests.collector.vendors.assemblyai import KEY, TEXT, Answer, AssemblyAI, serving, transcript
from usage_collector.errors import VendorUnavailable
from usage_collector.vendors.assemblyai import transcripts
from usage_collector.vendors.assemblyai.transcripts import Transcript, Transcripts

if TYPE_CHECKING:
    from pathlib import Path


async def ask(server: AssemblyAI, folder: Path, name: str = "a", key: str = KEY) -> Transcript:
    """One transcript of that server."""
    (folder / "key").write_text(key + "\n")
    asking = Transcripts(server.url, folder / "key")
    try:
        return await asking.get(name)
    finally:
        await asking.close()


async def refused(server: AssemblyAI, folder: Path, key: str = KEY) -> VendorUnavailable:
    """Why the transcript cannot be had."""
    with pytest.raises(VendorUnavailable) as raised:
        await ask(server, folder, key=key)
    assert raised.value.hint
    assert KEY not in str(raised.value)
    return raised.value


async def test_what_counting_needs_is_read(tmp_path: Path) -> None:
    """Duration, language, model and format; the text is left where it is."""
    with serving(a=[transcript()]) as server:
        found = await ask(server, tmp_path)
    assert found == Transcript("completed", 281.0, "en_us", "universal-2", "mp3")
    assert TEXT not in repr(found)


@pytest.mark.parametrize("said", [None, "281", True, -1, [281], {"seconds": 281}, 10**400])
async def test_a_duration_that_is_no_number_is_unknown(tmp_path: Path, said: object) -> None:
    """Nothing is ever made of it, zero least of all."""
    with serving(a=[transcript(audio_duration=said)]) as server:
        assert (await ask(server, tmp_path)).seconds is None


@pytest.mark.parametrize(
    "url", [None, 7, "https://[x", "https://a/b", "https://a/b.exe", "x" * 9999]
)
async def test_an_odd_address_is_no_format(tmp_path: Path, url: object) -> None:
    """Only endings that are formats are taken for one."""
    with serving(a=[transcript(audio_url=url)]) as server:
        assert (await ask(server, tmp_path)).format == ""


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(tmp_path: Path, status: int) -> None:
    """Nobody leads the collector, with its key, to another address."""
    with serving() as other, serving() as server:
        server.answers["a"] = [Answer(status=status, headers={"Location": other.url + "/v2/x"})]
        error = await refused(server, tmp_path)
        assert not other.asked
        assert len(server.asked) == 1
    assert error.refused
    assert "redirect" in error.detail


async def test_a_wrong_key_is_everybodys_trouble(tmp_path: Path) -> None:
    """Whatever is asked for would be refused, until somebody changes the key."""
    with serving(a=[transcript()]) as server:
        error = await refused(server, tmp_path, key="wrong")
        assert (error.refused, error.general) == (True, True)
        assert "USAGE_ASSEMBLYAI_KEY_FILE" in error.hint
        missing = await refused(server, tmp_path, key="")
        assert (missing.refused, missing.general) == (True, True)
        assert len(server.asked) == 1


@pytest.mark.parametrize(("status", "refused_", "general"), [
    (400, True, False), (404, True, False), (403, True, True), (408, False, True),
    (429, False, True), (500, False, True), (503, False, True),
])  # fmt: skip
async def test_whose_trouble_a_status_is(
    tmp_path: Path, status: int, *, refused_: bool, general: bool
) -> None:
    """A transcript that is not there stops no other; a limit and an outage stop all for a while."""
    with serving(a=[Answer(status=status, body=b"<html>")]) as server:
        error = await refused(server, tmp_path)
    assert (error.refused, error.general) == (refused_, general)


async def test_a_server_that_is_away_is_asked_again(tmp_path: Path) -> None:
    """It is nobody's fault here, and no final answer."""
    with serving() as server:
        pass
    error = await refused(server, tmp_path)
    assert (error.refused, error.general) == (False, True)


async def test_a_large_answer_is_read_and_a_huge_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten hours of words are read past; there is an end to what is held in memory."""
    long = transcript(text="x" * (2 * transcripts.SMALL_BYTES))
    with serving(a=[long]) as server:
        assert (await ask(server, tmp_path)).seconds == 281
        monkeypatch.setattr(transcripts, "MAX_BYTES", 2 * transcripts.SMALL_BYTES)
        error = await refused(server, tmp_path)
    assert error.refused
    assert not error.general
    assert "more than" in error.detail


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"id":"b","audio_duration":1}', b"\xff"])
async def test_an_answer_of_something_else_is_not_taken(tmp_path: Path, body: bytes) -> None:
    """A proxy's page or another transcript says nothing of this one."""
    with serving(a=[Answer(body=body)]) as server:
        error = await refused(server, tmp_path)
    assert not error.general


@pytest.mark.parametrize(("text", "seconds"), [
    (None, None), ("", None), ("7", 7), ("99999999", 3600), ("soon", None), ("-1", None),
    ("Sat, 21 Nov 2026 08:00:30 GMT", 30), ("Sat, 21 Nov 2026 07:00:00 GMT", 0),
    ("Sat, 21 Nov 2026 07:00:00 -0000", None),
])  # fmt: skip
def test_retry_after_is_a_number_or_a_date(text: str | None, seconds: float | None) -> None:
    """RFC 9110, 10.2.3; an hour at most, and nothing where it cannot be read."""
    now = datetime(2026, 11, 21, 8, tzinfo=UTC)
    assert transcripts._wait(text, now) == seconds
