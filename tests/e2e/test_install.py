"""Both ways of installing lead to the same running system."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.system import CHART, COLLECTOR, OPERATOR, OPERATORS, ROOT, SAMPLE, System
from tests.kind_helper.cluster import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]

CHILDREN = "statefulset,service,configmap,secret,serviceaccount,pvc,pdb,cronjob"
OURS = "--selector=app.kubernetes.io/managed-by=usage-operator"
CLUSTER_WIDE = (
    "clusterrolebinding/usage-operator-cluster",
    "clusterrole/usage-operator",
    "clusterrole/usage-operator-cluster",
)
OVERLAY = """\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: {namespace}
resources: [{base}]
images:
  - {{name: usage-operator, newName: {operator}, newTag: {tag}}}
patches:
  - target: {{kind: Deployment, name: usage-operator}}
    patch: |
      apiVersion: apps/v1
      kind: Deployment
      metadata: {{name: usage-operator}}
      spec: {{template: {{spec: {{containers: [{{name: operator, env: [
        {{name: USAGE_OPERATOR_COLLECTOR_IMAGE, value: "{collector}"}}]}}]}}}}}}
"""


def overlay(folder: Path, namespace: str) -> None:
    """Write a kustomization over the base: another namespace, and the images of this tree."""
    operator, _, tag = OPERATOR.rpartition(":")
    base = os.path.relpath(ROOT / "deploy" / "base", folder.resolve())
    text = OVERLAY.format(
        namespace=namespace, base=base, operator=operator, tag=tag, collector=COLLECTOR
    )
    (folder / "kustomization.yaml").write_text(text)


def collectors(system: System) -> dict[str, tuple[str, int]]:
    """Each collector's pod: its uid, and how often its container was started again."""
    pods = system.get("pods", "--selector=app.kubernetes.io/component=collector")["items"]
    return {
        pod["metadata"]["name"]: (
            pod["metadata"]["uid"],
            pod["status"]["containerStatuses"][0]["restartCount"],
        )
        for pod in pods
    }


def operators(system: System) -> set[str]:
    """The uids of the operator's pods."""
    found = system.get("pods", OPERATORS)["items"]
    return {one["metadata"]["uid"] for one in found}


def at_work(system: System) -> None:
    """Wait until an operator makes again what is taken away."""
    name = f"{system.name}-collector"
    system.kubectl("delete", "pdb", name)
    system.wait(f"pdb/{name}", "create")


def made(system: System) -> dict[str, Any]:
    """What the operator made, by kind and name; of StatefulSets and CronJobs the spec as well."""
    found = system.get(CHILDREN, OURS)["items"]
    return {
        f"{one['kind']}/{one['metadata']['name']}": (
            one["spec"] if one["kind"] in {"StatefulSet", "CronJob"} else None
        )
        for one in found
    }


@pytest.fixture(scope="module")
def helm(system: System) -> System:
    """The chart's operator with the sample, Ready."""
    system.apply(SAMPLE.read_text())
    system.wait_ready()
    return system


@pytest.fixture(scope="module")
def kustomized(loaded: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """The base's operator, through an overlay, with the sample, Ready."""
    system = System(loaded, "e2e-install-base")
    folder = tmp_path_factory.mktemp("overlay")
    overlay(folder, system.namespace)
    system.remove()
    try:
        loaded.kubectl("apply", f"--kustomize={folder}")
        system.rolled_out()
        system.apply(SAMPLE.read_text())
        system.wait_ready()
        yield system
    finally:
        # Not `delete --kustomize`: that takes the CRD, and with it the resources of everybody.
        system.remove()
        loaded.kubectl("delete", *CLUSTER_WIDE, "--ignore-not-found")


def test_both_ways_lead_to_the_same_system(helm: System, kustomized: System) -> None:
    """The operator of the chart and that of the kustomize base make the same of the sample."""
    by_chart, by_base = made(helm), made(kustomized)
    assert by_chart == by_base
    assert len(collectors(kustomized)) == len(collectors(helm)) == 3


def test_the_charts_own_test_is_green(helm: System) -> None:
    """`helm test` asks the operator whether it is ready, from a pod at the restricted level."""
    told = helm.cluster.helm("test", "usage-operator", "--namespace", helm.namespace)
    assert "Phase:          Succeeded" in told


def test_an_upgrade_restarts_no_collector(helm: System) -> None:
    """Neither one that changes nothing, which leaves the operator too, nor a new operator."""
    pods, before = collectors(helm), operators(helm)
    assert len(before) == 2
    helm.install()
    assert operators(helm) == before
    helm.install("--set=logLevel=DEBUG")
    helm.rolled_out()
    at_work(helm)
    helm.wait_ready()
    assert collectors(helm) == pods


def test_a_rollback_brings_the_old_operator_back(helm: System) -> None:
    """An upgrade that cannot start leaves an operator at work; its rollback restarts nothing."""
    pods = collectors(helm)
    revision = helm.get("deployment", "usage-operator")["metadata"]["generation"]
    broken = ["--set=image.tag=none-such", "--wait=false"]
    release = ["upgrade", "usage-operator", str(CHART), "--reuse-values"]
    helm.cluster.helm(*release, f"--namespace={helm.namespace}", *broken)
    assert helm.get("deployment", "usage-operator")["metadata"]["generation"] > revision
    at_work(helm)
    helm.cluster.helm("rollback", "usage-operator", "--wait", f"--namespace={helm.namespace}")
    helm.wait_ready()
    assert collectors(helm) == pods


def older(folder: Path) -> Path:
    """Write the chart as it was before resources had a maintenance window."""
    chart = Path(shutil.copytree(CHART, folder / "older"))
    file = chart / "files" / "usagecollectors.yaml"
    definition = yaml.safe_load(file.read_text())
    (version,) = definition["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    del schema["properties"]["maintenanceWindow"]
    file.write_text(yaml.safe_dump(definition))
    return chart


def test_the_definition_goes_with_the_chart(helm: System, tmp_path: Path) -> None:
    """An older chart's CRD is upgraded, rolled back and upgraded again; what runs stays."""
    pods = collectors(helm)

    def known() -> bool:
        schema = "{.spec.versions[0].schema.openAPIV3Schema.properties.spec.properties"
        path = f"jsonpath={schema}.maintenanceWindow.type}}"
        crd = ("crd", "usagecollectors.usage-operator.io")
        return helm.cluster.kubectl("get", *crd, "--output", path) == "object"

    helm.install(chart=older(tmp_path))
    assert not known()
    helm.install()
    assert known()
    helm.cluster.helm("rollback", "usage-operator", "--wait", f"--namespace={helm.namespace}")
    assert not known()
    helm.install()
    assert known()
    helm.wait_ready()
    assert collectors(helm) == pods


def test_uninstalling_takes_the_operator_only(helm: System) -> None:
    """CRD, resource, collectors and volumes stay; the next installation goes on with them."""
    pods, before = collectors(helm), made(helm)
    helm.cluster.helm("uninstall", "usage-operator", "--namespace", helm.namespace, "--wait")
    helm.cluster.kubectl("get", "crd", "usagecollectors.usage-operator.io")
    assert not helm.get("deployments")["items"]
    assert helm.get("uc", helm.name)["metadata"]["name"] == helm.name
    assert made(helm) == before
    assert collectors(helm) == pods
    helm.install()
    at_work(helm)
    helm.wait_ready()
    assert collectors(helm) == pods
