"""A month delivered from a job in a pod: to a volume, an S3 server, a mailbox and a web server."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.collector.places import (
    KEYS,
    LOGIN,
    Mailbox,
    Server,
    certificate,
    mail_server,
    s3_server,
    web_server,
)
from usage_collector.packages import Trust, key_id, read_public_keys, verify

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.system import System

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]

TOKEN = "Bearer secret-of-https"
SECRETS = (KEYS["AWS_SECRET_ACCESS_KEY"], LOGIN["USAGE_SMTP_PASSWORD"], TOKEN.split()[1])


def days_off(today: date) -> list[str]:
    """The rest of the month: so its last working day is today or before, and the month is due."""
    later = (today + timedelta(days=number) for number in range(1, 31))
    return [str(day) for day in later if day.month == today.month]


def just_now(now: datetime) -> str:
    """A time of today at which the export was due: its next run of its own comes tomorrow."""
    today = now.replace(hour=0, minute=0)
    return f"{max(today, now - timedelta(minutes=1)):%H:%M}"


class Watched(Server):
    """A web server that looks at this machine's process list while it is sent something."""

    def __init__(self) -> None:
        super().__init__()
        self.processes = b""
        self.header = TOKEN
        self.answer = self._look

    def _look(self) -> None:
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                self.processes += path.read_bytes().replace(b"\0", b" ") + b"\n"
            except OSError:
                continue


@dataclass
class Places:
    """The servers with what they have got; ``named`` is how a resource names them.

    What is to come is the month of ``now``, which may end while the tests run.
    """

    now: datetime
    bucket: Path
    box: Mailbox
    site: Watched
    named: list[dict[str, Any]]

    @property
    def period(self) -> str:
        """The month, as it is named."""
        return f"{self.now:%Y-%m}"

    def flags(self) -> tuple[str, ...]:
        """Where the month has no working day yet, no rule makes it due."""
        days = (self.now.replace(day=number) for number in range(1, self.now.day + 1))
        return () if any(day.weekday() < 5 for day in days) else ("--period", self.period)

    def folders(self, folder: Path) -> dict[str, Path]:
        """The month as each of them has it, as files."""
        mailed, put = folder / "mailed", folder / "put"
        for there, files in (
            (mailed, self.box.files()),
            (put, [(Path(path).name, body) for path, body in self.site.kept.items()]),
        ):
            there.mkdir()
            for name, body in files:
                (there / name).write_bytes(body)
        return {"bucket": self.bucket / "usage" / self.period, "mailbox": mailed, "site": put}


@pytest.fixture(scope="module")
def host(system: System) -> str:
    """This machine's address as the nodes see it."""
    return system.host


@pytest.fixture(scope="module")
def places(system: System, host: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    """Three servers that pods can reach."""
    folder = tmp_path_factory.mktemp("places")
    pem, box = certificate(folder, "good", host=host), Mailbox()
    with ExitStack() as stack:
        endpoint = stack.enter_context(s3_server(folder / "s3", pem, host))
        options = stack.enter_context(mail_server(pem, box, host))
        site = Watched()
        stack.enter_context(web_server(pem, host, site))
        port = int(dict(one.split("=") for one in options.split("&"))["port"])
        named: list[dict[str, Any]] = [
            {"volume": {"size": "1Gi"}},
            {"s3": {"bucket": "months", "prefix": "usage", "endpoint": endpoint}},
            {"email": {"to": ["a@example.org"], "from": "u@x.org", "host": host, "port": port}},
            {"https": {"url": site.address.partition("?")[0]}},
        ]
        for one in named[1:]:
            (wanted,) = one.values()
            wanted |= {"secretName": next(iter(one)), "caKey": "ca.crt"}
        yield Places(datetime.now(UTC), folder / "s3/months", box, site, named)


def give(system: System, folder: Path, wrong: str = "") -> None:
    """The destinations' Secrets; with ``wrong`` in each place of a secret."""
    given = {
        "s3": KEYS | {"AWS_SECRET_ACCESS_KEY": KEYS["AWS_SECRET_ACCESS_KEY"] + wrong},
        "email": LOGIN | {"USAGE_SMTP_PASSWORD": LOGIN["USAGE_SMTP_PASSWORD"] + wrong},
        "https": {"USAGE_HTTPS_HEADER": f"Authorization: {TOKEN}{wrong}"},
    }
    for name, values in given.items():
        data = values | {"ca.crt": (folder / "good.crt").read_text()}
        kind = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}}
        system.apply({**kind, "stringData": data})


