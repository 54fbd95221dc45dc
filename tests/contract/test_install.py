"""The chart and the kustomize base lead to the same system."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.kind_helper import binaries, versions
from tests.kind_helper.cluster import Cluster

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "usage-operator"
_KUBE = f"--kube-version={versions.KUBERNETES}"

pytestmark = pytest.mark.cluster


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _chart(*flags: str) -> dict[tuple[str, str], Any]:
    text = _run(
        str(binaries.program("helm")),
        "template",
        "usage-operator",
        str(CHART),
        "--namespace=metering",
        _KUBE,
        *flags,
    )
    return _by_name(text)


def _by_name(text: str) -> dict[tuple[str, str], Any]:
    documents = [document for document in yaml.safe_load_all(text) if document]
    return {(document["kind"], document["metadata"]["name"]): document for document in documents}


def test_chart_and_kustomize_base_run_the_same_operator(cluster: Cluster) -> None:
    """The operator's container, its rights and the CRD do not depend on the way of installing."""
    chart = _chart()
    base = _by_name(
        _run(str(binaries.program("kubectl")), "kustomize", str(ROOT / "deploy" / "base"))
    )
    name = ("Deployment", "usage-operator")
    assert chart[name]["spec"]["template"]["spec"] == base[name]["spec"]["template"]["spec"]
    assert chart[name]["spec"]["strategy"] == base[name]["spec"]["strategy"]
    crd = ("CustomResourceDefinition", "usagecollectors.usage-operator.io")
    assert chart[crd]["spec"] == base[crd]["spec"]
    for role in ("usage-operator", "usage-operator-cluster"):
        ours = chart["ClusterRole", f"metering-{role}"]
        assert ours["rules"] == base["ClusterRole", role]["rules"]
    leader = ("Role", "usage-operator-leader")
    assert chart[leader]["rules"] == base[leader]["rules"]
    assert chart[name]["spec"]["replicas"] == base[name]["spec"]["replicas"] == 2
    policy = ("ValidatingAdmissionPolicy", "usage-operator-delete-warning")
    assert chart[policy]["spec"] == base[policy]["spec"]
    for kind, field in (("Service", "ports"), ("NetworkPolicy", "ingress")):
        ours, theirs = (one[kind, "usage-operator"]["spec"] for one in (chart, base))
        assert ours[field] == theirs[field]
    kinds = {kind for kind, _ in base} - {"Namespace"}
    assert kinds == {kind for kind, _ in chart if kind != "Pod"}, "one of them has a kind more"


def test_rights_follow_the_namespaces_that_are_served(cluster: Cluster) -> None:
    """Listed namespaces get a RoleBinding each; only `allNamespaces` binds cluster-wide."""
    listed = _chart("--set", "namespaces={one,two}")
    bound = [
        document["metadata"]["namespace"]
        for (kind, _), document in listed.items()
        if kind == "RoleBinding"
    ]
    assert "two" in bound
    assert ("ClusterRoleBinding", "metering-usage-operator") not in listed
    everywhere = _chart("--set", "allNamespaces=true")
    assert ("ClusterRoleBinding", "metering-usage-operator") in everywhere
    bound = [name for kind, name in everywhere if kind == "RoleBinding"]
    assert bound == ["usage-operator-leader"]


def test_the_releases_own_test_gets_through(cluster: Cluster) -> None:
    """Whoever lets few peers read the operator's metrics can still ask whether it is ready."""
    few = _chart("--set-json", 'networkPolicy.from=[{"podSelector": {"matchLabels": {"a": "b"}}}]')
    (rule,) = few["NetworkPolicy", "usage-operator"]["spec"]["ingress"]
    theirs, ours = rule["from"]
    assert theirs == {"podSelector": {"matchLabels": {"a": "b"}}}
    labels = few["Pod", "usage-operator-test"]["metadata"]["labels"]
    assert ours["podSelector"]["matchLabels"].items() <= labels.items()
    (container,) = few["Pod", "usage-operator-test"]["spec"]["containers"]
    assert container["resources"]["limits"], "a namespace with a quota would refuse it"


def test_the_definition_is_kept_or_left_out(cluster: Cluster) -> None:
    """It outlives the release unless that is not wanted, and need not be the release's."""
    crd = ("CustomResourceDefinition", "usagecollectors.usage-operator.io")
    policy = "helm.sh/resource-policy"
    assert _chart()[crd]["metadata"]["annotations"][policy] == "keep"
    released = _chart("--set", "crds.keep=false")[crd]
    assert policy not in (released["metadata"].get("annotations") or {})
    assert crd not in _chart("--set", "crds.enabled=false")


def test_monitoring_needs_a_word_and_the_kinds(cluster: Cluster) -> None:
    """PodMonitor and alerts, each with a runbook, come with both; Helm asks the cluster."""
    asked = ("--set", "monitoring.podMonitor=true,monitoring.rules=true")
    known = ("--api-versions", "monitoring.coreos.com/v1")
    kinds = {"PodMonitor", "PrometheusRule"}
    for flags in (asked, known):
        assert not kinds & {kind for kind, _ in _chart(*flags)}
    found = {kind: one for (kind, _), one in _chart(*asked, *known).items() if kind in kinds}
    assert found.keys() == kinds
    (group,) = found["PrometheusRule"]["spec"]["groups"]
    assert len(group["rules"]) > 5
    for rule in group["rules"]:
        link = rule["annotations"]["runbook_url"]
        assert link == f"docs/operations.md#{rule['alert'].lower()}"


@pytest.mark.parametrize(
    ("flag", "field"),
    [
        ("namespaces=one", "namespaces"),
        ("logFormat=xml", "logFormat"),
        ("replicas=3", "replicas"),
        ("collectorImage.pullPolicy=Always", "pullPolicy"),
        ("certificates.days=4000", "days"),
    ],
)
def test_bad_values_are_refused_by_name(cluster: Cluster, flag: str, field: str) -> None:
    """The values schema names the value that is wrong, also a misspelt one."""
    command = [str(binaries.program("helm")), "template", "x", str(CHART), _KUBE, "--set", flag]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert field in done.stderr
