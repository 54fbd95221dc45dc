"""Alerts at thresholds of quotas: each once."""

from __future__ import annotations

import json
import ssl
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.collector.process import CollectorProcess
from tests.collector.samples import array, event
from tests.collector.usage.receiver import Receiver, receiver
from usage_collector.errors import InvalidInput, StorageUnavailable
from usage_collector.keystore import Keystore
from usage_collector.periods import microseconds
from usage_collector.sessions import SECOND
from usage_collector.usage import alerting
from usage_collector.usage.alerting import Alerting, responsible
from usage_collector.usage.exchange import Known
from usage_collector.usage.policy import PolicyFile
from usage_collector.usage.told import Alert, Book, Told, Waiting

NOW = microseconds(datetime(2026, 10, 20, 12, tzinfo=UTC))
MINUTE = 60 * SECOND


def _line(customer: str, used: float, quota: float | None, **more: object) -> dict[str, Any]:
    given = {"customer": customer, "name": customer, "plan": None, "month": "2026-10"}
    forecast = {"hours": 9.5, "low": 8.0, "high": 11.0}
    figures = {"used_hrs": used, "quota_hrs": quota, "forecast": forecast}
    return {**given, **figures, "sessions": 0, "quota_sessions": None, **more}


class Setup:
    """Alerting in a folder, towards a receiver, with a clock that the test moves."""

    def __init__(self, folder: Path, to: Receiver, **more: object) -> None:
        self.now = NOW
        self.folder = folder
        (folder / "header").write_text("Authorization: Bearer secret\n")
        hook = {"url": to.url, "insecure": True, "header_file": str(folder / "header")}
        self.file = folder / "limits.json"
        self.file.write_text(
            json.dumps({"name": "f", "thresholds": [50, 80, 100], "webhooks": [hook], **more})
        )
        self.restart()

    def restart(self) -> None:
        self.alerting = Alerting(Book(self.folder), PolicyFile(self.file), "c-0", lambda: self.now)

    def run(self, *lines: dict[str, Any], lacking: tuple[str, ...] = ()) -> None:
        self.alerting.run(lines, lacking)


def test_each_threshold_is_told_once(tmp_path: Path) -> None:
    """Also after a restart; with the forecast and its bounds, and what is missing."""
    with receiver() as to:
        setup = Setup(tmp_path, to)
        setup.run(_line("acme", 5, 10), _line("idle", 4.9, 10), lacking=("c-1",))
        setup.run(_line("acme", 7, 10))
        setup.restart()
        setup.run(_line("acme", 7, 10), _line("idle", 4, 10))
        setup.run(_line("acme", 12, 10))
        assert [one[:2] for one in to.taken] == [("acme", 0.5), ("acme", 0.8), ("acme", 1.0)]
        assert len({one["key"] for one in to.got}) == 3
        first = to.got[0]
        assert first["authorization"] == "Bearer secret"
        assert first["body"] == {
            "id": first["key"],
            "type": "quota",
            "fleet": "f",
            "customer": "acme",
            "name": "acme",
            "plan": None,
            "month": "2026-10",
            "what": "monthly_hours",
            "threshold": 0.5,
            "quota": 10.0,
            "used": 5,
            "forecast": {"hours": 9.5, "low": 8.0, "high": 11.0},
            "partial": ["c-1"],
            "time": "2026-10-20T12:00:00Z",
            "collector": "c-0",
        }


def test_another_quota_and_another_month_are_other_alerts(tmp_path: Path) -> None:
    """A quota that was raised warns again when it is reached; so do sessions at once."""
    with receiver() as to:
        setup = Setup(tmp_path, to, thresholds=[100])
        setup.run(_line("acme", 10, 10))
        setup.run(_line("acme", 10, 20))
        setup.run(_line("acme", 20, 20, sessions=3, quota_sessions=3))
        setup.run(_line("acme", 20, 20, month="2026-11"))
        told = [(one["body"]["month"], one["body"]["what"], one["body"]["quota"]) for one in to.got]
        assert told == [
            ("2026-10", "monthly_hours", 10),
            ("2026-10", "monthly_hours", 20),
            ("2026-10", "concurrent_sessions", 3),
            ("2026-11", "monthly_hours", 20),
        ]
        assert to.got[2]["body"]["forecast"] is None


