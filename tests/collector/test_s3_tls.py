"""What a bucket's server is sent, and what is told of its certificate."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from tests.collector.places import KEYS, Server, certificate, web_server
from usage_collector.errors import DeliveryFailed
from usage_collector.targets import Parcel, destination

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aiohttp import web


class Storage(Server):
    """The little of S3 that an upload needs: it keeps objects and gives each its ETag."""

    async def handle(self, request: web.Request) -> web.Response:
        """As any server that takes files, but for the ETag."""
        answer = await super().handle(request)
        answer.headers["ETag"] = '"1"'
        return answer


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Server]:
    """One with a good certificate."""
    with web_server(certificate(tmp_path, "good"), server=Storage()) as made:
        yield made


@pytest.fixture
def expired(tmp_path: Path) -> Iterator[Server]:
    """One whose certificate was good last month."""
    with web_server(certificate(tmp_path, "old", days_ago=30), server=Storage()) as made:
        yield made


def bucket(server: Server, more: str = "") -> str:
    """The address of a bucket at that server."""
    address, _, ca_file = server.address.partition("/in?area=1#")
    return f"s3://months/usage?endpoint={address}&{ca_file}{more}"


def test_encryption_at_the_server_is_asked_for(storage: Server, tmp_path: Path) -> None:
    """Each object comes with the headers for it, its checksum, and the wish not to overwrite."""
    path = tmp_path / "a.json.gz"
    path.write_bytes(b"package")
    key = "arn:aws:kms:eu:1:key/2"
    place = destination(bucket(storage, f"&sse=aws:kms&sse-kms-key-id={quote(key)}"), KEYS)
    assert place.deliver(Parcel(folder="2026-10", files=[path])) == ["a.json.gz"]
    (headers,) = [seen for method, _, seen in storage.seen if method == "PUT"]
    assert headers["x-amz-server-side-encryption"] == "aws:kms"
    assert headers["x-amz-server-side-encryption-aws-kms-key-id"] == key
    digest = hashlib.sha256(b"package").digest()
    assert headers["x-amz-checksum-sha256"] == base64.b64encode(digest).decode()
    assert headers["If-None-Match"] == "*"
    assert storage.kept == {"/months/usage/2026-10/a.json.gz": b"package"}


def test_a_certificate_that_is_not_trusted_is_named(storage: Server, expired: Server) -> None:
    """Why, and what to do; nothing is sent."""
    told = r"certificate is not trusted: expired: renew it"
    with pytest.raises(DeliveryFailed, match=told):
        destination(bucket(expired), KEYS).held("2026-10")
    strange = bucket(storage).partition("&ca-file")[0]
    with pytest.raises(DeliveryFailed, match=r"not trusted: [a-z ]+: .* CA \(ca-file\)"):
        destination(strange, KEYS).held("2026-10")
    assert storage.seen == expired.seen == []


class Proxy(BaseHTTPRequestHandler):
    """Says whatever is asked for, so that no host needs to be known."""

    def do_GET(self) -> None:
        body = self.path.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


_FETCH = """
import os, sys
from usage_collector.targets import destination
for text in sys.argv[1:]:
    print(destination(text, os.environ).fetch("2026-10", "x").decode())
"""


def test_the_bucket_is_named_in_the_path_or_in_the_host() -> None:
    """As it is asked for, also where the endpoint names the bucket already."""
    at = "s3://months/usage?endpoint=http://"
    texts = [
        f"{at}s3.example.test",
        f"{at}s3.example.test&path-style=false",
        f"{at}months.s3.example.test&path-style=false",
    ]
    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        done = subprocess.run(
            [sys.executable, "-c", _FETCH, *texts],
            env={**os.environ, **KEYS, "http_proxy": url, "no_proxy": "", "NO_PROXY": ""},
            capture_output=True,
            text=True,
            check=False,
        )
        server.shutdown()
    assert done.stdout.split() == [
        "http://s3.example.test/months/usage/2026-10/x",
        *["http://months.s3.example.test/usage/2026-10/x"] * 2,
    ], done.stderr
