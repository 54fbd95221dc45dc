"""From a notification to the bill: a real collector, and a server that behaves like AssemblyAI."""

from __future__ import annotations

import socket
import ssl
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import httpx
import pytest

from tests.collector.places import certificate
from tests.collector.process import CollectorProcess, free_port
from tests.collector.vendors.assemblyai import (
    ATTEMPTS,
    KEY,
    TEXT,
    Answer,
    AssemblyAI,
    notify,
    serving,
    transcript,
)
from usage_collector import events
from usage_collector.ledger import Ledgers
from usage_collector.usage.store import Mark, Store
from usage_collector.vendors.assemblyai.notices import Notice
from usage_collector.vendors.assemblyai.transcripts import Transcript

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HEADER = ("x-webhook-secret", "0123456789abcdef")
PATIENCE = 60.0
"""Seconds that anything may take on a busy machine."""


@dataclass
class Setting:
    """A collector that takes notifications, and the API that it asks."""

    api: AssemblyAI
    process: CollectorProcess
    port: int

    def notify(self, name: str, status: str = "completed", **query: str) -> list[int]:
        """Send a notification, as often as AssemblyAI would."""
        said = {"transcript_id": name, "status": status}
        return notify(self.url + "?" + urlencode(query), HEADER, said, self.process.trusting())

    def post(self, **options: Any) -> httpx.Response:
        """Send anything to the webhook, once."""
        return httpx.post(self.url, verify=self.process.trusting(), timeout=PATIENCE, **options)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}/v1/webhooks/assemblyai"

    def get(self, path: str) -> Any:
        """What the reporting listener says."""
        return httpx.get(self.process.reporting_url + path, timeout=PATIENCE).json()

    def events(self) -> list[dict[str, Any]]:
        """All that is stored."""
        accept = {"Accept": "application/json"}
        answer = httpx.get(self.process.reporting_url + "/v1/export", headers=accept)
        found: list[dict[str, Any]] = answer.json()["payload"]["events"]
        return found

    def pending(self) -> dict[str, str]:
        """What is in the way, by transcript."""
        lines = self.get("/v1/webhooks/pending")["pending"]
        return {line["transcript_id"]: line["problem"] for line in lines}

    def until(self, wanted: dict[str, str]) -> None:
        """Returns once these are pending for what begins so."""
        end = time.monotonic() + PATIENCE
        while True:
            found = self.pending()
            fits = all(found[name].startswith(why) for name, why in wanted.items() if name in found)
            # Null: not all that is stored was looked at, so there may be more.
            whole = wanted or self.get("/v1/periods")["pending"] == 0
            if found.keys() == wanted.keys() and fits and whole:
                return
            assert time.monotonic() < end, found
            time.sleep(0.05)

    def usage(self) -> dict[str, Any]:
        """Today's usage by customer, with what may be missing."""
        today = f"{datetime.now(UTC):%Y-%m-%d}"
        # Asking for usage has what was stored counted first.
        said: dict[str, Any] = self.get("/v2/usage?group_by=customer")
        days = self.get(f"/v1/coverage?since={today}&until={today}")["days"]
        return {**said, "today": days[0]}

    def metrics(self) -> str:
        """What Prometheus reads."""
        return httpx.get(self.process.reporting_url + "/metrics").text


@contextmanager
def collector(folder: Path, api: AssemblyAI, **variables: str) -> Iterator[Setting]:
    """Runs a collector that takes notifications."""
    (folder / "headers").write_text("X-Webhook-Secret: 0123456789abcdef\n")
    (folder / "key").write_text(KEY + "\n")
    port = free_port()
    process = CollectorProcess(
        folder / "data",
        USAGE_WEBHOOKS_PORT=str(port),
        USAGE_WEBHOOKS_HEADERS_FILE=str(folder / "headers"),
        USAGE_ASSEMBLYAI_KEY_FILE=str(folder / "key"),
        USAGE_ASSEMBLYAI_URL=api.url,
        **variables,
    )
    process.patch("usage_collector.pending.asking.REFUSED_SECONDS", 0.5)
    process.patch("usage_collector.pending.asking.LOOK_SECONDS", 2.0)
    with process.there_since(2 * 86_400):
        yield Setting(api, process, port)


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
        assert "1 AssemblyAI transcripts are pending" in said["partial"][0]["reason"]
        assert said["today"]["coverage"] < 1
        assert said["today"]["count"] is None
        assert "usage_transcripts_pending 1.0" in setting.metrics()
        assert "usage_transcripts_stuck 0.0" in setting.metrics()


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


