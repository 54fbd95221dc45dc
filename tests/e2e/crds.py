"""Definitions of other projects' kinds, as published in their Go modules."""

import json
from pathlib import Path

import yaml

from tests.e2e.system import PATIENCE
from tests.kind_helper import toolchain
from tests.kind_helper.cluster import Cluster
from tests.kind_helper.progress import Plain
from tests.kind_helper.run import run, until

CERT_MANAGER = (
    "github.com/cert-manager/cert-manager@v1.18.2",
    ("deploy/crds/crd-certificates.yaml",),
)
PROMETHEUS = (
    "github.com/prometheus-operator/prometheus-operator@v0.85.0",
    (
        "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml",
        "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
    ),
)


def install(cluster: Cluster, published: tuple[str, tuple[str, ...]]) -> None:
    """Define the kinds of a module's files; nothing runs that acts on them."""
    module, files = published
    go = toolchain.go(Plain(lambda _: None))
    said = run([go, "mod", "download", "-json", module], env=toolchain.environment(go))
    folder = Path(json.loads(said)["Dir"])
    for file in files:
        document = yaml.safe_load((folder / file).read_text())
        # Labels are left to templates that only Helm fills in.
        document["metadata"] = {"name": document["metadata"]["name"]}
        cluster.kubectl("apply", "--server-side", "-f", "-", input=json.dumps(document))
        established(cluster, document["metadata"]["name"])


def established(cluster: Cluster, name: str) -> None:
    """Wait until a definition is served; kubectl's own wait fails where it has no conditions."""

    def served() -> bool:
        status = json.loads(cluster.kubectl("get", "crd", name, "-o", "json")).get("status") or {}
        found = {one["type"]: one["status"] for one in status.get("conditions") or []}
        return found.get("Established") == "True"

    until(served, f"{name} is served", seconds=PATIENCE)
