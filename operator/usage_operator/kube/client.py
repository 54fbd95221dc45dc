"""The Kubernetes API over HTTP: get, list, server-side apply, delete, patch status."""

from __future__ import annotations

import contextlib
import json
import time
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import aiohttp

from usage_operator import errors, naming
from usage_operator.kube.paths import KINDS, OPTIONAL, path

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from types import TracebackType

    from usage_operator.kube.config import Access

Object = dict[str, Any]

_TIMEOUT = aiohttp.ClientTimeout(total=30, sock_connect=10)
_TOKEN_SECONDS = 60.0
_OFFER_SECONDS = 60.0
"""How soon the API server is asked again which kinds it knows."""
_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"
_PAGE = 100
_SILENCE = 90.0
"""Seconds after which a watch that says nothing is taken for dead: a bookmark comes each minute."""


class Page(NamedTuple):
    """A part of a list, and the version that the list has as a whole."""

    items: Sequence[Object]
    version: str


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
    if status == 410:
        return errors.Expired(text)
    if status == 500:
        return errors.Failing(text, "it is tried again")
    if status == 429 or status > 500:
        wait = float(retry_after) if retry_after and retry_after.isdigit() else None
        return errors.ApiUnavailable(text, "the API server is busy or down", wait)
    return errors.Rejected(text)