@pytest.mark.parametrize(("parts", "told_at"), [([80, 100], 1), ([50, 80], 0.8), ([110, 150], 1.1)])
def test_a_quota_of_nothing_is_told_once(tmp_path: Path, parts: list[int], told_at: float) -> None:
    """Not at each threshold, since all are reached at once; and not while nothing is used."""
    with receiver() as to:
        setup = Setup(tmp_path, to, thresholds=parts)
        nothing = _line("none", 0, 0, quota_sessions=0)
        setup.run(nothing)
        setup.run({**nothing, "month": "2026-11"})
        assert to.got == []
        setup.run(_line("none", 0.001, 0, quota_sessions=0))
        setup.run(_line("none", 0.001, 0, quota_sessions=0, sessions=1))
        told = [(one["body"]["what"], one["body"]["threshold"]) for one in to.got]
        assert told == [(what, told_at) for what in ("monthly_hours", "concurrent_sessions")]


def test_what_is_refused_waits_ever_longer(tmp_path: Path, caplog: Any) -> None:
    """Nothing is tried before its time, `Retry-After` is kept to, and no secret is logged."""
    with receiver(500, 429, 302, Retry_After="120", Location="http://127.0.0.1:1/") as to:
        setup = Setup(tmp_path, to, thresholds=[100])
        setup.run(_line("acme", 10, 10))
        setup.now += 4 * SECOND
        setup.run()
        assert [one["status"] for one in to.got] == [500]
        setup.now += SECOND
        setup.run()
        setup.now += 119 * SECOND
        setup.run()
        assert [one["status"] for one in to.got] == [500, 429]
        setup.now += SECOND
        setup.run()
        setup.now += 20 * SECOND
        setup.run(_line("acme", 11, 10))
        assert [one["status"] for one in to.got] == [500, 429, 302, 200]
        # The same bytes each time, although more was used meanwhile.
        assert len({json.dumps(one["body"]) for one in to.got}) == 1
        assert not setup.alerting.book.waiting
    assert "secret" not in caplog.text


def test_a_lost_answer_is_the_only_reason_to_come_twice(tmp_path: Path) -> None:
    """Under the same key, so that the receiver can tell; also from another collector."""
    with receiver(0) as to:
        setup = Setup(tmp_path, to, thresholds=[100])
        setup.run(_line("acme", 10, 10))
        setup.restart()
        setup.run(_line("acme", 10, 10))
        assert [one["status"] for one in to.got] == [0, 200]
        assert to.got[0]["key"] == to.got[1]["key"]
        other = tmp_path / "other"
        other.mkdir()
        elsewhere = Setup(other, to, thresholds=[100])
        elsewhere.alerting.book.join(setup.alerting.book.news(""))
        elsewhere.run(_line("acme", 10, 10))
        assert len(to.got) == 2
        unaware = tmp_path / "unaware"
        unaware.mkdir()
        Setup(unaware, to, thresholds=[100]).run(_line("acme", 10, 10))
        assert to.got[2]["key"] == to.got[0]["key"]


def test_what_was_sent_and_cannot_be_noted_is_not_sent_again(tmp_path: Path) -> None:
    """A full disk does not send an alert every few seconds; it is noted once there is room."""
    with receiver(503) as to:
        setup = Setup(tmp_path, to, thresholds=[100])
        setup.run(_line("acme", 10, 10))
        in_the_way = tmp_path / "alerts.json"
        in_the_way.unlink()
        in_the_way.mkdir()
        for _ in range(3):
            setup.now += MINUTE
            with pytest.raises(StorageUnavailable):
                setup.run(_line("acme", 10, 10))
        assert [one["status"] for one in to.got] == [503, 200]
        in_the_way.rmdir()
        setup.run(_line("acme", 10, 10))
        setup.restart()
        setup.run(_line("acme", 10, 10))
        assert len(to.got) == 2


def test_one_that_is_never_taken_holds_up_no_other(tmp_path: Path) -> None:
    """The next attempt is made with another alert."""
    with receiver(400) as to:
        setup = Setup(tmp_path, to, thresholds=[100])
        setup.run(_line("bad", 10, 10), _line("good", 10, 10))
        setup.now += 5 * SECOND
        to.answers.append(200)
        to.answers.append(400)
        setup.run()
        assert [(one["body"]["customer"], one["status"]) for one in to.got] == [
            ("bad", 400), ("good", 200), ("bad", 400)
        ]  # fmt: skip


