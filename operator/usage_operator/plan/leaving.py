"""Collectors that are to be removed: out of ingest first, and kept until all they hold was sent.

A pod says by a label whether the ingest Service leads to it. Templates carry it as "on"; the
operator turns it off at the pods of collectors that leave, and on again when they are wanted.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from usage_operator import naming
from usage_operator.plan.diff import Step, Verb
from usage_operator.plan.fleet import place
from usage_operator.plan.objects import mark

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from usage_operator.plan.fleet import Fleet
    from usage_operator.plan.objects import Object

QUIET = dt.timedelta(seconds=65)
"""After that nobody comes through the Service any more: a connection lives for a minute."""


def word(zone: str, ordinal: int) -> str:
    """Name a collector as the discard annotation does."""
    return f"{zone}/{ordinal}"


def leavers(fleet: Fleet) -> list[tuple[str, int]]:
    """Give zone and ordinal of every collector that leaves, the last of each zone first."""
    return [
        (zone, ordinal)
        for zone, count in fleet.leaving.items()
        for ordinal in reversed(range(fleet.running[zone] - count, fleet.running[zone]))
    ]


def ingests(pod: Object) -> str | None:
    """Tell whether the ingest Service leads to a pod, on or off; None: it does not say."""
    value: str | None = (pod["metadata"].get("labels") or {}).get(naming.INGEST)
    return value


def quiet(pod: Object, now: dt.datetime) -> bool:
    """Tell whether a pod has been out of ingest for so long that no connection is left."""
    since = mark(pod, naming.INGEST_OFF)
    if ingests(pod) != naming.OFF or since is None:
        return False
    try:
        return now - dt.datetime.fromisoformat(since) >= QUIET
    except (ValueError, TypeError):
        return False


def _label(pod: Object, value: str, since: str | None, reason: str) -> Step:
    metadata = {key: pod["metadata"][key] for key in ("name", "namespace", "uid")}
    metadata["labels"] = {naming.INGEST: value}
    if since:
        metadata["annotations"] = {naming.INGEST_OFF: since}
    document = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}
    return Step(Verb.APPLY, document, reason)


def doors(
    pods: Iterable[Object], fleet: Fleet, reopened: Collection[str], now: dt.datetime
) -> list[Step]:
    """Turn ingest off at pods that leave, and on at those that are wanted.

    A pod that was led out refuses events: it is led in again only once it was ``reopened``.
    """
    going = {word(*one) for one in leavers(fleet)}
    steps = []
    for pod in pods:
        where = place(pod)
        if where is None or pod["metadata"].get("deletionTimestamp"):
            continue
        name, state = word(*where), ingests(pod)
        if name in going and (state != naming.OFF or mark(pod, naming.INGEST_OFF) is None):
            since = now.strftime("%Y-%m-%dT%H:%M:%SZ")
            steps.append(_label(pod, naming.OFF, since, "it leaves: no more events are led to it"))
        elif name not in going and (state is None or name in reopened):
            steps.append(_label(pod, naming.ON, None, "it is wanted: events are led to it"))
    return steps


def waits(told: Mapping[str, object]) -> str | None:
    """Say what keeps a collector from being removed, by its ``/v1/periods``; None: nothing.

    The form is described in the collector's interface document.
    """
    ledgers = told.get("ledgers")
    if not isinstance(ledgers, list) or any("sent" not in one for one in ledgers):
        return "its version does not say what was exported: upgrade it, or discard it"
    lost = [
        str(one.get("id"))[:8]
        for one in ledgers
        if one.get("damaged") or one.get("purged_unsent") or one.get("unreported")
    ]
    if lost:
        return (
            f"ledger {', '.join(lost)} holds events that no export could read: save the volume, "
            "then discard it"
        )
    pending = told.get("pending", 0)
    if pending != 0:
        number = "an unknown number" if pending is None else str(pending)
        return f"{number} of other vendors' transcripts pending: see GET /v1/webhooks/pending"
    unsent = sum(max(0, one["last"] - one["sent"]) for one in ledgers)
    if unsent:
        return f"{unsent} event{'' if unsent == 1 else 's'} not exported yet"
    return None
