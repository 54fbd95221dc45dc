"""Several collectors behind one address without Kubernetes: the compose file and its proxy."""

from __future__ import annotations

import asyncio
import re
import shutil
import signal
import socket
import subprocess
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import yaml

from tests.collector.debian import needed
from tests.collector.processes import Collector, collectors, command, free_port
from usage_collector import settings
from usage_collector.simulate import Line, Plan, Sender, Tally, timeline

if TYPE_CHECKING:
    from collections.abc import Iterator

COMPOSE = Path(__file__).resolve().parents[2] / "deploy/compose"
CONFIG = COMPOSE / "haproxy.cfg"
FILE: Any = yaml.safe_load((COMPOSE / "compose.yaml").read_text())
SERVING = {name: one for name, one in FILE["services"].items() if name.startswith("collector-")}


@contextmanager
def proxy(folder: Path, made: list[Collector]) -> Iterator[int]:
    """HAProxy with the product's configuration, of which only the addresses are changed."""
    program = needed(
        "haproxy", lambda: shutil.which("haproxy") or shutil.which("/usr/sbin/haproxy")
    )
    port, text = free_port(), CONFIG.read_text()
    text = text.replace("bind :9090", f"bind 127.0.0.1:{port}")
    for name, one in zip(SERVING, made, strict=True):
        text = text.replace(f" {name}:9090", f" {one.target}")
    config = folder / "haproxy.cfg"
    config.write_text(text)
    subprocess.run([program, "-c", "-q", "-f", config], check=True)
    with (folder / "haproxy.log").open("wb") as log:
        process = subprocess.Popen([program, "-f", config], stdout=log, stderr=log)
        try:
            _wait(process, port)
            yield port
        finally:
            process.terminate()
            process.wait(60)


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    while process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            continue
        return
    raise AssertionError("haproxy ended")


def events_of(one: Collector) -> int:
    """How many events a collector holds."""
    with httpx.Client(trust_env=False) as client:
        ledgers = client.get(f"http://{one.address}/v1/periods").json()["ledgers"]
    return sum(int(ledger["last"]) for ledger in ledgers)


def test_the_proxy_spreads_and_a_killed_collector_costs_nothing(tmp_path: Path) -> None:
    """Clients that retry lose no event while a collector is killed under load."""
    with collectors(tmp_path, 3) as made, proxy(tmp_path, made) as port:
        tally = Tally()
        # In the field three seconds are enough, but not on a machine that is busy with tests.
        line = Line([f"https://127.0.0.1:{port}"], 8, reconnect=True, tls=False, patience=60)

        def sender(jobs: int, seed: int) -> Sender:
            plan = Plan(jobs=jobs, sessions=0, start=0, span=10**9)
            return Sender(line, timeline(plan, Random(seed)), tally)

        async def killing() -> None:
            sending = asyncio.create_task(sender(1000, 4).run())
            while tally.events < 506 + 100:
                await asyncio.sleep(0)
                assert not sending.done()
            await asyncio.to_thread(made[1].stop, signal.SIGKILL)
            await sending

        asyncio.run(sender(500, 3).run())
        spread = [events_of(one) for one in made]
        assert min(spread) > 0.8 * sum(spread) / 3, spread
        asyncio.run(killing())
        assert (tally.lost, tally.refused, tally.events) == (0, 0, 1512)
        made[1].start()
        assert sum(map(events_of, made)) >= 1512
        keys = ("--peers", ",".join(one.address for one in made))
        month = command(
            *("export-month", "--period", _month(), *keys, "--to", tmp_path / "out", "--json"),
            environment=made[0].environment,
        )
        assert (month.code, month.facts["events"]) == (0, sum(map(events_of, made)))
        totals = command("verify", tmp_path / "out", "--json").facts["totals"]
        assert totals["count"] == 1500


def _month() -> str:
    from datetime import UTC, datetime

    return f"{datetime.now(UTC):%Y-%m}"