@pytest.mark.parametrize("host", [".a.", "a" * 64 + ".org", "xn--", "example.org:port"])
def test_a_host_that_is_none_holds_up_no_other(tmp_path: Path, caplog: Any, host: str) -> None:
    """That is found out when it is asked for, and told like a server that is away."""
    with receiver() as to:
        hooks = [{"url": f"https://{host}/secret"}, {"url": to.url, "insecure": True}]
        setup = Setup(tmp_path, to, thresholds=[100])
        setup.file.write_text(json.dumps({"thresholds": [100], "webhooks": hooks}))
        setup.restart()
        setup.run(_line("acme", 10, 10))
        assert [one[:2] for one in to.taken] == [("acme", 1.0)]
        assert f"https://{host.partition(':')[0]} cannot be reached" in caplog.text
        assert "/secret" not in caplog.text


def test_one_collector_is_responsible() -> None:
    """The lowest name; another only once it was away for long, or turns out not to be there."""

    def known(name: str, heard: int | None) -> Known:
        return Known(f"https://{name}", name, heard=heard)

    away = NOW - alerting.TAKEOVER - 1
    assert responsible("a", [known("b", NOW)], NOW, away)
    assert not responsible("b", [known("a", NOW - MINUTE)], NOW, away)
    assert not responsible("b", [known("a", away)], NOW, NOW - MINUTE)
    assert responsible("b", [known("a", away), known("c", NOW)], NOW, away)
    assert not responsible("a", [known("", None)], NOW, NOW - MINUTE)
    assert responsible("a", [known("", None)], NOW, away)
    assert responsible("a", [], NOW, NOW)


_told = st.lists(
    st.builds(
        Told,
        st.builds(
            Alert,
            st.sampled_from("ab"),
            st.sampled_from(["2026-09", "2026-10"]),
            st.just("monthly_hours"),
            st.sampled_from([0.5, 1.0]),
            st.just(4.0),
        ),
        st.sampled_from("xy"),
        st.integers(0, 3),
    ),
    max_size=6,
)


@given(_told, _told)
@settings(max_examples=25, deadline=None)
def test_books_join_in_any_order(one: list[Told], two: list[Told]) -> None:
    """Collectors that told each other everything know the same, and keep it."""
    with tempfile.TemporaryDirectory() as name:
        books = []
        for number, (first, second) in enumerate(((one, two), (two, one))):
            folder = Path(name) / str(number)
            folder.mkdir()
            book = Book(folder)
            book.wait([Waiting(told.alert, told.target, "{}") for told in one])
            book.join(first)
            book.join(second)
            books.append(book)
            again = Book(folder)
            assert (again.told, again.waiting) == (book.told, book.waiting)
            assert not book.waiting
        assert books[0].digest == books[1].digest
        assert books[0].news(books[1].digest) == []
        books[0].forget("2026-10", ["x"])
        assert {key[0].month for key in books[0].told} <= {"2026-10"}


