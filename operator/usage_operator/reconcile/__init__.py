"""One resource, from what is wanted to what is: the order of the steps."""

from __future__ import annotations

import datetime as dt
import logging
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from usage_operator import errors, manifests, naming, spec
from usage_operator.conditions import Facts, Trouble
from usage_operator.plan import Plan, Ref, diff, doors, failing
from usage_operator.reconcile import (
    census,
    classes,
    filling,
    inquiry,
    restores,
    survey,
    unread,
    volumes,
)
from usage_operator.reconcile.calm import UNSETTLED_SECONDS, Calm, Patience, versions
from usage_operator.reconcile.draining import Drained, Draining
from usage_operator.reconcile.execute import execute
from usage_operator.reconcile.key import Key
from usage_operator.reconcile.observe import Observed, complete, further, observe
from usage_operator.reconcile.publish import farewell, publish
from usage_operator.reconcile.references import References, check
from usage_operator.reconcile.restoring import Restoring

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from usage_operator.kube import Client, Mirror
    from usage_operator.plan import Fleet, Step
    from usage_operator.reconcile.calm import Versions
    from usage_operator.settings import Settings
    from usage_operator.spec import Resource

__all__ = ["Key", "Reconciler", "plan", "utc_now"]

_log = logging.getLogger(__name__)

MOVING_SECONDS = 20.0
"""How soon one with collectors that leave, or came back, is: they are asked, and tell nobody."""
SETTLED_SECONDS = 55.0
"""How soon a Ready one is: Secrets are not watched, and are to be back within a minute."""
ENOUGH_FAILURES = 4
"""So many in a row are no passing trouble; with the queue's waits they take some five seconds."""

_NONE = Drained()


def utc_now() -> dt.datetime:
    """Give the time of day."""
    return dt.datetime.now(dt.UTC)


class Reconciler:
    """Brings one resource after the other to what its spec wants."""

    def __init__(
        self,
        client: Client,
        settings: Settings,
        clock: Callable[[], dt.datetime] = utc_now,
        mirror: Mirror | None = None,
    ) -> None:
        self._client = client
        self._mirror = mirror
        self._settings = settings
        self._clock = clock
        self._inquiry = inquiry.Inquiry(settings)
        self._draining = Draining(settings)
        self._restoring = Restoring(settings)
        self._calm = Calm()
        self._patience = Patience()
        self._failures: Counter[Key] = Counter()

    def disturb(self, key: Key) -> None:
        """Take note that something happened to a resource."""
        self.refresh(key)
        self._patience.forget(key)

    def refresh(self, key: Key) -> None:
        """Let the next look be at everything: something may have happened that nobody noticed."""
        self._calm.disturb(key)

    async def __call__(self, key: Key) -> float | None:
        """Reconcile a resource; give the seconds until it should be looked at again."""
        client, now = self._client, self._clock()
        if await self._calm.holds(client, key):
            return SETTLED_SECONDS
        self._calm.begin(key)
        document = await client.get(naming.KIND, *key)
        if document is None or document["metadata"].get("deletionTimestamp"):
            self._inquiry.forget(key)
            self._failures.pop(key, None)
            self._calm.disturb(key)
            await farewell(client, key.namespace, key.name, now)
            return None
        names = naming.Names(key.name, key.namespace, self._settings.cluster_domain)
        seen = await observe(client, names, self._mirror)
        facts = Facts(generation=document["metadata"].get("generation", 0), now=now)
        try:
            resource = spec.parse(document)
        except errors.InvalidSpec as error:
            await publish(client, document, unread.tell(facts, document, seen, names, error))
            return SETTLED_SECONDS
        context = context_of(resource, self._settings, seen)
        before = document.get("status") or {}
        facts, unwatched = await self._pursue(context, seen, facts, before)
        upcoming = survey.next_export(context.spec, facts, before, survey.made(document))
        facts = replace(facts, next_export=upcoming)
        facts = await self._inquiry.complete(context, seen, facts, before)
        facts = replace(
            facts,
            filling=filling.tell(facts.zones, before),
            damaged=survey.damaged(facts.zones, before),
            lost=survey.lost(context.names, bool(context.spec.backup), facts.zones, before),
        )
        ready = await publish(client, document, facts)
        expects = ready and self._inquiry.expects(key, now)
        moving = survey.moving(facts.zones, seen)
        under_way = moving or expects or survey.awaited(facts)
        if ready and unwatched is not None and not under_way:
            self._calm.settle(key, unwatched)
        if not ready:
            return self._patience.seconds(key)
        self._patience.forget(key)
        if expects:
            return UNSETTLED_SECONDS
        return MOVING_SECONDS if moving else SETTLED_SECONDS

    async def _pursue(
        self, context: manifests.Context, seen: Observed, facts: Facts, before: Mapping[str, Any]
    ) -> tuple[Facts, Versions | None]:
        """Plan and take the steps; give the facts of what was found and done.

        Where nothing was done, give also the versions of what it depended on and nobody watches.
        """
        client, resource = self._client, context.resource
        fleet = census.fleet(seen, resource)
        if context.spec.webhooks.assemblyai:
            await further(client, context.names, seen)
        references = await check(client, context, seen, list(fleet.running), facts.now)
        if references.troubles:
            return replace(_found(facts, context, seen, fleet), blocked=_blocked(references)), None
        facts = replace(
            facts,
            export_troubles=references.export_troubles,
            backup_troubles=references.backup_troubles,
            alert_troubles=references.alert_troubles,
        )
        drained = Drained()
        if not context.spec.paused:
            drained = await self._draining.look(context, seen, fleet, references, facts.now)
            fleet = census.fleet(seen, resource, drained.empty)
        facts = _found(facts, context, seen, fleet, drained)
        back = await self._restoring.look(
            client, context, seen, fleet, references, before, facts.now
        )
        facts = replace(facts, restore_waits=back.waits, restore_troubles=back.troubles)
        try:
            # Where nothing runs yet, creating tells which names are another's, and costs less.
            asked = client if seen.of("StatefulSet") or seen.of("Service") else None
            steps = await plan(asked, context, seen, fleet, references, facts.now, drained, back)
        except errors.UnusableSecret as error:
            return replace(facts, blocked=Trouble("SecretInvalid", str(error))), None
        if references.pending:
            survey.confine(steps, "Certificate")
            facts = replace(facts, blocked=references.pending)
        taken: list[Step] = []
        troubles = survey.taken(steps)
        if not (context.spec.paused or troubles):
            taken, troubles = await self._execute(resource, steps)
            troubles += survey.taken(steps)
        lacking = await classes.default(client, seen.of("PersistentVolumeClaim"))
        troubles += classes.of(lacking, naming.COLLECTOR)
        waiting = () if context.spec.paused else survey.waiting(steps)
        facts = replace(
            facts,
            written=survey.disturbing(taken),
            waiting=waiting,
            window=survey.held_by_window(context.spec, steps, facts.now),
            troubles=tuple(troubles),
            export_troubles=facts.export_troubles + classes.of(lacking, naming.EXPORT),
            backup_troubles=facts.backup_troubles + classes.of(lacking, naming.BACKUP),
        )
        unwatched = [*seen.of("Secret"), *references.secrets, *references.authority]
        return facts, None if taken or seen.silent else versions(unwatched)

    async def _execute(self, resource: Resource, steps: Plan) -> tuple[list[Step], list[Trouble]]:
        """Take the steps; what the API server fails over again and again is told as a refusal."""
        key = Key(resource.namespace, resource.name)
        stubborn = self._failures[key] >= ENOUGH_FAILURES
        try:
            taken, troubles = await execute(self._client, resource, steps, stubborn=stubborn)
        except errors.Failing:
            self._failures[key] += 1
            raise
        if not troubles:
            self._failures.pop(key, None)
        return taken, troubles


