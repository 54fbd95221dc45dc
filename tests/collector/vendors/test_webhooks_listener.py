"""The listener for notifications: whom it refuses and how, its certificate, when it is off."""

from __future__ import annotations

import socket
import ssl
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.collector.places import certificate
from tests.collector.process import CollectorProcess, free_port
from tests.collector.vendors.assemblyai import ATTEMPTS, notify, serving, transcript
from tests.collector.vendors.notified import HEADER, PATIENCE, collector

if TYPE_CHECKING:
    from pathlib import Path


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


def test_the_listener_is_off_until_there_is_a_header(tmp_path: Path) -> None:
    """Nothing listens without one; one without a key is a mistake that is named."""
    port = free_port()
    with CollectorProcess(tmp_path / "data", USAGE_WEBHOOKS_PORT=str(port)) as process:
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"https://127.0.0.1:{port}/healthz", verify=process.trusting())
        assert httpx.get(process.reporting_url + "/v1/webhooks/pending").json() == {"pending": []}