def test_a_damaged_book_is_set_aside(tmp_path: Path) -> None:
    """It begins empty and learns from the others what was sent."""
    (tmp_path / "alerts.json").write_bytes(b"{")
    assert Book(tmp_path).told == {}
    assert (tmp_path / "alerts.damaged").read_bytes() == b"{"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "object"),
        ('{"colour": 1}', "colour"),
        ('{"thresholds": []}', "thresholds"),
        ('{"thresholds": [0]}', "thresholds"),
        ('{"plans": {"a": {"monthly_hours": -1}}}', "plans"),
        ('{"quotas": {"a": {"plan": "none"}}}', "quotas.a"),
        ('{"webhooks": [{"url": "http://example.org/x"}]}', "is not https"),
        ('{"webhooks": [{"url": "https://me:pw@example.org/x"}]}', "password"),
        ('{"webhooks": [{"url": "nowhere"}]}', "no address"),
        ('{"webhooks": [{"url": "https://[::1/x"}]}', "no address"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(tmp_path: Path, text: str, said: str) -> None:
    """It names the member; while running, the last good one stays in use."""
    file = tmp_path / "limits.json"
    file.write_text('{"thresholds": [70]}')
    used = PolicyFile(file)
    file.write_text(text)
    with pytest.raises(InvalidInput, match=said) as refused:
        used.refresh()
    assert refused.value.hint
    assert "pw" not in str(refused.value)
    assert used.policy.parts == (0.7,)
    with pytest.raises(InvalidInput):
        PolicyFile(file)


def test_a_header_that_is_not_there_yet_is_waited_for(tmp_path: Path, caplog: Any) -> None:
    """A Secret that is missing holds up alerts only, and one that is replaced counts at once."""
    with receiver() as to:
        setup = Setup(tmp_path, to, thresholds=[100])
        (tmp_path / "header").unlink()
        setup.run(_line("acme", 10, 10))
        assert not to.got
        assert "cannot be read" in caplog.text
        (tmp_path / "header").write_text("Authorization: Bearer another")
        setup.now += 5 * SECOND
        setup.run()
        assert to.got[0]["authorization"] == "Bearer another"


def test_only_a_server_that_is_trusted_is_told(tmp_path: Path, caplog: Any) -> None:
    """Of a certificate that nobody vouches for the alert, and the header, are kept."""
    pair = Keystore(tmp_path, None, None).certificate("here", datetime.now(UTC))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    with receiver(tls=context) as to:
        setup = Setup(tmp_path, to, thresholds=[100])
        setup.run(_line("acme", 10, 10))
        assert not to.got
        assert "CERTIFICATE_VERIFY_FAILED" in caplog.text
        hook = {"url": to.url, "ca_file": str(pair.certificate)}
        setup.file.write_text(json.dumps({"thresholds": [100], "webhooks": [hook]}))
        setup.restart()
        setup.run(_line("acme", 10, 10))
        assert [one[0] for one in to.taken] == ["acme"]


def test_a_fleet_tells_once(tmp_path: Path) -> None:
    """Of two collectors one sends; killed and started again, or replaced, nothing comes twice."""
    peers = tmp_path / "peers"
    limits = tmp_path / "limits.json"
    limits.write_text("{}")
    now = datetime.now(UTC).isoformat()

    def collector(name: str) -> CollectorProcess:
        made = CollectorProcess(
            tmp_path / name, USAGE_NAME=name, USAGE_PEERS=f"@{peers}", EATS_SECURE="false",
            USAGE_LIMITS_FILE=str(limits),
        )  # fmt: skip
        for what in ("EXCHANGE_SECONDS", "ALERT_SECONDS"):
            made.patch(f"usage_collector.usage.fleet.{what}", 0.2)
        return made.patch("usage_collector.usage.alerting.TAKEOVER", 3_600_000_000)

    def use(of: CollectorProcess, hours: int) -> None:
        raw = event(duration=hours * 3600, time_stamp=now)
        httpx.post(f"{of.ingest_url}/v1/log", content=array([raw])).raise_for_status()

    def until(of: CollectorProcess, sent: int) -> None:
        deadline = time.monotonic() + 60
        while True:
            alerts = httpx.get(f"{of.reporting_url}/v1/limits").json()["alerts"]
            if (len(alerts["sent"]), alerts["waiting"]) == (sent, 0):
                return
            assert time.monotonic() < deadline, alerts
            time.sleep(0.05)

    one, two = collector("a"), collector("b")
    peers.write_text("\n".join(each.reporting_url for each in (one, two)))
    with receiver() as to, one, two:
        hook = {"url": to.url, "insecure": True}
        quotas = {"Acme": {"monthly_hours": 10}}
        limits.write_text(json.dumps({"quotas": quotas, "webhooks": [hook]}))
        use(two, 9)
        until(two, 1)
        assert [each["body"]["collector"] for each in to.got] == ["a"]
        one.kill()
        one.start()
        use(one, 3)
        until(one, 2)
        until(two, 2)
        one.kill()
        two.kill()
        limits.write_text(
            json.dumps({"quotas": quotas, "thresholds": [80, 100, 110], "webhooks": [hook]})
        )
        two.patch("usage_collector.usage.alerting.TAKEOVER", 500_000).start()
        until(two, 3)
        assert [each[1] for each in to.taken] == [0.8, 1.0, 1.1]
        assert to.got[-1]["body"]["collector"] == "b"
        metrics = httpx.get(f"{two.reporting_url}/metrics").text
        at = 'usage_customers_at_quota{part="1.1",what="monthly_hours"} 1.0'
        assert at in metrics
        assert "usage_quotas_exceeded 1.0" in metrics
        assert "Acme" not in metrics
