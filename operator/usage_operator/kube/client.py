"""The Kubernetes API over HTTP: get, list, server-side apply, delete, patch status."""

from __future__ import annotations

import contextlib
import json
import time
from typing import TYPE_CHECKING, Any, Self

import aiohttp

from usage_operator import errors, naming
from usage_operator.kube.paths import KINDS, OPTIONAL, path

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from usage_operator.kube.config import Access

Object = dict[str, Any]

_TIMEOUT = aiohttp.ClientTimeout(total=30, connect=10)
_TOKEN_SECONDS = 60.0
_OFFER_SECONDS = 60.0
"""How soon the API server is asked again which kinds it knows."""
_APPLY = "application/apply-patch+yaml"


def _error(status: int, what: str, body: bytes, retry_after: str | None) -> errors.ApiError:
    """Turn a refusal into an error; the API server's own message says what is wrong."""
    try:
        message = str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        message = body[:200].decode(errors="replace")
    text = f"{what}: {message}"
    if status in {401, 403}:
        return errors.Forbidden(text)
    if status == 404:
        return errors.NotFound(text)
    if status == 409:
        return errors.Conflict(text)
    if status == 429 or status >= 500:
        wait = float(retry_after) if retry_after and retry_after.isdigit() else None
        return errors.ApiUnavailable(text, "the API server is busy or down", wait)
    return errors.Rejected(text)


class Client:
    """One connection pool to the API server; use it as an asynchronous context.

    Every method raises a subclass of ApiError. ``requests`` counts what was sent, by verb.
    ``permit`` is asked before everything that changes something; NotLeading when it refuses.
    """

    def __init__(self, access: Access, permit: Callable[[], bool] = lambda: True) -> None:
        self.access = access
        self._permit = permit
        self.requests: dict[str, int] = {}
        self._token: str | None = None
        self._token_read = float("-inf")
        self._session: aiohttp.ClientSession | None = None
        self._offered: frozenset[str] = frozenset()
        self._offers_asked = float("-inf")

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(ssl=self.access.context() or False, limit=32)
        self._session = aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    def _headers(self) -> dict[str, str]:
        if time.monotonic() - self._token_read > _TOKEN_SECONDS:
            self._token = self.access.bearer()
            self._token_read = time.monotonic()
        headers = {"Accept": "application/json", "User-Agent": naming.FIELD_MANAGER}
        return headers | ({"Authorization": f"Bearer {self._token}"} if self._token else {})

    async def _call(
        self,
        method: str,
        where: str,
        *,
        parameters: Mapping[str, str] | None = None,
        body: object = None,
        content: str = "application/json",
    ) -> Any:
        if self._session is None:
            raise RuntimeError("the client is used outside of its context")
        if method != "GET" and not self._permit():
            raise errors.NotLeading(f"{method} {where} was left out", "the Lease is another's now")
        self.requests[method] = self.requests.get(method, 0) + 1
        headers = self._headers() | ({"Content-Type": content} if body is not None else {})
        data = json.dumps(body).encode() if body is not None else None
        try:
            async with self._session.request(
                method, self.access.server + where, params=parameters, data=data, headers=headers
            ) as response:
                answer = await response.read()
                status, retry_after = response.status, response.headers.get("Retry-After")
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise errors.ApiUnavailable(
                f"{method} {where} got no answer ({error or type(error).__name__})",
                "it is tried again",
            ) from error
        if status == 401:
            self._token_read = float("-inf")
        if status >= 400:
            raise _error(status, f"{method} {where}", answer, retry_after)
        return json.loads(answer)

    async def offered(self) -> frozenset[str]:
        """Give which of the optional kinds the API server knows; it may be a minute old."""
        if time.monotonic() - self._offers_asked < _OFFER_SECONDS:
            return self._offered
        known: set[str] = set()
        for api in sorted({KINDS[kind].api for kind in OPTIONAL}):
            with contextlib.suppress(errors.NotFound):
                answer = await self._call("GET", f"/apis/{api}")
                known |= {one["kind"] for one in answer.get("resources") or []}
        self._offered, self._offers_asked = frozenset(known & set(OPTIONAL)), time.monotonic()
        return self._offered

    async def get(self, kind: str, namespace: str | None, name: str) -> Object | None:
        """Read one object; None where there is none."""
        try:
            found: Object = await self._call("GET", path(kind, namespace, name))
        except errors.NotFound:
            return None
        return found

    async def list(
        self, kind: str, namespace: str | None, labels: Mapping[str, str] | None = None
    ) -> list[Object]:
        """List a kind's objects that carry the labels; namespace None: of all namespaces."""
        selector = ",".join(f"{key}={value}" for key, value in (labels or {}).items())
        parameters = {"labelSelector": selector} if selector else None
        answer = await self._call("GET", path(kind, namespace), parameters=parameters)
        about = {"apiVersion": KINDS[kind].api, "kind": kind}
        return [about | item for item in answer.get("items") or []]

    async def create(self, document: Object) -> Object:
        """Make an object; Conflict if there is one of that name."""
        metadata = document["metadata"]
        made: Object = await self._call(
            "POST",
            path(document["kind"], metadata.get("namespace")),
            parameters={"fieldManager": naming.FIELD_MANAGER, "fieldValidation": "Strict"},
            body=document,
        )
        return made

    async def apply(self, document: Object, *, force: bool = True, part: str = "") -> Object:
        """Apply an object server-side; without force, Conflict where a field is another's."""
        metadata = document["metadata"]
        applied: Object = await self._call(
            "PATCH",
            path(document["kind"], metadata.get("namespace"), metadata["name"], part),
            parameters={
                "fieldManager": naming.FIELD_MANAGER,
                "fieldValidation": "Strict",
                "force": str(force).lower(),
            },
            body=document,
            content=_APPLY,
        )
        return applied

    async def delete(self, thing: Object, propagation: str = "Background") -> None:
        """Delete exactly the object that was read; what is gone already is no error."""
        metadata = thing["metadata"]
        options = {
            "propagationPolicy": propagation,
            "preconditions": {"uid": metadata["uid"]},
        }
        where = path(thing["kind"], metadata.get("namespace"), metadata["name"])
        try:
            await self._call("DELETE", where, body=options)
        except errors.NotFound:
            return
