"""Asks collectors that leave to take no more events, and whether all they hold was sent."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from usage_operator import naming, probe
from usage_operator.manifests import secrets
from usage_operator.plan import Ref, ingests, leavers, place, quiet, waits, word

if TYPE_CHECKING:
    from collections.abc import Mapping

    from usage_operator.manifests import Context
    from usage_operator.plan import Fleet, Object
    from usage_operator.reconcile.observe import Observed
    from usage_operator.reconcile.references import References
    from usage_operator.settings import Settings

PAUSE = dt.timedelta(seconds=20)
"""A collector is asked no more often than that."""


@dataclass(frozen=True, slots=True)
class Drained:
    """What came of it; collectors are named as the discard annotation does (``eu-1b/1``).

    ``empty``: all they hold was sent, and they take nothing more. ``waits``: what the others wait
    for. ``reopened``: they are wanted again, and take events.
    """

    empty: frozenset[str] = frozenset()
    waits: Mapping[str, str] = field(default_factory=dict)
    reopened: frozenset[str] = frozenset()


def admin_token(context: Context, seen: Observed, references: References) -> str:
    """Give the token that administers the collectors."""
    name = context.spec.reporting.tokens.secret_name or context.names.tokens
    for secret in (*references.secrets, *seen.of("Secret")):
        if secret["metadata"]["name"] == name:
            return secrets.decode(secret).get("admin", b"").decode().strip()
    return ""


def address(context: Context, zone: str, ordinal: int) -> str:
    """Give the base URL of a collector's reporting listener."""
    reporting = context.spec.reporting
    scheme = "https" if reporting.tls else "http"
    return f"{scheme}://{context.names.pod_host(zone, ordinal)}:{reporting.port}"


class Draining:
    """Remembers when which collector was asked, and what it said."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._said: dict[str, tuple[dt.datetime, str]] = {}

    async def look(
        self,
        context: Context,
        seen: Observed,
        fleet: Fleet,
        references: References,
        now: dt.datetime,
    ) -> Drained:
        """Ask those that leave, and tell those that came back to take events again."""
        pods = {where: pod for pod in seen.collectors if (where := place(pod))}
        going = leavers(fleet)
        back = [
            where
            for where, pod in pods.items()
            if where not in going and ingests(pod) == naming.OFF
        ]
        if not (going or back):
            return Drained()
        bundle = seen.objects.get(Ref("ConfigMap", context.names.ca))
        if not self._settings.probe or bundle is None:
            text = "collectors are not asked by this operator: export, then discard them"
            return Drained(
                waits={word(*where): text for where in going},
                reopened=frozenset(word(*where) for where in back),
            )
        ask = probe.Admin(bundle["data"]["ca.crt"], admin_token(context, seen, references))
        reopened = [where for where in back if await ask.start(address(context, *where))]
        said = {
            word(*where): await self._ask(context, ask, where, pods.get(where), now)
            for where in going
        }
        return Drained(
            empty=frozenset(name for name, text in said.items() if not text),
            waits={name: text for name, text in said.items() if text},
            reopened=frozenset(word(*where) for where in reopened),
        )

    async def _ask(
        self,
        context: Context,
        ask: probe.Admin,
        where: tuple[str, int],
        pod: Object | None,
        now: dt.datetime,
    ) -> str:
        """Say what a collector waits for; empty: it can go."""
        if pod is None:
            return "its pod does not run, and cannot say what was exported"
        if not quiet(pod, now):
            return "transcribers are led to the others first"
        uid = pod["metadata"]["uid"]
        before = self._said.get(uid)
        if before is not None and now - before[0] < PAUSE:
            return before[1]
        told = await ask.empty(address(context, *where))
        text = told if isinstance(told, str) else waits(told) or ""
        if text:
            self._said[uid] = (now, text)
        else:
            self._said.pop(uid, None)
        return text
