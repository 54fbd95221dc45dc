"""From a notification to the bill: a real collector, and a server that behaves like AssemblyAI."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.collector.process import CollectorProcess
from tests.collector.vendors.assemblyai import KEY, TEXT, Answer, serving, transcript
from tests.collector.vendors.notified import PATIENCE, collector
from usage_collector import events
from usage_collector.ledger import Ledgers
from usage_collector.usage.store import Mark, Store
from usage_collector.vendors.assemblyai.notices import Notice
from usage_collector.vendors.assemblyai.transcripts import Transcript

if TYPE_CHECKING:
    from pathlib import Path


def test_a_notification_becomes_a_job_on_the_bill(tmp_path: Path) -> None:
    """It counts once with its seconds, customer and dimensions, and no text is kept anywhere."""
    slow = [transcript(audio_duration=None), transcript(status="processing"), transcript()]
    with serving(a=slow) as api, collector(tmp_path, api) as setting:
        assert setting.notify("a", customer_id="Acme & Söhne", project_id="4/56") == [201]
        assert setting.notify("a", customer_id="Acme & Söhne", project_id="4/56") == [201]
        api.wait_until_asked(3)
        setting.until({})
        notified, done = sorted(setting.events(), key=lambda event: str(event["event"]))[::-1]
        assert (notified["event"], done["event"]) == ("TRANSCRIPT_NOTIFIED", "TRANSCRIBER_DONE")
        assert done["customer_id"] == "Acme & Söhne"
        assert done["dimensions"] == {"project_id": "4/56"}
        assert done["event_specific_data"]["total_received_duration"] == 281
        today = setting.usage()["today"]
        assert (today["count"], today["problems"]) == (1, [])
        assert [path for path, _ in api.asked] == ["/v2/transcript/a"] * 3
        setting.process.stop()
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "key"]
    assert kept
    for path in kept:
        content = path.read_bytes()
        assert TEXT.encode() not in content, path
        assert b"signature=s" not in content, path
        assert KEY.encode() not in content, path


def test_unknown_is_pending_and_never_zero(tmp_path: Path) -> None:
    """Usage says that it may be incomplete, coverage is not whole, and metrics tell."""
    with serving(a=[transcript(audio_duration=None)]) as api, collector(tmp_path, api) as setting:
        setting.notify("a", customer_id="Acme")
        setting.until({"a": "AssemblyAI does not know its duration yet"})
        said = setting.usage()
        assert said["details"] is None
        assert "1 AssemblyAI transcript is pending" in said["partial"][0]["reason"]
        assert said["today"]["coverage"] < 1
        assert said["today"]["count"] is None
        assert "usage_transcripts_pending 1.0" in setting.metrics()
        assert "usage_transcripts_stuck 0.0" in setting.metrics()


def test_any_collector_names_who_waits(tmp_path: Path) -> None:
    """Whichever is asked for usage says who waits for how many, and why: it lists none itself."""
    with serving(a=[transcript(audio_duration=None)]) as api, collector(tmp_path, api) as setting:
        setting.notify("a", customer_id="Acme")
        setting.until({"a": "AssemblyAI does not know its duration yet"})
        peers = setting.process.reporting_url
        other = CollectorProcess(tmp_path / "other", USAGE_NAME="other", USAGE_PEERS=peers)
        why = "1 AssemblyAI transcript is pending: AssemblyAI does not know its duration yet"
        with other.patch("usage_collector.usage.fleet.EXCHANGE_SECONDS", 0.2):
            end = time.monotonic() + PATIENCE
            while True:
                said = httpx.get(other.reporting_url + "/v2/usage", timeout=PATIENCE).json()
                told = {(one["collector"], one["reason"]) for one in said.get("partial", ())}
                if ("collector-0", why) in told:
                    break
                assert time.monotonic() < end, told
                time.sleep(0.05)
            none = httpx.get(other.reporting_url + "/v1/webhooks/pending").json()
            assert none == {"pending": []}


def test_a_failed_transcript_is_kept_and_not_billed(tmp_path: Path) -> None:
    """Whether the notification says so or only the API does."""
    with serving(b=[transcript(status="error")]) as api, collector(tmp_path, api) as setting:
        assert setting.notify("a", "error", customer_id="Acme") == [201]
        assert setting.notify("b", customer_id="Acme") == [201]
        api.wait_until_asked(1)
        setting.until({})
        kinds = sorted((event["event"], event["session_id"]) for event in setting.events())
        assert kinds == [
            ("TRANSCRIPT_FAILED", "a"), ("TRANSCRIPT_FAILED", "b"), ("TRANSCRIPT_NOTIFIED", "b")
        ]  # fmt: skip
        assert [path for path, _ in api.asked] == ["/v2/transcript/b"]
        assert setting.usage()["today"]["count"] == 0


def test_what_a_crash_interrupts_is_asked_again(tmp_path: Path) -> None:
    """Killed between notification and answer, again and again, nothing is lost or counted twice."""
    with serving(a=[transcript(audio_duration=None)]) as api:
        with collector(tmp_path, api) as setting:
            for name in ("a", "b", "c"):
                assert setting.notify(name, customer_id="Acme") == [201]
            api.wait_until_asked(1)
            setting.process.kill()
        (tmp_path / "data" / "pending.json").unlink(missing_ok=True)
        with collector(tmp_path, api) as setting:
            setting.until({"a": "", "b": "AssemblyAI answered 400", "c": "AssemblyAI answered 400"})
            api.answers.update(a=[transcript()], b=[transcript()])
            setting.until({"c": ""})
            setting.process.kill()
        with collector(tmp_path, api) as setting:
            api.answers.update(c=[transcript()])
            setting.until({})
            assert setting.usage()["today"]["count"] == 3
            assert len(setting.events()) == 6


def test_a_vendor_in_trouble_is_asked_by_one_and_slowly(tmp_path: Path) -> None:
    """A limit is kept to as it was said, for all; when it is over all are counted."""
    limited = Answer(status=429, headers={"Retry-After": "2"}, body=b"{}")
    names = [f"t{number}" for number in range(20)]
    with serving(**{name: [transcript()] for name in names}) as api:
        api.answers |= {name: [limited, transcript()] for name in names[:1]}
        with collector(tmp_path, api) as setting:
            setting.notify(names[0])
            api.wait_until_asked(1)
            for name in names[1:]:
                assert setting.notify(name) == [201]
            setting.until({})
            assert setting.usage()["today"]["count"] == len(names)
    (_, first), (_, second) = api.asked[:2]
    assert second - first >= 2


def test_an_outage_that_befalls_many_is_one_outage(tmp_path: Path) -> None:
    """Requests that fail together make nobody wait for as long as failures in a row would."""
    names = [f"t{number}" for number in range(16)]
    outage = [*[Answer(status=502, body=b"<html>")] * 8, transcript()]
    shared = dict.fromkeys(names, outage)
    with serving(**shared) as api, collector(tmp_path, api) as setting:
        setting.process.kill()
        # So that all of them are found in one look.
        setting.process.patch("usage_collector.pending.asking.PACE_SECONDS", 2.0).start()
        for name in names:
            assert setting.notify(name) == [201]
        setting.until({})
        assert setting.usage()["today"]["count"] == len(names)


def test_a_wrong_key_is_said_loudly_and_mended_by_the_right_one(tmp_path: Path) -> None:
    """All that is pending needs somebody; a new key in the file is tried at once."""
    with serving(a=[transcript()]) as api, collector(tmp_path, api) as setting:
        api.key = "another"
        setting.notify("a")
        setting.until({"a": "AssemblyAI answered 401"})
        assert "usage_transcripts_stuck 1.0" in setting.metrics()
        assert "check the API key" in setting.process.log.read_text()
        (tmp_path / "key").write_text("another")
        setting.until({})
        assert setting.usage()["today"]["count"] == 1


def test_a_person_can_settle_what_the_vendor_will_never_tell(tmp_path: Path) -> None:
    """The event that the manual shows takes the transcript off the list."""
    with serving() as api, collector(tmp_path, api) as setting:
        setting.notify("gone", customer_id="Acme", contract_id="7")
        setting.until({"gone": "AssemblyAI answered 400"})
        event = {
            "event": "TRANSCRIBER_DONE", "vendor": "assemblyai", "session_id": "gone",
            "contract_id": "7", "event_specific_data": {"total_received_duration": 281},
        }  # fmt: skip
        url = setting.process.ingest_url + "/v1/log"
        httpx.post(url, json=event, verify=setting.process.trusting()).raise_for_status()
        setting.notify("other", "error")
        setting.until({})


@pytest.mark.parametrize("known", [False, True])
def test_what_was_counted_months_ago_elsewhere_is_not_asked_for(
    tmp_path: Path, known: bool
) -> None:
    """A month knows of two before it; so a collector that was away looks who has it, and waits.

    Also where it had heard the other one before it went away.
    """
    long_ago = round(time.time() - 150 * 86_400) * 1_000_000
    notice = Notice("a", "completed", "Acme", "", {})
    done = notice.outcome(Transcript("completed", 281.0, "", "", ""), long_ago)
    assert done
    for folder, raw in (("other", done), ("data", notice.event)):
        (tmp_path / folder).mkdir()
        ledgers = Ledgers(tmp_path / folder, folder, "eu-1a", lambda: long_ago)
        ledgers.writer.append_and_wait(events.parse(raw))
        ledgers.close()
    other = CollectorProcess(tmp_path / "other", USAGE_NAME="other")
    peers = tmp_path / "peers"
    peers.write_text(f"{other.reporting_url}\n")
    if known:
        heard = Mark.peer(other.reporting_url, "other", "epoch", 1, long_ago, "eu-1a")
        store = Store(tmp_path / "data")
        store.fold([], long_ago, own=False, marks=[heard], epoch=store.epoch)
        store.close()
    with (
        serving(a=[transcript()]) as api,
        collector(tmp_path, api, USAGE_PEERS=f"@{peers}") as setting,
    ):
        setting.until({"a": "another collector may have counted it"})
        with other:
            setting.until({})
            assert [event["event"] for event in setting.events()] == ["TRANSCRIPT_NOTIFIED"]
            assert setting.usage()["summary"][0]["count"] == 1
        assert api.asked == []


def test_a_collector_that_is_emptied_settles_what_is_pending(tmp_path: Path) -> None:
    """It takes nothing more, says how many it still asks for, and stores what comes of them."""
    with (
        serving(a=[transcript(audio_duration=None)]) as api,
        collector(tmp_path, api) as setting,
    ):
        setting.notify("a")
        setting.until({"a": "AssemblyAI does not know its duration yet"})
        httpx.post(setting.process.reporting_url + "/v1/ingest/stop").raise_for_status()
        assert setting.get("/v1/periods")["pending"] == 1
        api.answers["a"] = [transcript()]
        setting.until({})
        assert setting.usage()["today"]["count"] == 1
