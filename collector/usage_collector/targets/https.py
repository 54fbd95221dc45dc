"""A web server that takes files: each with PUT under its name, or with POST as a form."""

from __future__ import annotations

import base64
import hashlib
import os
import ssl
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

import httpx

from usage_collector.errors import DeliveryFailed, InvalidInput
from usage_collector.targets import options as given

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from usage_collector.targets.parcel import Parcel

_OPTIONS = frozenset({"method", "credentials", "ca-file"})
_METHODS = ("put", "post")
_TIMEOUT = httpx.Timeout(300.0, connect=10.0)
_CHUNK = 1024 * 1024
_HINTS = {
    401: "check the header of the credentials (USAGE_HTTPS_HEADER)",
    403: "check the header of the credentials (USAGE_HTTPS_HEADER)",
    404: "check the address",
    413: "let the server take larger files, or make smaller ones (--megabytes)",
    507: "make room at the destination",
}
_PRECONDITION_FAILED = 412


class Site:
    """Delivers to an address; it cannot be relied on to show what it holds, receipts must."""

    def __init__(
        self, url: str, method: str, headers: Mapping[str, str], tls: ssl.SSLContext
    ) -> None:
        self._url = url
        self._method = method
        self._client = httpx.Client(
            headers=dict(headers), verify=tls, timeout=_TIMEOUT, trust_env=False
        )

    @property
    def name(self) -> str:
        """Its address without the query, where some servers want secrets."""
        return self._url.split("?")[0]

    def where(self, folder: str) -> str:
        """The folder's address; with POST the server files it as it likes."""
        return f"{self.name.rstrip('/')}/{folder}" if self._method == "put" else self.name

    def held(self, folder: str) -> Mapping[str, str] | None:  # noqa: ARG002
        """Nobody can tell."""
        return None

    def fetch(self, folder: str, name: str) -> bytes | None:  # noqa: ARG002
        """Nobody can tell."""
        return None

    def deliver(self, parcel: Parcel) -> list[str]:
        """Sends what receipts do not know of, and notes each file that was taken."""
        sent = []
        for path in parcel.missing():
            self._send(parcel.folder, path)
            parcel.note([path])
            sent.append(path.name)
        return sent

    def _send(self, folder: str, path: Path) -> None:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
        try:
            answer = self._put(folder, path, digest.digest())
            if answer.status_code == _PRECONDITION_FAILED and self._has(folder, path, digest):
                return
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._unreached(error) from error
        if not answer.is_success:
            raise self._refused(path, answer)

    def _put(self, folder: str, path: Path, digest: bytes) -> httpx.Response:
        """`Repr-Digest` (RFC 9530) lets the server check what arrived, the key what it has had."""
        headers = {
            "Repr-Digest": f"sha-256=:{base64.b64encode(digest).decode()}:",
            "Idempotency-Key": hashlib.sha256(
                f"{folder}/{path.name}/{digest.hex()}".encode()
            ).hexdigest(),
        }
        with path.open("rb") as file:
            if self._method == "post":
                form = {"period": folder, "sha256": digest.hex()}
                return self._client.post(
                    self._url, data=form, files={"file": (path.name, file)}, headers=headers
                )
            headers |= {
                "If-None-Match": "*",
                "Content-Length": str(path.stat().st_size),
                "Content-Type": "application/octet-stream",
            }
            return self._client.put(
                self._at(folder, path.name), content=_chunks(file.fileno()), headers=headers
            )

    def _has(self, folder: str, path: Path, digest: hashlib._Hash) -> bool:
        """Whether the server has this very file: an earlier answer was lost then."""
        found = hashlib.sha256()
        with self._client.stream("GET", self._at(folder, path.name)) as answer:
            if not answer.is_success:
                return False
            for chunk in answer.iter_bytes():
                found.update(chunk)
        if found.digest() != digest.digest():
            raise DeliveryFailed(
                f"{self.where(folder)}/{path.name} is another file than the one to be delivered",
                "nothing is ever overwritten; move it away if it does not belong there",
            )
        return True

    def _at(self, folder: str, name: str) -> str:
        address, mark, query = self._url.partition("?")
        return f"{address.rstrip('/')}/{quote(folder)}/{quote(name)}{mark}{query}"

    def _refused(self, path: Path, answer: httpx.Response) -> DeliveryFailed:
        said = " ".join(answer.text.split())[:200]
        about = f"{self.name} answered {answer.status_code} {answer.reason_phrase} to {path.name}"
        if answer.is_redirect:
            host = urlsplit(answer.headers.get("Location", "")).netloc
            return DeliveryFailed(
                f"{about}, a redirect to {host or 'another address'}",
                "redirects are not followed, since the header is meant for this server: give the "
                "final address",
            )
        hint = _HINTS.get(answer.status_code, "ask whoever runs the server")
        return DeliveryFailed(f"{about}{': ' if said else ''}{said}", hint)

    def _unreached(self, error: Exception) -> DeliveryFailed:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, ssl.SSLCertVerificationError):
                return DeliveryFailed(
                    f"the certificate of {self.name} is not trusted: {cause.verify_message}",
                    "renew it, or give its CA (ca-file)",
                )
            cause = cause.__cause__ or cause.__context__
        said = str(error) or type(error).__name__
        return DeliveryFailed(f"{self.name} cannot be reached: {said}", "check the address")


def _chunks(descriptor: int) -> Iterator[bytes]:
    while chunk := os.read(descriptor, _CHUNK):
        yield chunk


def site(text: str, environment: Mapping[str, str]) -> Site:
    """`https://HOST/PATH#method=put|post&ca-file=…`; `InvalidInput` otherwise.

    The options stand behind `#`, since all before it belongs to the server. A header such as
    `Authorization: Bearer …` comes from the file `USAGE_HTTPS_HEADER` of the folder `credentials`,
    or from the variable of that name.
    """
    url, _, fragment = text.partition("#")
    parts = given.split(url)
    shown = url.split("?")[0]
    if not parts.hostname:
        raise InvalidInput(f"destination {shown!r} names no host", "write https://HOST/PATH")
    if parts.username or parts.password:
        raise InvalidInput(
            f"destination 'https://{parts.hostname}…' holds a password, which others could see",
            "put an Authorization header into USAGE_HTTPS_HEADER",
        )
    options = given.parse(shown, fragment, _OPTIONS)
    method = given.chosen(shown, "method", options.get("method", "put"), _METHODS)
    header = given.secret(options, environment, "USAGE_HTTPS_HEADER")
    tls = ssl.create_default_context(cadata=given.ca(options))
    headers = given.one_header(f"destination {shown!r}", header) if header is not None else {}
    return Site(url, method, headers, tls)
