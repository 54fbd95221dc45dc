"""Why a pod is not ready, in the words of Kubernetes, and what an export's pods left behind."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

from usage_operator import naming
from usage_operator.conditions.facts import Run

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Object = Mapping[str, Any]

_LONGEST = 300
START = dt.timedelta(minutes=2)
"""How long a pod may take until a person should look at it."""


def _condition(thing: Object, kind: str) -> Mapping[str, Any]:
    for one in (thing.get("status") or {}).get("conditions") or []:
        if one.get("type") == kind:
            return dict(one)
    return {}


def ready(pod: Object) -> bool:
    """Tell whether a pod is ready and stays."""
    gone = pod["metadata"].get("deletionTimestamp")
    return not gone and _condition(pod, "Ready").get("status") == "True"


def _containers(pod: Object) -> str | None:
    for container in (pod.get("status") or {}).get("containerStatuses") or []:
        waiting = (container.get("state") or {}).get("waiting")
        last = (container.get("lastState") or {}).get("terminated")
        if waiting and last:
            ended = f"{waiting.get('reason')}, exit code {last.get('exitCode')}"
            return f"{ended}: see kubectl logs --previous {pod['metadata']['name']}"
        if waiting and waiting.get("reason") not in {"ContainerCreating", "PodInitializing"}:
            said = f"{waiting.get('reason')}: {waiting.get('message', '')}".rstrip(": ")
            if "Image" not in str(waiting.get("reason")):
                return said
            # What the runtime says is long, and the remedy must not be cut off.
            return f"{said[:200]}; check spec.image and spec.template.imagePullSecrets"
    return None


def _unscheduled(pod: Object, message: str) -> str:
    """Leave out what the scheduler says of preemption; add what a node must have."""
    said = message.partition(" no new claims")[0].partition(" preemption:")[0].rstrip(". ")
    selector = (pod.get("spec") or {}).get("nodeSelector") or {}
    labels = ",".join(f"{key}={value}" for key, value in selector.items())
    wanted = f"; see kubectl get nodes -l {labels}" if labels else ""
    return f"cannot be scheduled ({said[:200]}{wanted})"


def young(thing: Object, now: dt.datetime) -> bool:
    """Tell whether an object was made so lately that it need not be ready."""
    made = thing["metadata"].get("creationTimestamp")
    return bool(made) and now - dt.datetime.fromisoformat(made) < START


def stopping(pod: Object, now: dt.datetime) -> bool:
    """Tell whether a pod is given its time to end, which its time of deletion contains."""
    end = pod["metadata"].get("deletionTimestamp")
    return bool(end) and not _lost(pod) and now - dt.datetime.fromisoformat(end) < START


def _gated(pod: Object) -> bool:
    return _condition(pod, "Ready").get("reason") == "ReadinessGatesNotReady"


def _lost(pod: Object) -> bool:
    """Tell whether it is not the kubelet who says that a pod is not ready.

    The kubelet says the same of the pod as of its containers.
    """
    said = [_condition(pod, kind).get("status") for kind in ("ContainersReady", "Ready")]
    return said == ["True", "False"] and not _gated(pod)


def why(pod: Object) -> str:
    """Say why a pod is not ready, and where to look."""
    name = pod["metadata"]["name"]
    scheduled = _condition(pod, "PodScheduled")
    if _lost(pod):
        # After five minutes the pod is deleted, too, and stays for want of a kubelet.
        node = (pod.get("spec") or {}).get("nodeName")
        text = (
            f"its node does not answer: see kubectl describe node {node}; if it is gone for good, "
            f"kubectl delete node {node} lets the pod be made anew on another"
        )
    elif pod["metadata"].get("deletionTimestamp"):
        text = f"is stopping: if it stays so, see kubectl describe pod {name}"
    elif scheduled.get("status") == "False":
        text = _unscheduled(pod, str(scheduled.get("message")))
    elif said := _containers(pod):
        text = said
    elif (pod.get("status") or {}).get("phase") == "Pending":
        # That a volume cannot be mounted stands in events alone.
        text = f"is starting: if it stays so, see kubectl describe pod {name}"
    elif _gated(pod):
        message = str(_condition(pod, "Ready").get("message"))
        text = f"waits for a readiness gate ({message[:200]})"
    else:
        text = f"runs but is not ready: see kubectl logs {name}"
    return f"{name}: {text}"[:_LONGEST]


def _summary(pod: Object) -> Mapping[str, Any] | None:
    """Read what an export's pod wrote into its termination message."""
    for container in (pod.get("status") or {}).get("containerStatuses") or []:
        message = ((container.get("state") or {}).get("terminated") or {}).get("message")
        try:
            found = json.loads(message or "")
        except ValueError:
            continue
        if isinstance(found, dict) and "result" in found:
            return found
    return None


def _run(job: Object, pods: list[Object]) -> Run:
    if _condition(job, "Failed").get("status") == "True":
        state = "failed"
    elif _condition(job, "Complete").get("status") == "True":
        state = "complete"
    else:
        state = "running"
    if state == "complete":
        # That of an attempt before, which may be left alone, only says what went wrong then.
        pods = [pod for pod in pods if (pod.get("status") or {}).get("phase") == "Succeeded"]
    newest = pods[0] if pods else None
    trouble = _condition(job, "Failed").get("message")
    if newest is not None and state == "running" and not ready(newest):
        trouble = why(newest)
    return Run(
        job=job["metadata"]["name"],
        started=job["metadata"].get("creationTimestamp", ""),
        state=state,
        summary=_summary(newest) if newest is not None else None,
        why=trouble,
        zone=(job["metadata"].get("labels") or {}).get(naming.ZONE),
        request=(job["metadata"].get("annotations") or {}).get(naming.REQUEST),
    )


def runs(jobs: Iterable[Object], pods: Iterable[Object]) -> tuple[Run, ...]:
    """Put the export's jobs and their pods together, newest first."""

    def age(thing: Object) -> str:
        return str(thing["metadata"].get("creationTimestamp", ""))

    by_job: dict[str, list[Object]] = {}
    for pod in sorted(pods, key=age, reverse=True):
        name = (pod["metadata"].get("labels") or {}).get("batch.kubernetes.io/job-name", "")
        by_job.setdefault(name, []).append(pod)
    return tuple(
        _run(job, by_job.get(job["metadata"]["name"], []))
        for job in sorted(jobs, key=age, reverse=True)
    )
