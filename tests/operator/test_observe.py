"""What is read of a resource, against a server that answers like the API server."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.operator.support import NOW, context
from usage_operator import errors
from usage_operator.kube import Access, Client
from usage_operator.kube.paths import KINDS, OPTIONAL
from usage_operator.reconcile import references
from usage_operator.reconcile.observe import Observed, observe

if TYPE_CHECKING:
    from collections.abc import Collection

CONVERSION = "conversion webhook failed"


async def seen(broken: Collection[str]) -> Observed:
    """Observe a cluster that knows all kinds, has no object, and does not list some kinds."""
    plurals = {KINDS[kind].plural for kind in broken}

    async def answer(request: web.Request) -> web.Response:
        if "/secrets/" in request.path:
            return web.json_response({"message": "there is none"}, status=404)
        if request.path.rpartition("/")[2] in plurals:
            return web.json_response({"message": CONVERSION}, status=500)
        return web.json_response({"resources": [{"kind": one} for one in OPTIONAL], "items": []})

    app = web.Application()
    app.router.add_get("/{tail:.*}", answer)
    async with TestServer(app) as server:
        access = Access(str(server.make_url("")).rstrip("/"), "metering")
        async with Client(access) as client:
            return await observe(client, context().names)


async def test_a_kind_of_others_that_is_not_listed() -> None:
    """It is known to be silent and is not built; who needs it waits, and nobody else does."""
    found = await seen({"Certificate"})
    assert found.offered == set(OPTIONAL) - {"Certificate"}
    client = cast("Client", None)
    asked = context(ingest={"tls": {"issuerRef": {"name": "corp"}}})
    with pytest.raises(errors.ApiUnavailable, match=CONVERSION):
        await references.check(client, asked, found, ["eu-1a"], NOW)
    assert not (await references.check(client, context(), found, ["eu-1a"], NOW)).troubles


async def test_a_kind_of_ours_that_is_not_listed() -> None:
    """Nothing is decided without it: what is not seen would be made anew."""
    with pytest.raises(errors.ApiUnavailable, match=CONVERSION):
        await seen({"StatefulSet"})