def _selector(labels: Mapping[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in labels.items())


class Client:
    """One connection pool to the API server; use it as an asynchronous context.

    Every method raises a subclass of ApiError. ``requests`` counts what was sent, by verb.
    ``permit`` is asked before everything that changes something; NotLeading when it refuses.
    ``wrote`` is told what the API server answered to each creation or apply. ``connections`` may be
    open at once; 0: any number. ``remember``: for how many seconds, of a minute at most, what the
    API server offers, and what all resources share, is taken to be so.
    """

    def __init__(
        self,
        access: Access,
        permit: Callable[[], bool] = lambda: True,
        wrote: Callable[[Object], None] = lambda _: None,
        connections: int = 8,
        remember: float = _OFFER_SECONDS,
    ) -> None:
        self.access = access
        self._permit = permit
        self._wrote = wrote
        self._connections = connections
        self.requests: dict[str, int] = {}
        self._token: str | None = None
        self._token_read = float("-inf")
        self._session: aiohttp.ClientSession | None = None
        self._remember = min(remember, _OFFER_SECONDS)
        self._offered: frozenset[str] = frozenset()
        self._offers_asked = float("-inf")
        self._found: dict[tuple[str, str], float] = {}

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(
            ssl=self.access.context() or False, limit=self._connections
        )
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

    @contextlib.asynccontextmanager
    async def _asked(
        self,
        method: str,
        where: str,
        parameters: Mapping[str, str] | None = None,
        *,
        body: object = None,
        content: str = "application/json",
        limits: aiohttp.ClientTimeout = _TIMEOUT,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Ask, and give the answer; a refusal, or none, is an ApiError."""
        if self._session is None:
            raise RuntimeError("the client is used outside of its context")
        if method != "GET" and not self._permit():
            raise errors.NotLeading(f"{method} {where} was left out", "the Lease is another's now")
        self.requests[method] = self.requests.get(method, 0) + 1
        data = json.dumps(body).encode() if body is not None else None
        url = self.access.server + where
        try:
            headers = self._headers() | ({"Content-Type": content} if body is not None else {})
            async with self._session.request(
                method, url, params=parameters, data=data, headers=headers, timeout=limits
            ) as response:
                if response.status == 401:
                    self._token_read = float("-inf")
                if response.status >= 400:
                    retry_after = response.headers.get("Retry-After")
                    said = await response.read()
                    raise _error(response.status, f"{method} {where}", said, retry_after)
                yield response
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise errors.ApiUnavailable(
                f"{method} {where} got no answer ({error or type(error).__name__})",
                "it is tried again",
            ) from error

    async def _call(
        self,
        method: str,
        where: str,
        *,
        parameters: Mapping[str, str] | None = None,
        body: object = None,
        content: str = "application/json",
    ) -> Any:
        async with self._asked(method, where, parameters, body=body, content=content) as response:
            said = await response.read()
        try:
            return json.loads(said)
        except ValueError as error:
            raise errors.ApiUnavailable(
                f"{method} {where} was answered with what is no JSON",
                "look at what stands before the API server; it is tried again",
            ) from error

    async def offered(self) -> frozenset[str]:
        """Give which of the optional kinds the API server knows, or did a moment ago."""
        if time.monotonic() - self._offers_asked < self._remember:
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

    async def exists(self, kind: str, name: str) -> bool:
        """Tell whether an object without a namespace is there, or was a moment ago."""
        if time.monotonic() - self._found.get((kind, name), float("-inf")) < self._remember:
            return True
        there = await self.get(kind, None, name) is not None
        if there:
            self._found[kind, name] = time.monotonic()
        return there

    async def list(
        self, kind: str, namespace: str | None, labels: Mapping[str, str] | None = None
    ) -> list[Object]:
        """List a kind's objects that carry the labels; namespace None: of all namespaces."""
        parameters = {"labelSelector": _selector(labels)} if labels else None
        answer = await self._call("GET", path(kind, namespace), parameters=parameters)
        about = {"apiVersion": KINDS[kind].api, "kind": kind}
        return [about | item for item in answer.get("items") or []]

    async def pages(
        self, kind: str, namespace: str | None, labels: Mapping[str, str], size: int = _PAGE
    ) -> AsyncIterator[Page]:
        """List a kind's objects in pages, so that many need not be in memory at once.

        Expired when that took so long that the list has to begin anew.
        """
        about = {"apiVersion": KINDS[kind].api, "kind": kind}
        parameters = {"labelSelector": _selector(labels), "limit": str(size)}
        more = ""
        while True:
            answer = await self._call(
                "GET",
                path(kind, namespace),
                parameters=parameters | ({"continue": more} if more else {}),
            )
            items = [about | item for item in answer.get("items") or []]
            yield Page(items, str(answer["metadata"]["resourceVersion"]))
            more = answer["metadata"].get("continue") or ""
            if not more:
                return

    async def follow(
        self,
        kind: str,
        namespace: str | None,
        labels: Mapping[str, str],
        version: str,
        seconds: int,
    ) -> AsyncIterator[Mapping[str, Any]]:
        """Give the events after a version, for so many seconds; Expired when it is too old."""
        parameters = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "labelSelector": _selector(labels),
            "resourceVersion": version,
            "timeoutSeconds": str(seconds),
        }
        limits = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=_SILENCE)
        where = path(kind, namespace)
        async with self._asked("GET", where, parameters, limits=limits) as response:
            rest = b""
            async for chunk in response.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        said = event["object"]
                        raise _error(int(said.get("code", 500)), f"WATCH {where}", line, None)
                    yield event

    async def create(self, document: Object) -> Object:
        """Make an object; Conflict if there is one of that name."""
        metadata = document["metadata"]
        made: Object = await self._call(
            "POST",
            path(document["kind"], metadata.get("namespace")),
            parameters={"fieldManager": naming.FIELD_MANAGER, "fieldValidation": "Strict"},
            body=document,
        )
        self._wrote(made)
        return made

    async def adopt(self, thing: Object) -> None:
        """Let what we created be ours as if it had been applied, so that applies can take away.

        As client-go's ``csaupgrade`` does it: our entry of the managed fields changes its
        operation. Conflict if the object changed meanwhile.
        """
        metadata = thing["metadata"]
        where = path(thing["kind"], metadata["namespace"], metadata["name"])
        there = (await self._call("GET", where))["metadata"]
        ours = {"manager": naming.FIELD_MANAGER, "operation": "Update"}
        fields = [
            entry | {"operation": "Apply"}
            if ours.items() <= entry.items() and not entry.get("subresource")
            else entry
            for entry in there["managedFields"]
        ]
        body = {"resourceVersion": there["resourceVersion"], "managedFields": fields}
        self._wrote(await self._call("PATCH", where, body={"metadata": body}, content=_MERGE))

    async def apply(self, document: Object, *, part: str = "") -> Object:
        """Apply an object server-side; what we want of another's fields becomes ours."""
        metadata = document["metadata"]
        applied: Object = await self._call(
            "PATCH",
            path(document["kind"], metadata.get("namespace"), metadata["name"], part),
            parameters={
                "fieldManager": naming.FIELD_MANAGER,
                "fieldValidation": "Strict",
                "force": "true",
            },
            body=document,
            content=_APPLY,
        )
        if not part:
            self._wrote(applied)
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
