"""The API client, against a real HTTP server that answers like the API server."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer

from usage_operator import errors
from usage_operator.kube import Access, Client, from_file, in_cluster
from usage_operator.kube.paths import path

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    Handler = Callable[[web.Request], Awaitable[web.Response]]

SERVICE = {"kind": "Service", "metadata": {"namespace": "m", "name": "x", "uid": "u"}}


class Api:
    """Answers with what it is told, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str], Any]] = []
        self.headers: list[dict[str, str]] = []
        self.status = 200
        self.body: dict[str, Any] = {"ok": True}
        self.answer_headers: dict[str, str] = {}

    async def handle(self, request: web.Request) -> web.Response:
        """Answer any request."""
        text = await request.text()
        self.asked.append(
            (request.method, request.path, dict(request.query), json.loads(text) if text else None)
        )
        self.headers.append(dict(request.headers))
        return web.json_response(self.body, status=self.status, headers=self.answer_headers)


@pytest.fixture
async def served() -> AsyncIterator[tuple[Api, Client]]:
    """Give a server and a client of it."""
    api = Api()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", api.handle)
    async with TestServer(app) as server:
        access = Access(str(server.make_url("")).rstrip("/"), "m", token="secret")
        async with Client(access) as client:
            yield api, client


async def test_apply_is_server_side(served: tuple[Api, Client]) -> None:
    """Field manager, strictness and force are asked for, at the object's own path."""
    api, client = served
    assert await client.apply(SERVICE) == {"ok": True}
    method, where, parameters, body = api.asked[0]
    assert (method, where, body) == ("PATCH", "/api/v1/namespaces/m/services/x", SERVICE)
    assert parameters == {
        "fieldManager": "usage-operator",
        "fieldValidation": "Strict",
        "force": "true",
    }
    assert api.headers[0]["Content-Type"] == "application/apply-patch+yaml"
    assert api.headers[0]["Authorization"] == "Bearer secret"


async def test_list_completes_what_lists_leave_out(served: tuple[Api, Client]) -> None:
    """Items of a list get their kind and API version back."""
    api, client = served
    api.body = {"items": [{"metadata": {"name": "x"}}]}
    found = await client.list("CronJob", "m", {"a": "b", "c": "d"})
    assert found == [{"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "x"}}]
    assert api.asked[0][1:3] == (
        "/apis/batch/v1/namespaces/m/cronjobs",
        {"labelSelector": "a=b,c=d"},
    )


async def test_delete_hits_only_what_was_read(served: tuple[Api, Client]) -> None:
    """The uid is a precondition; what is gone already is no error."""
    api, client = served
    await client.delete(SERVICE, "Orphan")
    assert api.asked[0][3] == {"propagationPolicy": "Orphan", "preconditions": {"uid": "u"}}
    api.status = 404
    await client.delete(SERVICE)


async def test_what_does_not_exist_is_none(served: tuple[Api, Client]) -> None:
    """A missing object is an answer, not an error."""
    api, client = served
    api.status = 404
    assert await client.get("Service", "m", "x") is None


async def test_what_all_resources_share_is_asked_for_once(served: tuple[Api, Client]) -> None:
    """What was there a moment ago is taken to be; what was not is asked for again."""
    api, client = served
    api.status = 404
    assert [await client.exists("StorageClass", "ssd") for _ in range(2)] == [False, False]
    api.status = 200
    assert [await client.exists("StorageClass", "ssd") for _ in range(2)] == [True, True]
    assert [one[1] for one in api.asked] == ["/apis/storage.k8s.io/v1/storageclasses/ssd"] * 3


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.Rejected),
        (401, errors.Forbidden),
        (403, errors.Forbidden),
        (404, errors.NotFound),
        (409, errors.Conflict),
        (422, errors.Rejected),
        (429, errors.ApiUnavailable),
        (500, errors.Failing),
        (503, errors.ApiUnavailable),
    ],
)
async def test_refusals(
    served: tuple[Api, Client], status: int, kind: type[errors.ApiError]
) -> None:
    """Each status has its error, with the server's own message."""
    api, client = served
    api.status, api.body = status, {"message": "field is immutable"}
    with pytest.raises(kind, match="field is immutable"):
        await client.apply(SERVICE)


