"""Steps that are taken, against a real HTTP server."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.operator.support import NOW, as_observed, context
from usage_operator import errors
from usage_operator.kube import Access, Client
from usage_operator.manifests import disruption, secrets, service
from usage_operator.plan import Plan, Ref, Step, Verb, diff, ref
from usage_operator.reconcile.execute import execute, tell

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

BUDGET = disruption.build(context(), {"eu-1a": 1})
SERVICE = service.ingest(context())
KEYS = secrets.keys(context(), {})
RESOURCE = context().resource
OLD = as_observed(service.headless(context(), "old"))


@asynccontextmanager
async def api(
    refused: dict[str, int], there: dict[str, Any] | None = None, bodies: list[Any] | None = None
) -> AsyncIterator[tuple[list[str], Client]]:
    """Serve an API that refuses paths with these words; gives what it was asked.

    ``there``: what every GET gives, which is then not refused; ``bodies``: of what was sent.
    """
    asked: list[str] = []

    async def handle(request: web.Request) -> web.Response:
        force = request.query.get("force", "-")
        asked.append(f"{request.method} {request.path.rpartition('/')[2]} {force}")
        if there is not None and request.method == "GET":
            return web.json_response(there)
        if bodies is not None:
            bodies.append(await request.json())
        for word, status in refused.items():
            if word in request.path:
                return web.json_response({"message": f"no {word}"}, status=status)
        return web.json_response({})

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handle)
    async with TestServer(app) as server:
        access = Access(str(server.make_url("")).rstrip("/"), "m")
        async with Client(access) as client:
            yield asked, client


def plan(**more: Any) -> Plan:
    """Give a plan with a step of each kind."""
    return Plan(
        steps=[
            Step(Verb.CREATE, KEYS, "x"),
            Step(Verb.CREATE, BUDGET, "x"),
            Step(Verb.APPLY, SERVICE, "x"),
        ],
        prunes=[Step(Verb.DELETE, OLD, "x")],
        **more,
    )


async def test_steps_are_taken_in_order() -> None:
    """What is new is created, so that nothing is overwritten; what is ours is applied by force."""
    async with api({}) as (asked, client):
        taken, troubles = await execute(client, RESOURCE, plan())
    assert asked == [
        "POST secrets -",
        "POST poddisruptionbudgets -",
        "PATCH speech true",
        "DELETE speech-old -",
    ]
    assert len(taken) == 4
    assert not troubles


async def test_a_refusal_stops_pruning_only() -> None:
    """The other steps are taken, the refusal is told in the API server's words, nothing goes."""
    async with api({"poddisruptionbudgets": 422}) as (asked, client):
        taken, troubles = await execute(client, RESOURCE, plan())
    assert [step.ref.kind for step in taken] == ["Secret", "Service"]
    assert not any(line.startswith("DELETE") for line in asked)
    (trouble,) = troubles
    assert trouble.reason == "ApplyFailed"
    assert "PodDisruptionBudget speech-collector" in trouble.message
    assert "no poddisruptionbudgets" in trouble.message


async def test_what_fails_again_and_again_counts_as_refused() -> None:
    """Once it is no passing trouble it is told in the API server's words, and the rest goes on."""
    async with api({"poddisruptionbudgets": 500}) as (asked, client):
        taken, (trouble,) = await execute(client, RESOURCE, plan(), stubborn=True)
    assert [step.ref.kind for step in taken] == ["Secret", "Service"]
    assert "PodDisruptionBudget speech-collector" in trouble.message
    assert not any(line.startswith("DELETE") for line in asked)


async def test_a_prune_that_is_refused_is_told() -> None:
    """The other prunes are carried out."""
    refused = plan()
    older = OLD | {"metadata": OLD["metadata"] | {"name": "speech-older"}}
    refused.prunes.insert(0, Step(Verb.DELETE, older, "x"))
    async with api({"speech-older": 403}) as (_, client):
        taken, (trouble,) = await execute(client, RESOURCE, refused)
    assert taken[-1].ref.name == "speech-old"
    assert "speech-older" in trouble.message


async def test_a_taken_name_stops_pruning() -> None:
    """While something is in the way nothing is removed."""
    async with api({}) as (asked, client):
        await execute(client, RESOURCE, plan(taken=[Ref("ConfigMap", "speech-ca")]))
    assert not any(line.startswith("DELETE") for line in asked)


@pytest.mark.parametrize("status", [409, 429, 500])
async def test_what_may_work_later_is_raised(status: int) -> None:
    """Conflicts and outages end the pass, so that it is repeated as a whole."""
    async with api({"poddisruptionbudgets": status}) as (asked, client):
        with pytest.raises(errors.ApiError):
            await execute(client, RESOURCE, plan())
    assert [line for line in asked if not line.startswith("GET")] == asked[:2]


@pytest.mark.parametrize("ours", [True, False])
async def test_a_name_that_was_taken_meanwhile(ours: bool) -> None:
    """What is another's ends the pass and is told; what is ours is only looked at again."""
    there = BUDGET if ours else BUDGET | {"metadata": {"name": "speech-collector"}}
    async with api({"poddisruptionbudgets": 409}, there) as (asked, client):
        found = plan()
        if ours:
            with pytest.raises(errors.Conflict):
                await execute(client, RESOURCE, found)
        else:
            taken, _ = await execute(client, RESOURCE, found)
            assert [step.ref.kind for step in taken] == ["Secret"]
            assert found.taken == [Ref("PodDisruptionBudget", "speech-collector")]
    assert asked[1:] == ["POST poddisruptionbudgets -", "GET speech-collector -"]


async def test_what_was_created_is_adopted_before_it_is_applied() -> None:
    """Else an apply would not take away what is not wanted any more; others' entries stay."""
    entries: list[dict[str, Any]] = [
        {"manager": "usage-operator", "operation": "Update", "fieldsV1": {"f:spec": {}}},
        {"manager": "usage-operator", "operation": "Update", "subresource": "status"},
        {"manager": "somebody", "operation": "Update"},
    ]
    there = as_observed(SERVICE)
    there["metadata"]["managedFields"] = entries
    (step,) = diff([SERVICE], {ref(there): there}, name="speech", uid="uid-1").steps
    bodies: list[Any] = []
    async with api({}, there, bodies) as (asked, client):
        await execute(client, RESOURCE, Plan(steps=[step]))
    assert asked == ["GET speech -", "PATCH speech -", "PATCH speech true"]
    fields = [entries[0] | {"operation": "Apply"}, *entries[1:]]
    assert bodies[0] == {"metadata": {"resourceVersion": "7", "managedFields": fields}}


async def test_an_event_is_a_courtesy() -> None:
    """What keeps an Event from being recorded keeps nothing else from going on."""
    about = {"metadata": {"name": "speech", "namespace": "m"}}
    async with api({"events": 403}) as (asked, client):
        await tell(client, about, NOW, "x", reason="Serving", note="all is well", warn=False)
    assert asked == ["POST events -"]
