"""Other collectors, over HTTP: asked with patience, and named in every error."""

from __future__ import annotations

import gzip
import logging
import os
import socket
import ssl
import time
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self, TypeVar

import httpx
import msgspec

from usage_collector.errors import InvalidInput, NotFound, PeerUnavailable, TooLarge
from usage_collector.peers.addresses import address, addresses, listed
from usage_collector.peers.answers import (
    Counted,
    Cut,
    CutFile,
    Ledger,
    Loss,
    Notes,
    Problem,
    Receipt,
    Status,
    read_cut,
    read_notes,
    read_object,
    read_problem,
    read_receipt,
    read_status,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = [
    "Counted",
    "Cut",
    "CutFile",
    "Ledger",
    "Loss",
    "Notes",
    "Peer",
    "Receipt",
    "Refused",
    "Status",
    "address",
    "addresses",
    "listed",
    "read_notes",
    "read_status",
]

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
ATTEMPTS = 4
FIRST_PAUSE = 0.5
"""Seconds before the second attempt; doubled before each further one."""
_TIMEOUT = httpx.Timeout(60.0, connect=5.0)
_LONG = httpx.Timeout(7200.0, connect=5.0)
"""For what says nothing until a whole month was read, slowly where events come in meanwhile.

It is not waited for again: it would be read from the beginning, and jobs have to end.
"""
BRIEFLY = httpx.Timeout(3.0, connect=2.0)
"""For what somebody waits for who looks at a page."""
_KEEPALIVE = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4),
]
"""A host that is gone is noticed after 75 s, whatever is waited for."""
_BROKEN = 500
_PASSING = frozenset({429, _BROKEN, 502, 503, 504})


def trust(ca_file: Path | None) -> ssl.SSLContext:
    """Whom to trust over TLS: a CA file, or the system's authorities."""
    try:
        return ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except (OSError, ssl.SSLError) as error:
        raise InvalidInput(
            f"CA file {ca_file} cannot be used: {error}", "give a PEM file with certificates"
        ) from None


class Refused(PeerUnavailable):
    """A collector answered, but not with what it was asked for."""


class _TryAgain(Exception):
    """A failure that may pass; ``lasting`` is what it is when it does not."""

    def __init__(self, said: str, lasting: type[PeerUnavailable] = PeerUnavailable) -> None:
        super().__init__(said)
        self.lasting = lasting


