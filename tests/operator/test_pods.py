"""Why a pod is not ready, in words that say what to do."""

from __future__ import annotations

from typing import Any

import pytest

from tests.operator.support import pod
from usage_operator import conditions


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ({"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/3"}]}, "0/3"),
        (
            {"containerStatuses": [{"state": {"waiting": {"reason": "ErrImagePull"}}}]},
            "ErrImagePull",
        ),
        (
            {
                "containerStatuses": [
                    {
                        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                        "lastState": {"terminated": {"exitCode": 3}},
                    }
                ]
            },
            "CrashLoopBackOff, exit code 3: see kubectl logs --previous speech-a-0",
        ),
        ({"phase": "Pending"}, "see kubectl describe pod speech-a-0"),
        (
            {
                "phase": "Running",
                "conditions": [
                    {"type": "ContainersReady", "status": "True"},
                    {"type": "Ready", "status": "False"},
                ],
            },
            "its node does not answer",
        ),
        (
            {
                "phase": "Running",
                "conditions": [
                    {"type": "ContainersReady", "status": "True"},
                    {
                        "type": "Ready",
                        "status": "False",
                        "reason": "ReadinessGatesNotReady",
                        "message": 'the status of pod readiness gate "lb" is not "True"',
                    },
                ],
            },
            'waits for a readiness gate (the status of pod readiness gate "lb"',
        ),
        ({}, "see kubectl logs speech-a-0"),
    ],
)
def test_why_a_pod_is_not_ready(status: dict[str, Any], words: str) -> None:
    """Scheduling, images, crashes, lost nodes and unreadiness are told apart."""
    one = pod("speech-a-0", "a", ready=False, **status)
    assert words in conditions.why(one)
    assert conditions.why(one).startswith("speech-a-0: ")


@pytest.mark.parametrize(
    ("states", "words"),
    [
        (("True", "False"), "kubectl delete node n1"),
        (("True", "True"), "is stopping: if it stays so, see kubectl describe pod speech-a-0"),
        (("False", "False"), "is stopping"),
    ],
)
def test_a_pod_that_is_deleted(states: tuple[str, str], words: str) -> None:
    """One that stops is told from one whose node was lost, which nobody stops."""
    kinds = zip(("ContainersReady", "Ready"), states, strict=True)
    one = pod("speech-a-0", "a", conditions=[{"type": kind, "status": s} for kind, s in kinds])
    one["metadata"]["deletionTimestamp"] = "2026-11-05T11:00:00Z"
    one["spec"] = {"nodeName": "n1"}
    assert words in conditions.why(one)
    assert not conditions.pods.ready(one)


def test_a_pod_without_a_node_tells_which_nodes_it_wants() -> None:
    """What the scheduler says of preemption is left out, the labels wanted are added."""
    said = (
        "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector. no new "
        "claims to deallocate, preemption: 0/3 nodes are available."
    )
    condition = {"type": "PodScheduled", "status": "False", "message": said}
    one = pod("speech-a-0", "a", ready=False, conditions=[condition])
    one["spec"] = {"nodeSelector": {"topology.kubernetes.io/zone": "a"}}
    words = conditions.why(one)
    assert "preemption" not in words
    assert "didn't match" in words
    assert "kubectl get nodes -l topology.kubernetes.io/zone=a" in words


def test_an_image_that_cannot_be_pulled_has_a_remedy() -> None:
    """However long the runtime's words are, the fields to look at are named."""
    waiting = {"reason": "ImagePullBackOff", "message": "Back-off pulling image " + "x" * 500}
    one = pod("speech-a-0", "a", ready=False, containerStatuses=[{"state": {"waiting": waiting}}])
    assert conditions.why(one).endswith("check spec.image and spec.template.imagePullSecrets")