def test_whoever_lacks_the_header_is_refused_for_good(tmp_path: Path) -> None:
    """Nothing of theirs is stored, and no retries come."""
    with serving() as api, collector(tmp_path, api) as setting:
        tls = setting.process.trusting()
        body = {"transcript_id": "a", "status": "completed"}
        assert notify(setting.url, ("x-webhook-secret", "no"), body, tls) == [401]
        assert notify(setting.url, ("authorization", HEADER[1]), body, tls) == [401]
        # It is no Bearer token that is wanted, and which header it is is not told.
        refused = setting.post(json=body)
        assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "WebhookHeader")
        assert HEADER[0].lower() not in str(refused.headers).lower() + refused.text.lower()
        assert setting.events() == []
        assert HEADER[1] not in setting.process.log.read_text()


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"content": b"{"}, 400),
        ({"json": {"transcript_id": "../../v2/account", "status": "completed"}}, 400),
        ({"content": b" " * 70_000}, 413),
        ({"content": b"x", "headers": {"Content-Encoding": "br"}}, 415),
    ],
)
def test_what_is_no_notification_is_refused(
    tmp_path: Path, options: dict[str, Any], status: int
) -> None:
    """With the header too; nothing is asked for."""
    with serving() as api, collector(tmp_path, api) as setting:
        headers = {HEADER[0]: HEADER[1], **options.pop("headers", {})}
        assert setting.post(headers=headers, **options).status_code == status
        assert setting.events() == []
    assert not api.asked


def test_without_storage_the_vendor_comes_again(tmp_path: Path) -> None:
    """What cannot be made durable is 503, ten times if need be, and taken once it can be."""
    with serving(a=[transcript()]) as api, collector(tmp_path, api) as setting:
        stop = setting.process.reporting_url + "/v1/ingest/stop"
        httpx.post(stop).raise_for_status()
        assert setting.notify("a") == [503] * ATTEMPTS
        assert not api.asked
        httpx.post(setting.process.reporting_url + "/v1/ingest/start").raise_for_status()
        assert setting.notify("a") == [201]
        setting.until({})
        assert setting.usage()["today"]["count"] == 1


def test_a_body_that_does_not_come_may_come_again(tmp_path: Path) -> None:
    """A slow network is no reason to give up for good, and whoever lacks the header waits not."""
    with serving() as api, collector(tmp_path, api) as setting:
        setting.process.stop()
        setting.process.patch("usage_collector.web.bodies.READ_SECONDS", 0.2).start()
        for value, status in ((HEADER[1], b"503"), ("no", b"401")):
            head = (
                "POST /v1/webhooks/assemblyai HTTP/1.1\r\nHost: localhost\r\n"
                f"{HEADER[0]}: {value}\r\nContent-Length: 60\r\n\r\n{{"
            )
            address = ("127.0.0.1", setting.port)
            with (
                socket.create_connection(address, timeout=PATIENCE) as plain,
                setting.process.trusting().wrap_socket(plain, server_hostname="localhost") as tls,
            ):
                tls.sendall(head.encode())
                assert tls.recv(1000).split()[1] == status


def test_a_certificate_that_comes_later_is_taken_up(tmp_path: Path) -> None:
    """Until then that of the other listeners serves; events wait for neither."""
    made = certificate(tmp_path, "public", host="127.0.0.1")
    text = made.read_bytes()
    made.unlink()
    given = {
        "USAGE_WEBHOOKS_TLS_CERT_FILE": str(made),
        "USAGE_WEBHOOKS_TLS_KEY_FILE": str(made),
    }
    with serving() as api, collector(tmp_path, api, **given) as setting:
        assert setting.notify("a", "error") == [201]
        made.write_bytes(text)
        trusting = ssl.create_default_context(cafile=str(made))
        url, end = setting.url.replace("/v1/webhooks/assemblyai", "/readyz"), time.monotonic()
        while time.monotonic() < end + PATIENCE:
            try:
                assert httpx.get(url, verify=trusting).status_code == 200
                break
            except httpx.ConnectError:
                time.sleep(0.1)
        else:
            pytest.fail("the old certificate is still in use")


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


def test_the_listener_is_off_until_there_is_a_header(tmp_path: Path) -> None:
    """Nothing listens without one; one without a key is a mistake that is named."""
    port = free_port()
    with CollectorProcess(tmp_path / "data", USAGE_WEBHOOKS_PORT=str(port)) as process:
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"https://127.0.0.1:{port}/healthz", verify=process.trusting())
        assert httpx.get(process.reporting_url + "/v1/webhooks/pending").json() == {"pending": []}