def context_of(resource: Resource, settings: Settings, seen: Observed) -> manifests.Context:
    """Put together what objects are built from."""
    return manifests.Context(
        resource,
        settings.collector_image,
        settings.cluster_domain,
        ca_life=dt.timedelta(days=settings.ca_days),
        leaf_life=dt.timedelta(days=settings.certificate_days),
        operator_namespace=settings.own_namespace,
        proxy_image=settings.proxy_image,
        runbooks=settings.runbooks,
        offered=seen.offered,
    )


async def plan(
    client: Client | None,
    context: manifests.Context,
    seen: Observed,
    fleet: Fleet,
    references: References,
    now: dt.datetime,
    drained: Drained = _NONE,
    back: restores.Restores | None = None,
) -> Plan:
    """Compare what should be with what is.

    With a client, ``seen`` is completed by objects of others that have a name we want.
    """
    names = context.names
    back = back or restores.decide(context, seen, fleet, {}, now)
    known = census.known(context, seen, fleet, references, drained.empty, back.wanted)
    desired = manifests.build(context, known, now)
    if client is not None:
        await complete(client, names.namespace, seen, desired)
    leaving = {Ref("StatefulSet", names.zone(zone)) for zone in fleet.leaving}
    found = diff(
        volumes.kept(desired, seen.objects),
        seen.objects,
        name=names.name,
        uid=context.resource.uid,
        kept=leaving | back.kept,
        fixed=leaving,
        failed=failing(seen.collectors),
        closed=survey.window(context.spec, now),
    )
    classes.withhold(found, references.classes, seen.objects)
    found.steps[:0] = doors(seen.collectors, fleet, drained.reopened, now)
    return found


def _blocked(references: References) -> Trouble:
    """Put all that is missing into one sentence."""
    first = references.troubles[0]
    return Trouble(first.reason, "; ".join(one.message for one in references.troubles))


def _found(
    facts: Facts,
    context: manifests.Context,
    seen: Observed,
    fleet: Fleet,
    drained: Drained = _NONE,
) -> Facts:
    """Add what can be told before anything is done."""
    return replace(
        facts,
        paused=context.spec.paused,
        zones=survey.zones(seen, fleet, context.names, facts.now, drained.waits),
        idle_discards=fleet.idle_discards,
        differing=volumes.differing(context.spec, seen.of("PersistentVolumeClaim")),
        runs=survey.export_runs(seen),
        backups=survey.backup_runs(seen),
        backed_zones=tuple(fleet.running) if context.spec.backup else (),
        backup_rule=survey.backup_rule(context.spec, seen),
        near=survey.near(context.spec, seen),
        behind=survey.behind(context, seen, fleet.running, facts.now),
        restores=survey.restore_runs(seen),
        proxies=survey.proxies(context, seen, facts.now),
        endpoints=survey.endpoints(context),
        webhooks=survey.webhooks_endpoint(context),
        ca_bundle=context.names.ca,
    )
