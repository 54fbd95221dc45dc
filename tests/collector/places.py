"""Real places to deliver a month to: an S3 server, a mail server and a web server of this host."""

from __future__ import annotations

import asyncio
import email
import os
import ssl
import subprocess
import threading
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import httpx
from aiohttp import web
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from tests.collector.processes import free_port
from tests.kind_helper import binaries, versions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KEYS = {"AWS_ACCESS_KEY_ID": "user", "AWS_SECRET_ACCESS_KEY": "secret-of-s3"}
LOGIN = {"USAGE_SMTP_USERNAME": "u", "USAGE_SMTP_PASSWORD": "secret-of-mail"}


def certificate(folder: Path, name: str, days_ago: int = 0, host: str = "localhost") -> Path:
    """A file with key and certificate of that host, made then and good for a day."""
    start = datetime.now(UTC) - timedelta(days=days_ago)
    moments = [f"{start + timedelta(days=days):%Y%m%d%H%M%SZ}" for days in (-1, 1)]
    key, request, made = (folder / f"{name}.{ending}" for ending in ("key", "csr", "crt"))
    (folder / f"{name}.ext").write_text(f"subjectAltName={_alternative_name(host)}")
    (folder / f"{name}.index").write_text("")
    (folder / f"{name}.conf").write_text(
        f"[ca]\ndefault_ca=c\n[c]\ndatabase={folder}/{name}.index\nnew_certs_dir={folder}\n"
        "rand_serial=yes\ndefault_md=sha256\npolicy=p\nunique_subject=no\n[p]\ncommonName=supplied\n"
    )
    openssl = ["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    commands: tuple[list[str | Path], ...] = (
        [*openssl, "-nodes", "-subj", f"/CN={host}", "-keyout", key, "-out", request],
        [
            *("openssl", "ca", "-batch", "-notext", "-selfsign", "-keyfile", key),
            *("-config", folder / f"{name}.conf", "-extfile", folder / f"{name}.ext"),
            *("-startdate", moments[0], "-enddate", moments[1], "-in", request, "-out", made),
        ],
    )
    for arguments in commands:
        subprocess.run(arguments, check=True, capture_output=True)
    both = folder / f"{name}.pem"
    both.write_bytes(key.read_bytes() + made.read_bytes())
    return both


def _alternative_name(host: str) -> str:
    try:
        return f"IP:{ip_address(host)}"
    except ValueError:
        return f"DNS:{host}"


def tls_of(pem: Path) -> ssl.SSLContext:
    """What a server needs to show that certificate."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(pem)
    return tls


class Server:
    """A web server that keeps what it is sent, and each request's method, path and headers."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.seen: list[tuple[str, str, Any]] = []
        self.answer: Callable[[], web.Response | None] = lambda: None
        self.header: str | None = None
        self.form: dict[str, str] = {}
        self.address = ""

    async def handle(self, request: web.Request) -> web.Response:
        """Whatever ``answer`` says; else what a server with preconditions does."""
        self.seen.append((request.method, request.path_qs, request.headers))
        if request.method == "POST":
            await self._form(request)
            body = b""
        else:
            body = await request.read()
        if answer := self.answer():
            return answer
        if self.header and request.headers.get("Authorization") != self.header:
            return web.Response(status=401, text="no such token")
        if request.method == "GET":
            kept = self.kept.get(request.path)
            return web.Response(body=kept) if kept is not None else web.Response(status=404)
        if request.method == "PUT":
            if request.path in self.kept and request.headers.get("If-None-Match") == "*":
                return web.Response(status=412)
            self.kept[request.path] = body
        return web.Response(status=201)

    async def _form(self, request: web.Request) -> None:
        fields = await request.post()
        for name, value in fields.items():
            if isinstance(value, web.FileField):
                self.kept[value.filename] = value.file.read()
            else:
                self.form[name] = str(value)

    def run(self, pem: Path, host: str, ready: threading.Event) -> None:
        """Serves until `stop`."""
        asyncio.run(self._serve(pem, host, ready))

    async def _serve(self, pem: Path, host: str, ready: threading.Event) -> None:
        runner = web.ServerRunner(web.Server(self.handle))  # type: ignore[arg-type]
        await runner.setup()
        site = web.TCPSite(runner, host, 0, ssl_context=tls_of(pem))
        await site.start()
        port = runner.addresses[0][1]
        self.address = f"https://{host}:{port}/in?area=1#ca-file={pem}"
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        ready.set()
        await self._end.wait()
        await runner.cleanup()

    def stop(self) -> None:
        """Ends it."""
        self._loop.call_soon_threadsafe(self._end.set)


