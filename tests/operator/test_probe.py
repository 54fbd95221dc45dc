"""What collectors say of themselves."""

from __future__ import annotations

import datetime as dt
import math
import ssl
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.operator.support import NOW
from usage_operator import probe
from usage_operator.conditions import Lost, Said
from usage_operator.manifests import pki

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

METRICS = """\
# TYPE usage_collector_info gauge
usage_collector_info{version="1.2.3",collector="a-0",zone="a"} 1
# TYPE usage_disk_used_bytes gauge
usage_disk_used_bytes 2.5e8
# TYPE usage_disk_free_bytes gauge
usage_disk_free_bytes 7.5e8
# TYPE usage_ledger_damaged gauge
usage_ledger_damaged 1
"""


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an answer take long: this machine may be busy."""
    monkeypatch.setattr(probe, "_TIMEOUT", aiohttp.ClientTimeout(total=60))


@pytest.fixture
def ca() -> pki.Pair:
    """Give an authority that is valid now."""
    return pki.make_ca("test", dt.datetime.now(dt.UTC))


@pytest.fixture
async def url(ca: pki.Pair, tmp_path: Path) -> AsyncIterator[str]:
    """Serve a collector's metrics and readiness over TLS."""
    leaf = pki.make_leaf(ca, ["127.0.0.1"], dt.datetime.now(dt.UTC))
    file = tmp_path / "pair.pem"
    file.write_bytes(leaf.certificate + leaf.key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(text=METRICS)

    async def whole(_: web.Request) -> web.Response:
        return web.Response(text=METRICS.replace("damaged 1", "damaged 0") + _lost(0, 0))

    async def readyz(_: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def draining(_: web.Request) -> web.Response:
        return web.Response(status=503)

    async def admin(request: web.Request) -> web.Response:
        known = request.headers.get("Authorization") == "Bearer let-me"
        return web.json_response({"ledgers": []}, status=200 if known else 401)

    answers = iter((503, 200))

    async def late(_: web.Request) -> web.Response:
        return web.Response(status=next(answers))

    app = web.Application()
    app.router.add_get("/late", late)
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/whole/metrics", whole)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/draining", draining)
    app.router.add_get("/v1/periods", admin)
    app.router.add_post("/v1/ingest/stop", admin)
    app.router.add_post("/v1/ingest/start", admin)
    server = TestServer(app)
    await server.start_server(ssl=context)
    yield f"https://127.0.0.1:{server.port}"
    await server.close()


async def test_reach(url: str, ca: pki.Pair) -> None:
    """A ready answer is none to complain of; everything else says what came instead."""
    trusted = ca.certificate.decode()
    assert await probe.reach(f"{url}/readyz", trusted) is None
    assert "503" in str(await probe.reach(f"{url}/draining", trusted, patience=0))
    assert "cannot be reached" in str(
        await probe.reach("https://127.0.0.1:1/readyz", trusted, patience=0)
    )


async def test_a_service_has_a_moment_to_lead_somewhere(url: str, ca: pki.Pair) -> None:
    """What does not answer well at once is asked again for a while."""
    assert await probe.reach(f"{url}/late", ca.certificate.decode(), patience=60) is None


async def test_only_the_given_authority_is_trusted(url: str) -> None:
    """A collector with another certificate is not reached."""
    other = pki.make_ca("other", NOW).certificate.decode()
    assert "certificate" in str(await probe.reach(f"{url}/readyz", other, patience=0)).lower()


async def test_where_clients_need_certificates_a_greeting_is_enough(
    ca: pki.Pair, tmp_path: Path
) -> None:
    """A server that asks for certificates is reached when its own is trusted."""
    leaf = pki.make_leaf(ca, ["127.0.0.1"], dt.datetime.now(dt.UTC))
    file, trusted = tmp_path / "pair.pem", ca.certificate.decode()
    file.write_bytes(leaf.certificate + leaf.key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=trusted)
    context.load_cert_chain(file)
    context.verify_mode = ssl.CERT_REQUIRED
    server = TestServer(web.Application())
    await server.start_server(ssl=context)
    url = f"https://127.0.0.1:{server.port}/readyz"
    assert await probe.reach(url, trusted, patience=0) is not None
    assert await probe.reach(url, trusted, patience=0, mutual=True) is None
    other = pki.make_ca("other", dt.datetime.now(dt.UTC)).certificate.decode()
    assert await probe.reach(url, other, patience=0, mutual=True) is not None
    await server.close()
    assert await probe.reach(url, trusted, patience=0, mutual=True) is not None


async def test_ask(url: str, ca: pki.Pair) -> None:
    """Version and storage are read; a collector that does not answer is left out."""
    said = await probe.ask([url, "https://127.0.0.1:1"], ca.certificate.decode())
    assert said == Said("1.2.3", "25%", "954Mi", (2.5e8, 1e9), damaged=1)


async def test_who_does_not_answer_may_be_the_one(url: str, ca: pki.Pair) -> None:
    """That nothing is damaged or lost is known where all answered; else what was said stands."""
    urls, trusted = [f"{url}/whole", "https://127.0.0.1:1"], ca.certificate.decode()
    known, unsure = await probe.ask(urls[:1], trusted), await probe.ask(urls, trusted)
    assert (known.damaged, known.lost) == (0, ())
    assert (unsure.version, unsure.damaged, unsure.lost) == ("1.2.3", None, None)


async def test_a_collector_is_emptied_by_who_may(url: str, ca: pki.Pair) -> None:
    """With the token it stops and tells; without, or silent, the reason is said."""
    trusted = ca.certificate.decode()
    allowed, unknown = probe.Admin(trusted, "let-me"), probe.Admin(trusted, "wrong")
    assert await allowed.empty(url) == {"ledgers": []}
    assert "401" in str(await unknown.empty(url))
    assert "does not answer" in str(await allowed.empty("https://127.0.0.1:1"))
    assert await allowed.start(url)
    assert not await unknown.start(url)


def test_the_fullest_volume_counts() -> None:
    """Of several collectors the fullest volume stands for the zone, and all that is damaged."""
    fuller = METRICS.replace("2.5e8", "22.5e8").replace("1.2.3", "1.2.4")
    both = Said("1.2.3, 1.2.4", "75%", "2.79Gi", (22.5e8, 3e9), damaged=2)
    assert probe.combine([METRICS, fuller]) == both
    assert probe.combine([]) == Said()


def test_who_lost_its_volume_is_read_with_its_times() -> None:
    """Those that say 0 lost nothing; whether an older collector did is not known."""
    none = METRICS + _lost(0, 0)
    lost = METRICS.replace("a-0", "a-1") + _lost(1_795_000_000, 1_795_000_100.5)
    assert probe.combine([METRICS]).lost is None
    assert probe.combine([METRICS, none]).lost == ()
    assert probe.combine([METRICS, none, lost]).lost == (
        Lost("a-1", "2026-11-18T11:06:40Z", "2026-11-18T11:08:20Z"),
    )
    unsure = METRICS + _lost(math.nan, math.nan)
    assert probe.combine([unsure]).lost is None


def _lost(heard: float, anew: float) -> str:
    return (
        "# TYPE usage_volume_lost_heard_timestamp_seconds gauge\n"
        f"usage_volume_lost_heard_timestamp_seconds {heard}\n"
        "# TYPE usage_volume_lost_timestamp_seconds gauge\n"
        f"usage_volume_lost_timestamp_seconds {anew}\n"
    )