def test_a_collector_that_is_not_ready_gets_nothing_new(tmp_path: Path) -> None:
    """While it drains it still answers, so that only its readiness keeps clients away."""
    with collectors(tmp_path, 3) as made:
        leaving = made[2]
        leaving.stop()
        leaving.environment["USAGE_DRAIN_SECONDS"] = "600"
        leaving.start()
        with proxy(tmp_path, made) as port, httpx.Client(verify=False, trust_env=False) as client:
            assert leaving.process
            leaving.process.send_signal(signal.SIGTERM)
            log = tmp_path / "haproxy.log"
            while "collector-c is DOWN" not in log.read_text():
                assert leaving.process.poll() is None
            for number in range(9):
                fresh = {"Connection": "close"}
                body = b'{"n":%d}' % number
                answer = client.post(
                    f"https://127.0.0.1:{port}/v1/log", content=body, headers=fresh
                )
                assert answer.status_code == 201
            assert [events_of(one) for one in made[:2]] in ([5, 4], [4, 5])
            assert events_of(leaving) == 0
            leaving.process.send_signal(signal.SIGTERM)


@pytest.mark.parametrize("name", SERVING)
def test_the_collectors_of_the_compose_file_can_start(name: str) -> None:
    """Each has its own name, zone, volume and port, and only settings that exist."""
    service, known = SERVING[name], {variable.name for variable in settings.VARIABLES}
    environment = service["environment"]
    assert environment.keys() <= known
    loaded = settings.load(environment, {})
    assert (loaded.name, service["hostname"]) == (name, name)
    assert service["volumes"] == [f"data-{loaded.zone}:/data"]
    assert loaded.data_dir == Path("/data")
    ports = [one["ports"] for one in SERVING.values()]
    assert ports.count(service["ports"]) == 1
    paths = [value for value in environment.values() if value.startswith("/run/secrets/")]
    assert {Path(path).name for path in paths} <= set(service["secrets"])
    assert service["read_only"]


def test_the_parts_of_the_compose_file_fit_together() -> None:
    """Every secret, volume, command and server that is named is there."""
    for service in FILE["services"].values():
        assert set(service.get("secrets", [])) <= FILE["secrets"].keys()
        for volume in service["volumes"]:
            source = volume.partition(":")[0]
            there = (
                (COMPOSE / source).exists() if source.startswith(".") else source in FILE["volumes"]
            )
            assert there, source
        assert set(service.get("depends_on", [])) <= FILE["services"].keys()
    servers = re.findall(r"^\s+server (\S+) (\S+)$", CONFIG.read_text(), re.MULTILINE)
    assert servers == [(name, f"{name}:9090") for name in SERVING]
    job = FILE["services"]["export-month"]
    for service in (job, *SERVING.values()):
        peers = service["environment"]["USAGE_PEERS"].split(",")
        assert peers == [f"https://{name}:8000" for name in SERVING]
    words = [*job["entrypoint"][1:], "--help"]
    assert command(*words).code == 0


def test_the_documented_keys_are_good(tmp_path: Path) -> None:
    """The commands of the document make what collectors start with and what clients trust."""
    page = (COMPOSE.parents[1] / "docs/compose.md").read_text()
    (script,) = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    subprocess.run(["bash", "-euo", "pipefail"], input=script.encode(), cwd=tmp_path, check=True)
    keys = tmp_path / "keys"
    assert {path.name for path in keys.iterdir()} == FILE["secrets"].keys()
    environment = {
        name: value.replace("/run/secrets", str(keys))
        for name, value in SERVING["collector-a"]["environment"].items()
    }
    one = Collector("collector-a", tmp_path, environment)
    try:
        one.start("https")
        token = keys.joinpath("tokens").read_text().split()[1]
        done = command(
            *("export", "--secure", "--from", f"localhost:{one.reporting}", "--json"),
            *("--out", tmp_path / "window.json.gz"),
            environment={"USAGE_TOKEN": token, "USAGE_CA_FILE": str(keys / "tls.crt")},
        )
        assert done.code == 0, done.err
    finally:
        one.stop()