@contextmanager
def web_server(
    pem: Path, host: str = "localhost", server: Server | None = None
) -> Iterator[Server]:
    """Runs that server, or a plain one, in a thread; it shows that certificate."""
    server, ready = server or Server(), threading.Event()
    thread = threading.Thread(target=server.run, args=(pem, host, ready))
    thread.start()
    assert ready.wait(60)
    try:
        yield server
    finally:
        server.stop()
        thread.join(60)


class Mailbox:
    """What a mail server received; after message number ``lost`` it hangs up without an answer."""

    def __init__(self, lost: int = 0) -> None:
        self.got: list[Any] = []
        self.lost = lost

    async def handle_RCPT(  # noqa: N802
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        """Takes all but one."""
        if address == "gone@example.org":
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        """Keeps it."""
        self.got.append(email.message_from_bytes(envelope.content))
        if len(self.got) == self.lost:
            server.transport.abort()
        return "250 OK"

    def files(self) -> list[tuple[str, bytes]]:
        """Name and content of all files that it got, in order."""
        parts = [part for one in self.got for part in one.walk() if part.get_filename()]
        return [(str(one.get_filename()), one.get_payload(decode=True)) for one in parts]


def _login(*given: Any) -> AuthResult:
    """Whether the password is right."""
    right = LOGIN["USAGE_SMTP_PASSWORD"].encode()
    return AuthResult(success=given[4].password == right, handled=False)


@contextmanager
def mail_server(
    pem: Path, box: Mailbox, host: str = "localhost", *, implicit: bool = False, **more: Any
) -> Iterator[str]:
    """A mail server for that mailbox with TLS and a password; the options that lead to it."""
    tls = tls_of(pem)
    secured: dict[str, Any] = {"tls_context": tls, "require_starttls": True}
    if implicit:
        # It takes passwords under STARTTLS only, unless told that TLS was there before.
        secured = {"ssl_context": tls, "auth_require_tls": False}
    server = Controller(
        box, hostname=host, port=free_port(), authenticator=_login, auth_required=True,
        **secured, **more,
    )  # fmt: skip
    server.start()
    kind = "implicit" if implicit else "starttls"
    try:
        yield f"host={host}&port={server.port}&tls={kind}&from=u@x.org&ca-file={pem}"
    finally:
        server.stop()


class Gateway:
    """An S3 server (versitygw) over a folder; killed and started at will.

    The first test that needs the server's program builds it, once on each machine.
    """

    def __init__(self, folder: Path, pem: Path | None = None, host: str = "127.0.0.1") -> None:
        binaries.build([part for part in versions.OPTIONAL if part.name == "versitygw"])
        self._tls: list[str | Path] = []
        if pem:
            self._tls = ["--cert", pem.with_suffix(".crt"), "--key", pem.with_suffix(".key")]
        self._folder = folder
        self.address = f"{host}:{free_port()}"
        self.url = f"https://{self.address}" if pem else f"http://{self.address}"

    def start(self) -> None:
        """Returns once it answers."""
        program = [binaries.program("versitygw"), "--port", self.address, *self._tls]
        self._process = subprocess.Popen(
            [*program, "posix", self._folder],
            env={
                **os.environ,
                "ROOT_ACCESS_KEY": KEYS["AWS_ACCESS_KEY_ID"],
                "ROOT_SECRET_KEY": KEYS["AWS_SECRET_ACCESS_KEY"],
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while True:
            assert self._process.poll() is None
            with suppress(httpx.TransportError):
                httpx.get(self.url, trust_env=False, verify=False)
                return

    def kill(self) -> None:
        """Ends it as a crash would."""
        self._process.kill()
        self._process.wait()


@contextmanager
def s3_server(folder: Path, pem: Path | None = None, host: str = "127.0.0.1") -> Iterator[str]:
    """The address of an S3 server with the bucket `months`."""
    (folder / "months").mkdir(parents=True)
    server = Gateway(folder, pem, host)
    server.start()
    try:
        yield server.url
    finally:
        server.kill()