class Peer:
    """One collector's reporting listener at ``url``.

    Every call tries `ATTEMPTS` times where a failure may pass, then raises `PeerUnavailable` that
    names the address; `NotFound` and `TooLarge` are the collector's own answers.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        tls: ssl.SSLContext | None = None,
        sleep: Callable[[float], None] = time.sleep,
        attempts: int = ATTEMPTS,
    ) -> None:
        self.url = url
        self._sleep = sleep
        self._attempts = attempts
        self._client = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            transport=httpx.HTTPTransport(
                verify=tls if tls is not None else True,
                trust_env=False,
                socket_options=_KEEPALIVE,
            ),
            timeout=_TIMEOUT,
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give its connections back."""
        self._client.close()

    def status(self, timeout: httpx.Timeout = _TIMEOUT) -> Status:
        """Its ledgers, cuts and receipts."""
        return self._decoded(read_status, self._ask("GET", "/v1/periods", timeout=timeout))

    def notes(self, timeout: httpx.Timeout = _TIMEOUT) -> Notes:
        """What jobs told it of backups and of the next month."""
        return self._decoded(read_notes, self._ask("GET", "/v1/notes", timeout=timeout))

    def cut(self, period: str, limits: Mapping[str, float]) -> list[CutFile]:
        """Fixes a period's cut, once and for all; the packages it comes to."""
        answer = self._ask("POST", f"/v1/periods/{period}", params=dict(limits), timeout=_LONG)
        return self._decoded(read_cut, answer).files

    def receipt(self, period: str, state: str, files: Sequence[Mapping[str, str]], by: str) -> None:
        """Tells it what became of its packages; the same receipt again changes nothing."""
        body = {"state": state, "files": list(files), "by": by}
        answer = self._ask("POST", f"/v1/periods/{period}/receipts", json=body)
        self._decoded(read_receipt, answer)

    def usage_news(self, epoch: str, after: int, *, everything: bool, register: str) -> bytes:
        """What it learnt of usage since it was last asked, as it came."""
        params: dict[str, float | str] = {"epoch": epoch, "after": after, "register": register}
        if everything:
            params["everything"] = "true"
        return self._ask("GET", "/v1/usage/news", params=params)

    def report(
        self, method: str, path: str, params: Mapping[str, float | str], body: object = None
    ) -> dict[str, Any]:
        """What it answers to people: one JSON object."""
        return self._decoded(read_object, self._ask(method, path, params, body))

    def keep_manifest(self, period: str, manifest: bytes) -> None:
        """Leaves a period's manifest with it, in the place of an older one."""

        def once() -> None:
            body = iter([gzip.compress(manifest, mtime=0)])
            with self._answer("PUT", f"/v1/periods/{period}/manifest", {}, content=body) as answer:
                answer.read()

        self._patiently(once)

    def manifest(self, period: str) -> bytes | None:
        """The manifest that was left with it; None where there is none."""
        try:
            return gzip.decompress(self._ask("GET", f"/v1/periods/{period}/manifest"))
        except NotFound:
            return None
        except (OSError, EOFError, zlib.error) as error:
            raise Refused(f"{self.url} gave no manifest of {period}: {error}") from None

    def proof_keys(self) -> bytes:
        """The public keys of its proofs, PEM."""
        return self._ask("GET", "/v1/proof-key")

    def package(self, file: CutFile, period: str, path: Path) -> None:
        """Writes the package of these positions to a file."""
        params: dict[str, float | str] = {
            "ledger": file.ledger,
            "first": file.first,
            "last": file.last,
            "period": period,
        }
        self._fetch("/v1/export", path, params)

    def positions(
        self, ledger: str, first: int, last: int, path: Path, *, patient: bool = True
    ) -> None:
        """Writes the package of these positions to a file, whatever period they are in.

        Where trouble is to be expected, it is asked for once only, not ``patient``.
        """
        params: dict[str, float | str] = {"ledger": ledger, "first": first, "last": last}
        self._fetch("/v1/export", path, params, 0 if patient else 1)

    def restore(self, ledger: str, archive: Callable[[], Iterator[bytes]]) -> bytes:
        """Brings a ledger back from a tar archive, made anew for each attempt; its answer."""

        def once() -> bytes:
            with self._answer("PUT", f"/v1/ledgers/{ledger}", {}, content=archive()) as response:
                return response.read()

        return self._patiently(once)

    def window(self, since: str | None, until: str | None, path: Path) -> None:
        """Writes the package of a window of time to a file; `TooLarge` lists windows that fit."""
        given = {"since": since, "until": until}
        self._fetch("/v1/export", path, {k: v for k, v in given.items() if v is not None})

    def sessions(self, period: str, path: Path) -> None:
        """Writes the billing identities of a period, a JSON object a line, to a file."""
        self._fetch(f"/v1/periods/{period}/sessions", path, {}, timeout=_LONG)

    def _ask(
        self,
        method: str,
        path: str,
        params: Mapping[str, float | str] | None = None,
        json: object = None,
        timeout: httpx.Timeout = _TIMEOUT,
    ) -> bytes:
        def once() -> bytes:
            with self._answer(method, path, params or {}, json, timeout=timeout) as response:
                return response.read()

        return self._patiently(once)

    def _fetch(
        self,
        path: str,
        file: Path,
        params: Mapping[str, float | str],
        attempts: int = 0,
        timeout: httpx.Timeout = _TIMEOUT,
    ) -> None:
        def once() -> None:
            answer = self._answer("GET", path, params, timeout=timeout)
            with answer as response, file.open("wb") as out:
                for chunk in response.iter_raw():
                    out.write(chunk)
                out.flush()
                os.fsync(out.fileno())

        self._patiently(once, attempts)

    @contextmanager
    def _answer(
        self,
        method: str,
        path: str,
        params: Mapping[str, float | str],
        json: object = None,
        content: Iterator[bytes] | None = None,
        timeout: httpx.Timeout = _TIMEOUT,
    ) -> Iterator[httpx.Response]:
        answered = False
        try:
            with self._client.stream(
                method, path, params=params, json=json, content=content, timeout=timeout
            ) as response:
                answered = True
                if response.status_code in _PASSING:
                    response.read()
                    broken = response.status_code == _BROKEN
                    raise _TryAgain(
                        f"answered {response.status_code}: {_problem(response).detail}",
                        Refused if broken else PeerUnavailable,
                    )
                if not response.is_success:
                    response.read()
                    raise self._refusal(response)
                yield response
        except httpx.TransportError as error:
            if untrusted := _untrusted(error):
                raise Refused(
                    f"{self.url} has a certificate that is not trusted: {untrusted}",
                    "give the CA's certificate (--ca-file)",
                ) from error
            if timeout is _LONG and isinstance(error, httpx.ReadTimeout):
                raise self._unavailable(_reason(error)) from error
            if answered:
                raise _TryAgain("broke off its answer", Refused) from error
            raise _TryAgain(_reason(error)) from error

    def _refusal(self, response: httpx.Response) -> Exception:
        problem = _problem(response)
        said = f"{self.url} answered {response.status_code}: {problem.detail}"
        match response.status_code:
            case 401:
                return Refused(said, "give a token that it knows (--token-file)")
            case 403:
                return Refused(said, "give a token with the role admin (--token-file)")
            case 404:
                return NotFound(said)
            case 413:
                return TooLarge(said, "ask for the windows listed", problem.windows)
        return Refused(said)

    def _unavailable(
        self, said: str, kind: type[PeerUnavailable] = PeerUnavailable
    ) -> PeerUnavailable:
        return kind(f"{self.url} {said}", "check that it runs and can be reached from here")

    def _patiently(self, once: Callable[[], _T], attempts: int = 0) -> _T:
        attempts = attempts or self._attempts
        for attempt in range(1, attempts + 1):
            try:
                return once()
            except _TryAgain as error:
                if attempt == attempts:
                    raise self._unavailable(str(error), error.lasting) from error
                _log.info("%s %s; attempt %d", self.url, error, attempt)
                self._sleep(FIRST_PAUSE * 2 ** (attempt - 1))
        raise AssertionError("unreachable")

    def _decoded(self, read: Callable[[bytes], _T], body: bytes) -> _T:
        try:
            return read(body)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise PeerUnavailable(
                f"{self.url} gave no answer of a collector: {error}",
                "check that this is the reporting port",
            ) from None


def _problem(response: httpx.Response) -> Problem:
    try:
        return read_problem(response.content)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return Problem(detail=response.reason_phrase)


def _untrusted(error: BaseException | None) -> str | None:
    """Why a certificate was refused, if that is what lies behind an error."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return error.verify_message
        error = error.__cause__ or error.__context__
    return None


def _reason(error: httpx.TransportError) -> str:
    if isinstance(error, httpx.TimeoutException):
        return "did not answer in time"
    if "WRONG_VERSION_NUMBER" in str(error):
        return "answers without TLS: write http:// before it, or leave out --secure"
    if isinstance(error, httpx.RemoteProtocolError) and error.request.url.scheme == "http":
        return f"cannot be reached: {error} If it speaks TLS, write https:// before it"
    return f"cannot be reached: {error}"