async def test_retry_after_is_kept(served: tuple[Api, Client]) -> None:
    """The seconds that the server asks for reach whoever waits."""
    api, client = served
    api.status, api.answer_headers = 429, {"Retry-After": "7"}
    with pytest.raises(errors.ApiUnavailable) as caught:
        await client.list("Pod", "m")
    assert caught.value.retry_after == 7


async def test_an_answer_of_somebody_else_is_none() -> None:
    """What stands before an API server may answer for it with a page, and 200."""

    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<html>one moment</html>", content_type="text/html")

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", page)
    async with TestServer(app) as server:
        access = Access(str(server.make_url("")).rstrip("/"), "m")
        async with Client(access) as client:
            with pytest.raises(errors.ApiUnavailable, match="no JSON"):
                await client.get("Pod", "m", "x")


async def test_a_token_that_is_away_is_waited_for(tmp_path: Path) -> None:
    """A kubelet may be about to write it: that ends no attempt otherwise than no answer does."""
    access = Access("http://127.0.0.1:1", "m", token_file=tmp_path / "token")
    async with Client(access) as client:
        with pytest.raises(errors.ApiUnavailable, match="token"):
            await client.get("Pod", "m", "x")


async def test_no_answer_is_unavailable() -> None:
    """A server that is down is an error that can be repeated."""
    async with Client(Access("http://127.0.0.1:1", "m")) as client:
        with pytest.raises(errors.ApiUnavailable):
            await client.get("Pod", "m", "x")


def test_paths() -> None:
    """Core and named groups, all namespaces, and kinds without one."""
    assert path("Pod", "m", "x") == "/api/v1/namespaces/m/pods/x"
    assert path("UsageCollector") == "/apis/usage-operator.io/v1/usagecollectors"
    assert path("StorageClass", "m", "x") == "/apis/storage.k8s.io/v1/storageclasses/x"
    assert path("Secret", "m", "../x") == "/api/v1/namespaces/m/secrets/..%2Fx"


def kubeconfig(folder: Path, **user: Any) -> Path:
    """Write a kubeconfig with that user."""
    (folder / "ca.pem").write_text("CA")
    file = folder / "config"
    document = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u", "namespace": "n"}}],
        "clusters": [
            {"name": "k", "cluster": {"server": "https://h:1/", "certificate-authority": "ca.pem"}}
        ],
        "users": [{"name": "u", "user": user}],
    }
    file.write_text(yaml.safe_dump(document))
    return file


def test_a_kubeconfig(tmp_path: Path) -> None:
    """Files beside it and data within it are read."""
    data = base64.b64encode(b"CERT").decode()
    file = kubeconfig(tmp_path, **{"client-certificate-data": data, "token": "t"})
    access = from_file(file)
    assert (access.server, access.namespace, access.ca) == ("https://h:1", "n", "CA")
    assert (access.certificate, access.bearer()) == ("CERT", "t")


def test_a_token_file_is_read_again(tmp_path: Path) -> None:
    """A service account's token is renewed in place."""
    for name in ("namespace", "ca.crt", "token"):
        (tmp_path / name).write_text(name)
    access = in_cluster("10.0.0.1", "443", tmp_path)
    assert (access.server, access.namespace, access.bearer()) == (
        "https://10.0.0.1:443",
        "namespace",
        "token",
    )
    (tmp_path / "token").write_text("new\n")
    assert access.bearer() == "new"


def test_bad_access_is_explained(tmp_path: Path) -> None:
    """A missing file, context, plug-in or account is an error with a way out."""
    with pytest.raises(errors.InvalidSettings, match="readable"):
        from_file(tmp_path / "none")
    with pytest.raises(errors.InvalidSettings, match="no context named 'x'"):
        from_file(kubeconfig(tmp_path), "x")
    with pytest.raises(errors.InvalidSettings, match="certificate or a token"):
        from_file(kubeconfig(tmp_path, exec={}))
    with pytest.raises(errors.InvalidSettings, match="KUBECONFIG"):
        in_cluster("h", "1", tmp_path / "none")