@pytest.fixture(scope="module")
def ready(system: System, places: Places) -> System:
    """A collector with a few events whose month is due, and wrong passwords for all servers."""
    give(system, places.bucket.parents[1], wrong="-of-yesterday")
    holidays = {"dates": days_off(places.now.date())}
    export = {"at": just_now(places.now), "holidays": holidays, "destinations": places.named}
    system.apply(system.resource({"zones": [{"name": "eu-1a"}], "export": export}))
    system.wait_ready()
    system.simulate("--jobs=20", "--sessions=2", "--seed=5")
    return system


def condition(system: System, reason: str) -> str:
    """What the condition `Exported` says, once it has that reason."""
    found = "jsonpath={.status.conditions[?(@.type=='Exported')].reason}"
    system.wait(f"uc/{system.name}", f"{found}={reason}")
    conditions = system.get("uc", system.name)["status"]["conditions"]
    return next(str(one["message"]) for one in conditions if one["type"] == "Exported")


def told(system: System, job: str) -> str:
    """Everything that people are shown of an export: objects, logs, events."""
    shown = [
        json.dumps(system.get("uc,pods,jobs,cronjobs,events,configmaps")),
        system.kubectl("logs", f"job/{job}"),
        system.kubectl("logs", "deployment/usage-operator"),
    ]
    return "\n".join(shown)


def test_wrong_passwords_are_told_by_each_server_and_hold_nobody_back(
    ready: System, places: Places
) -> None:
    """The volume has the month; the condition has each server's words, and no secret is shown."""
    summary = ready.export(*places.flags(), name="refused")
    volume = f"/exports/{places.period}"
    assert (summary["result"], summary["delivered"]) == ("incomplete", [volume])
    said = condition(ready, "DeliveryFailed")
    for words in ("SignatureDoesNotMatch", "refuses the credentials: 535", "401 Unauthorized"):
        assert words in said
    status = ready.get("uc", ready.name)["status"]["lastExport"]
    assert (status["result"], len(status["failed"])) == ("incomplete", 3)
    assert (list(places.bucket.rglob("*.gz")), places.box.got, places.site.kept) == ([], [], {})
    shown = told(ready, "refused") + places.site.processes.decode(errors="replace")
    assert [secret for secret in SECRETS if secret in shown] == []


def test_the_next_run_delivers_to_all_who_lack_it(
    ready: System, places: Places, tmp_path: Path
) -> None:
    """With the right passwords: each server has the month whole, once, and it verifies."""
    give(ready, places.bucket.parents[1])
    period = places.period
    summary = ready.export(*places.flags(), name="accepted")
    assert (summary["result"], summary["failed"]) == ("exported", [])
    condition(ready, "Exported")
    status = ready.get("uc", ready.name)["status"]["lastExport"]
    assert (status["period"], status["events"]) == (period, summary["events"])
    assert status["delivered"][0] == f"/exports/{period}"
    assert status["delivered"][1:3] == [f"s3://months/usage/{period}", "mailto:a@example.org"]
    assert len(status["delivered"]) == 4
    (tmp_path / "proof-key.pem").write_text(ready.proof_key())
    keys = read_public_keys(tmp_path / "proof-key.pem")
    names = [name for name, _ in places.box.files()]
    assert len(names) == len(set(names))
    for folder in places.folders(tmp_path).values():
        report = verify([folder], Trust(proofs={key_id(one): one for one in keys}))
        assert (report.ok, report.self_asserted) == (True, False)
        assert report.events == summary["events"]
    shown = told(ready, "accepted") + places.site.processes.decode(errors="replace")
    assert [secret for secret in SECRETS if secret in shown] == []
    if ready.cluster.provider == "local":
        assert b"export-month" in places.site.processes


def test_a_run_in_between_finds_nothing_due(ready: System, places: Places) -> None:
    """Nobody is sent anything again, and the resource still tells of the month."""
    before = (len(places.box.got), len(places.site.seen))
    assert ready.export(name="again")["result"] == "nothing-due"
    condition(ready, "NothingDue")
    assert ready.get("uc", ready.name)["status"]["lastExport"]["period"] == places.period
    assert (len(places.box.got), len(places.site.seen)) == before
