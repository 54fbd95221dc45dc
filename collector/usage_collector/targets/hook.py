"""A web address that is told of something: one POST of JSON each."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx

from usage_collector.errors import DeliveryFailed, InvalidInput, TooMany
from usage_collector.targets.options import one_header

if TYPE_CHECKING:
    from pathlib import Path

_TIMEOUT = httpx.Timeout(10.0, connect=5.0)
_LATER = frozenset({429, 503})
_MOST_SECONDS = 3600


class Hook:
    """Posts to an address; ``header`` is a file with one line, NAME: VALUE, ``ca`` one of PEM.

    Both are read each time, since they may change. Only https, unless ``insecure``. Redirects are
    not followed: the header is meant for that server.

    Raises:
        InvalidInput: the address cannot be used.
    """

    def __init__(
        self, url: str, header: Path | None, ca: Path | None, *, insecure: bool = False
    ) -> None:
        try:
            parts = urlsplit(url)
        except ValueError as error:
            raise InvalidInput(
                f"a webhook is no address: {error}", "write https://HOST/PATH"
            ) from None
        self.place = f"{parts.scheme}://{parts.hostname}"
        """What to call it: some servers want secrets in paths and queries."""
        if parts.scheme not in ("https", "http") or not parts.hostname:
            raise InvalidInput(f"webhook {self.place} is no address", "write https://HOST/PATH")
        if parts.scheme == "http" and not insecure:
            raise InvalidInput(f"webhook {self.place} is not https", "use https")
        if parts.username or parts.password:
            raise InvalidInput(
                f"webhook {self.place} holds a password", "put an Authorization header into a file"
            )
        self._url, self._header, self._ca = url, header, ca

    def send(self, key: str, body: bytes) -> None:
        """Returns once the server has taken it; the same ``key`` says that it is the same.

        Raises:
            TooMany: not now, and when.
            DeliveryFailed: it did not take it, or nobody knows whether it did.
            InvalidInput: a file cannot be used.
        """
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        try:
            with (
                self._client() as client,
                client.stream("POST", self._url, content=body, headers=headers) as answer,
            ):
                code, after = answer.status_code, answer.headers.get("Retry-After", "")
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            # A name that is none is found out here only; the other webhooks do not wait for it.
            said = str(error) or type(error).__name__
            raise DeliveryFailed(f"{self.place} cannot be reached: {said}", "check it") from None
        if 200 <= code < 300:
            return
        if code in _LATER and after.isascii() and after.isdigit():
            seconds = min(int(after[:9]), _MOST_SECONDS)
            raise TooMany(f"{self.place} answered {code}", "it is asked again", seconds)
        hint = "give the final address" if 300 <= code < 400 else "ask whoever runs it"
        raise DeliveryFailed(f"{self.place} answered {code}", hint)

    def _client(self) -> httpx.Client:
        try:
            line = self._header.read_text().strip() if self._header else None
            tls = ssl.create_default_context(cafile=str(self._ca) if self._ca else None)
        except (OSError, UnicodeDecodeError, ssl.SSLError) as error:
            raise InvalidInput(
                f"header or CA file of webhook {self.place} cannot be read: {error}", "check both"
            ) from None
        headers = one_header(f"webhook {self.place}", line) if line is not None else {}
        return httpx.Client(headers=headers, verify=tls, timeout=_TIMEOUT, trust_env=False)
