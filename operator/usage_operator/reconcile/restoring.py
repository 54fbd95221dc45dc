"""Asks collectors whether they lost what a backup has, and looks after the restores."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import TYPE_CHECKING, Any

from usage_operator import naming, probe
from usage_operator.conditions import ready
from usage_operator.manifests import restore, secrets
from usage_operator.plan import Ref, place
from usage_operator.reconcile import restores
from usage_operator.reconcile.draining import address, admin_token
from usage_operator.reconcile.restores import SOURCE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from usage_operator.kube import Client
    from usage_operator.manifests import Context, backup
    from usage_operator.plan import Fleet, Object
    from usage_operator.reconcile.observe import Observed
    from usage_operator.reconcile.references import References
    from usage_operator.settings import Settings

PAUSE = dt.timedelta(seconds=50)
"""A collector is asked no more often than that what it has."""


class Restoring:
    """Asks collectors whether they lack what a backup has, and remembers what they said."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._said: dict[str, tuple[dt.datetime, str | None]] = {}

    async def look(
        self,
        client: Client,
        context: Context,
        seen: Observed,
        fleet: Fleet,
        references: References,
        before: Mapping[str, Any],
        now: dt.datetime,
    ) -> restores.Restores:
        """Ask those whose loss is to be made good without a person, and decide."""
        lost: dict[str, str] = {}
        bundle = seen.objects.get(Ref("ConfigMap", context.names.ca))
        wanted = context.spec.backup
        if wanted and wanted.auto_restore and self._settings.probe and bundle is not None:
            times = {one["zone"]: one.get("time") for one in before.get("backups") or []}
            ask = probe.Admin(bundle["data"]["ca.crt"], admin_token(context, seen, references))
            pods = {
                where: pod
                for pod in seen.collectors
                if (where := place(pod)) and ready(pod) and times.get(where[0])
            }
            said = await asyncio.gather(
                *(self._ask(context, ask, where, pod, times[where[0]], now)
                  for where, pod in sorted(pods.items()))
            )  # fmt: skip
            for (zone, ordinal), what in zip(sorted(pods), said, strict=True):
                if what:
                    lost[zone] = "; ".join(filter(None, (lost.get(zone), f"{ordinal} {what}")))
        found = restores.decide(context, seen, fleet, lost, now)
        return await self._checked(client, context, seen, found)

    async def _ask(
        self,
        context: Context,
        ask: probe.Admin,
        where: tuple[str, int],
        pod: Object,
        backed_up: str | None,
        now: dt.datetime,
    ) -> str | None:
        uid = pod["metadata"]["uid"]
        before = self._said.get(uid)
        if before is not None and now - before[0] < PAUSE:
            return before[1]
        told = await ask.holds(address(context, *where))
        if told is None:
            return None
        self._said = {key: one for key, one in self._said.items() if now - one[0] < 10 * PAUSE}
        self._said[uid] = (now, restores.lacks(told, backed_up))
        return self._said[uid][1]

    @staticmethod
    async def _checked(
        client: Client, context: Context, seen: Observed, found: restores.Restores
    ) -> restores.Restores:
        """Hold back what refers to Secrets that are not there: its pods would wait for ever."""
        wanted, troubles = [], list(found.troubles)
        for one in found.wanted:
            missing: list[str] = []
            if one.everyone and Ref("Job", restore.name(context, one)) not in seen.objects:
                missing = await _missing(client, context, one.shelf)
            if missing:
                troubles += [text for text in missing if text not in troubles]
            else:
                wanted.append(one)
        return restores.Restores(tuple(wanted), found.kept, found.waits, tuple(troubles))


async def _missing(client: Client, context: Context, shelf: backup.Shelf) -> list[str]:
    asked: list[tuple[str, str, tuple[str, ...]]] = []
    if shelf.bucket and shelf.bucket.secret_name:
        pair = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        asked.append((f"{SOURCE}.s3.secretName", shelf.bucket.secret_name, pair))
    if shelf.encryption:
        name = shelf.encryption.secret_name
        asked.append((f"{SOURCE}.encryption.secretName", name, (naming.BACKUP_KEY,)))
    found = []
    for field, name, keys in asked:
        data = secrets.decode(await client.get("Secret", context.resource.namespace, name))
        if not all(data.get(key) for key in keys):
            found.append(f"{field}: there is no Secret {name} with {' and '.join(keys)}: make it")
    return found
