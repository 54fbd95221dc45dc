"""A real process: starting, ending, reloading, and what it refuses."""

from __future__ import annotations

import os
import re
import resource
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from http.client import HTTPSConnection
from typing import TYPE_CHECKING

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.collector.process import CollectorProcess
from tests.collector.samples import array, event
from usage_collector.keystore import Keystore, Pair
from usage_collector.upkeep import check

if TYPE_CHECKING:
    from pathlib import Path


def _run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "usage_collector", *arguments],
        env={"PATH": "", **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def _pair(folder: Path, name: str) -> Pair:
    return Keystore(folder, None, None).certificate(name, datetime.now(UTC))


def _serial(port: int) -> str:
    return ssl.get_server_certificate(("127.0.0.1", port))


def _until(condition: object, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():  # type: ignore[operator]
            return
        time.sleep(0.1)
    raise AssertionError("it did not happen in time")


_FIRST_QUESTION = """
import os
from usage_collector import settings
from usage_collector.web.serving import assemble
parts = assemble(settings.load(os.environ, {}))
os.putenv = os.unsetenv = lambda *_: os._exit(1)
import usage_collector.usage.columns
os._exit(0)
"""


def test_the_first_question_leaves_the_environment_alone(tmp_path: Path) -> None:
    """What it loads would change it for a moment while threads read it, which ends processes."""
    environment = {"USAGE_DATA_DIR": str(tmp_path / "data"), "USAGE_RESERVE_MB": "1"}
    run = [sys.executable, "-c", _FIRST_QUESTION]
    assert subprocess.run(run, env=environment, timeout=300, check=False).returncode == 0


def test_wrong_settings_end_with_2_and_name_the_variable() -> None:
    """A bad value is one line that names it, and exit 2."""
    done = _run("serve", EATS_PORT="x")
    assert done.returncode == 2
    assert "EATS_PORT" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert _run("serve", "--no-such-flag").returncode == 2
    assert _run("serve", "--data-dir", "/proc/none").returncode == 2


def test_a_port_in_use_is_refused(tmp_path: Path) -> None:
    """By name, with exit 1; who has it goes on."""
    with CollectorProcess(tmp_path / "data") as collector:
        done = _run(
            "serve", "--data-dir", str(tmp_path / "b"), EATS_PORT=str(collector.ingest_port)
        )
        assert done.returncode == 1
        assert "is in use" in done.stderr
        assert httpx.get(collector.reporting_url + "/readyz").status_code == 200


def test_sigterm_drains_and_ends_cleanly(tmp_path: Path) -> None:
    """While draining it is unready and still takes events, with Connection: close; then exit 0."""
    with CollectorProcess(tmp_path / "data", USAGE_DRAIN_SECONDS="600") as collector:
        assert collector.process is not None
        with httpx.Client(base_url=collector.ingest_url, verify=collector.trusting()) as client:
            first = client.post("/v1/log", content=event(1))
            assert "close" not in first.headers.get("Connection", "")
            collector.process.send_signal(signal.SIGTERM)
            ready = collector.reporting_url + "/readyz"
            _until(lambda: httpx.get(ready).status_code == 503)
            answer = client.post("/v1/log", content=event(2))
            assert answer.status_code == 201
            assert answer.headers["Connection"] == "close"
        assert collector.stop() == 0
    wal = next((tmp_path / "data").glob("ledgers/*/events.db-wal"), None)
    assert wal is None or wal.stat().st_size == 0


def test_a_second_ctrl_c_ends_the_drain(tmp_path: Path) -> None:
    """Whoever presses it again does not want to wait, and loses nothing by it."""
    with CollectorProcess(tmp_path / "data", USAGE_DRAIN_SECONDS="600") as collector:
        assert collector.process is not None
        url = collector.ingest_url + "/v1/log"
        collector.process.send_signal(signal.SIGINT)
        _until(lambda: "draining" in collector.log.read_text())
        assert httpx.post(url, content=event(), verify=collector.trusting()).status_code == 201
        collector.process.send_signal(signal.SIGINT)
        assert collector.process.wait(60) == 0
        report = check(tmp_path / "data", lambda *_: None)
        assert (report.findings, report.events) == ([], 1)


def test_a_stalled_export_does_not_hold_up_the_end(tmp_path: Path) -> None:
    """A client that stops reading costs a SIGTERM the bounded time to finish, and no more."""
    collector = CollectorProcess(tmp_path / "data", EATS_SECURE="false")
    # So that nothing else gives the client up.
    with collector.patch("usage_collector.web.streaming.STALLED_SECONDS", 3600.0):
        for start in range(0, 4000, 500):
            raws = [event(start + n, noise=os.urandom(2000).hex()) for n in range(500)]
            httpx.post(collector.ingest_url + "/v1/log", content=array(raws)).raise_for_status()
        with socket.create_connection(("127.0.0.1", collector.reporting_port)) as stalled:
            stalled.sendall(b"GET /v1/export HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b" 200 " in stalled.recv(100)
            assert collector.stop() == 0


def test_metrics_are_there_when_the_rest_is_not(tmp_path: Path) -> None:
    """Neither a damaged ledger nor an unreadable cut takes away the metrics that tell of them."""
    with CollectorProcess(tmp_path / "data", EATS_SECURE="false") as collector:
        url = collector.ingest_url + "/v1/log"
        httpx.post(url, content=event()).raise_for_status()
        assert collector.stop() == 0
        database = next((tmp_path / "data").glob("ledgers/*/events.db"))
        database.write_bytes(database.read_bytes()[:4096])
        (tmp_path / "data" / "periods").mkdir()
        (tmp_path / "data" / "periods" / "2026-10.json").write_bytes(b"x")
        collector.start()
        httpx.post(url, content=event()).raise_for_status()
        text = httpx.get(collector.reporting_url + "/metrics").raise_for_status().text
        assert "usage_ledger_damaged 1.0" in text
        assert "usage_oldest_unreceipted_seconds NaN" in text
        answer = httpx.get(collector.reporting_url + "/v1/periods")
        assert answer.status_code == 500
        assert "2026-10" in answer.json()["detail"]


def test_a_connection_is_closed_after_its_requests(tmp_path: Path) -> None:
    """The Nth answer carries Connection: close."""
    with (
        CollectorProcess(tmp_path / "data", USAGE_KEEPALIVE_REQUESTS="3") as collector,
        httpx.Client(base_url=collector.ingest_url, verify=collector.trusting()) as client,
    ):
        found = [client.get("/healthz").headers.get("Connection") == "close" for _ in range(6)]
    assert found == [False, False, True, False, False, True]


def test_a_connection_is_closed_at_its_age(tmp_path: Path) -> None:
    """However busy it is: an answer after that time, and none before it, carries the close."""
    limits = {"USAGE_KEEPALIVE_REQUESTS": "1000000", "USAGE_KEEPALIVE_SECONDS": "1"}
    with (
        CollectorProcess(tmp_path / "data", EATS_SECURE="false", **limits) as collector,
        httpx.Client(base_url=collector.ingest_url, timeout=60) as client,
    ):
        began = time.monotonic()
        while client.get("/healthz").headers.get("Connection") != "close":
            assert time.monotonic() - began < 30
        assert time.monotonic() - began >= 1


def test_no_connection_suffers_when_certificates_change(tmp_path: Path) -> None:
    """One that is kept and one after the other that is new: each gets its answer all the while."""
    pairs = [_pair(tmp_path / name, name) for name in "abc"]
    used = _pair(tmp_path / "used", "used")
    trusted = ssl.create_default_context()
    for pair in [*pairs, used]:
        trusted.load_verify_locations(pair.certificate)
    collector = CollectorProcess(
        tmp_path / "data",
        USAGE_TLS_CERT_FILE=str(used.certificate),
        USAGE_TLS_KEY_FILE=str(used.key),
        USAGE_KEEPALIVE_REQUESTS="1000000",
        USAGE_KEEPALIVE_SECONDS="0",
    )
    over = threading.Event()

    def post(*, kept: bool) -> int:
        """How many were taken; unlike httpx this does not quietly connect again."""
        port, count = collector.ingest_port, 0
        client = HTTPSConnection("127.0.0.1", port, context=trusted, timeout=60)
        while not over.is_set():
            client.request("POST", "/v1/log", event(count))
            with client.getresponse() as answer:
                answer.read()
                assert answer.status == 201
            count += 1
            if not kept:
                client.close()
        client.close()
        return count

    with (
        collector.patch("usage_collector.web.serving.REFRESH_SECONDS", 0.1),
        ThreadPoolExecutor(2) as pool,
    ):
        taken = [pool.submit(post, kept=kept) for kept in (True, False)]
        try:
            for pair in pairs:
                before = _serial(collector.ingest_port)
                used.key.write_bytes(pair.key.read_bytes())
                used.certificate.write_bytes(pair.certificate.read_bytes())
                _until(lambda before=before: _serial(collector.ingest_port) != before, 60)
        finally:
            over.set()
        assert all(one.result() > 0 for one in taken)


def test_certificates_and_tokens_are_read_again(tmp_path: Path) -> None:
    """Changed files count within seconds, and connections that are open stay open."""
    tokens = tmp_path / "tokens"
    tokens.write_text("admin one\n")
    pair = _pair(tmp_path / "a", "localhost")
    other = _pair(tmp_path / "b", "localhost")
    variables = {
        "USAGE_TLS_CERT_FILE": str(pair.certificate),
        "USAGE_TLS_KEY_FILE": str(pair.key),
        "USAGE_TOKENS_FILE": str(tokens),
        "PANDAS_SECURE": "true",
    }
    with CollectorProcess(tmp_path / "data", **variables) as collector:
        context = ssl.create_default_context(cafile=str(pair.certificate))
        with httpx.Client(base_url=collector.ingest_url, verify=context) as client:
            client.post("/v1/log", content=event(1)).raise_for_status()
            before = _serial(collector.ingest_port)
            tokens.write_text("admin two\n")
            pair.key.write_bytes(other.key.read_bytes())
            pair.certificate.write_bytes(other.certificate.read_bytes())
            _until(lambda: _serial(collector.ingest_port) != before)
            client.post("/v1/log", content=event(2)).raise_for_status()
        _until(lambda: _serial(collector.reporting_port) != before)
        newer = ssl.create_default_context(cafile=str(other.certificate))
        with httpx.Client(base_url=collector.reporting_url, verify=newer) as client:
            get = partial(client.get, "/v1/periods")
            _until(lambda: get(headers={"Authorization": "Bearer two"}).is_success)
            assert get(headers={"Authorization": "Bearer one"}).status_code == 401
        pair.certificate.write_bytes(b"broken")
        _until(lambda: "stays in use" in collector.log.read_text())
        assert _serial(collector.ingest_port) != before


def test_a_certificate_that_cannot_be_read_at_once_is_read_later(tmp_path: Path) -> None:
    """Though its files do not change again before the old one is over; the log says it once."""
    pair, other = (_pair(tmp_path / name, "localhost") for name in "ab")
    variables = {
        "USAGE_TLS_CERT_FILE": str(pair.certificate),
        "USAGE_TLS_KEY_FILE": str(pair.key),
    }
    collector = CollectorProcess(tmp_path / "data", **variables)
    with collector.patch("usage_collector.web.serving.REFRESH_SECONDS", 0.1):
        before = _serial(collector.ingest_port)
        assert collector.process is not None
        limit = partial(resource.prlimit, collector.process.pid, resource.RLIMIT_NOFILE)
        soft, hard = limit()
        limit((3, hard))
        pair.key.write_bytes(other.key.read_bytes())
        pair.certificate.write_bytes(other.certificate.read_bytes())
        _until(lambda: "stays in use" in collector.log.read_text())
        limit((soft, hard))
        _until(lambda: _serial(collector.ingest_port) != before)
        (line,) = (
            line for line in collector.log.read_text().splitlines() if "old certificate" in line
        )
        assert "Too many open files" in line


def _client_certificate(folder: Path) -> Pair:
    """A certificate that is its own CA, good for clients."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "engine")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(
        now + timedelta(days=1)
    )
    pair = Pair(folder / "client.crt", folder / "client.key")
    certificate = builder.sign(key, hashes.SHA256())
    pair.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    pair.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return pair


def test_a_client_ca_demands_client_certificates(tmp_path: Path) -> None:
    """Only clients with a certificate of it get through, on the ingest port; also of a new one."""
    (tmp_path / "newer").mkdir()
    pair, newer = _client_certificate(tmp_path), _client_certificate(tmp_path / "newer")
    trusted = tmp_path / "ca.crt"
    trusted.write_bytes(pair.certificate.read_bytes())
    variables = {"USAGE_CLIENT_CA_FILE": str(trusted), "PANDAS_SECURE": "true"}
    with CollectorProcess(tmp_path / "data", **variables) as collector:

        def gets_through(with_: Pair | None) -> bool:
            context = collector.trusting()
            if with_:
                context.load_cert_chain(with_.certificate, with_.key)
            url = collector.ingest_url + "/v1/log"
            try:
                return httpx.post(url, content=event(), verify=context).status_code == 201
            except httpx.TransportError:
                return False

        assert [gets_through(one) for one in (None, pair, newer)] == [False, True, False]
        ready = httpx.get(collector.reporting_url + "/readyz", verify=collector.trusting())
        assert ready.status_code == 200
        trusted.write_bytes(newer.certificate.read_bytes())
        _until(lambda: gets_through(newer))
        assert [gets_through(one) for one in (None, pair)] == [False, False]


@pytest.mark.filterwarnings("ignore:.*TLSv1_1")
def test_old_tls_is_refused(tmp_path: Path) -> None:
    """Nothing older than TLS 1.2 is spoken."""
    with CollectorProcess(tmp_path / "data") as collector:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(collector.ca_file)
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        with (
            socket.create_connection(("127.0.0.1", collector.ingest_port)) as raw,
            pytest.raises((ssl.SSLError, OSError)),
        ):
            context.wrap_socket(raw, server_hostname="127.0.0.1")


def test_log_lines_have_the_known_form_and_no_foreign_text(tmp_path: Path) -> None:
    """One line a request; control characters are escaped, query strings and tokens left out."""
    with CollectorProcess(tmp_path / "data", EATS_SECURE="false") as collector:
        with socket.create_connection(("127.0.0.1", collector.ingest_port)) as raw:
            raw.sendall(
                b"GET /%0a%22x?secret=1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer hidden\r\n"
                b'User-Agent: evil\x9b31m"\r\nConnection: close\r\n\r\n'
            )
            assert b" 404 " in raw.recv(4096)
        with socket.create_connection(("127.0.0.1", collector.ingest_port)) as raw:
            raw.sendall(b"NONSENSE\r\n\r\n")
            answer = b""
            while piece := raw.recv(4096):
                answer += piece
            assert b" 400 " in answer
            assert b'"code":400' in answer
        assert collector.stop() == 0
    log = collector.log.read_text()
    assert not set(log) - {"\n"} & {chr(c) for c in range(32)}
    assert "secret" not in log
    assert "hidden" not in log
    form = (
        r"\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ INFO usage_collector\.web\] "
        r'"GET /%0a%22x HTTP/1\.1" 404 \d+ "-" "[^"]*evil[^"]*" \d+\.\d{6}'
    )
    assert any(re.fullmatch(form, line) for line in log.splitlines())
