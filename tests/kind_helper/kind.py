"""Clusters by kind, where docker or podman answers.

Its commands and configuration are tested, but it has not been run where the helper was written:
that machine had no container engine.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.kind_helper import binaries, paths, versions
from tests.kind_helper.cluster import Cluster
from tests.kind_helper.errors import KindHelperError
from tests.kind_helper.progress import Progress
from tests.kind_helper.run import run

ZONES = ("eu-1a", "eu-1b", "eu-1c")
_TOOLS = ("kind", "kubectl", "helm")


def cluster_name(name: str) -> str:
    """What kind calls the cluster: with a prefix, so that others' are left alone."""
    return f"usage-kind-{name}"


def config() -> dict[str, Any]:
    """The configuration: a control plane, and a worker in each zone."""
    workers = [
        {"role": "worker", "labels": {"topology.kubernetes.io/zone": zone}} for zone in ZONES
    ]
    return {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "nodes": [{"role": "control-plane"}, *workers],
    }


def node_names(name: str) -> dict[str, str]:
    """kind numbers its workers in the order of the configuration, the first without a number."""
    numbers = ("", *(str(n) for n in range(2, len(ZONES) + 1)))
    return {zone: f"{cluster_name(name)}-worker{n}" for zone, n in zip(ZONES, numbers, strict=True)}


def create_command(kind: Path, name: str, kubeconfig: Path) -> list[str]:
    """The command that makes the cluster; the configuration comes on standard input."""
    return [
        *(str(kind), "create", "cluster", "--name", cluster_name(name)),
        *("--config", "-", "--kubeconfig", str(kubeconfig), "--wait", "180s"),
    ]


def environment(engine: str, base: Mapping[str, str]) -> dict[str, str]:
    """The environment that makes kind use the engine that answered."""
    return {**base, "KIND_EXPERIMENTAL_PROVIDER": engine}


@dataclass(frozen=True)
class Kind:
    """Clusters in containers of a running engine."""

    engine: str
    kind: str = "kind"

    def up(self, name: str, progress: Progress) -> Cluster:
        """Make the cluster, or reuse it when kind knows it."""
        parts = [p for p in (*versions.PARTS, *versions.OPTIONAL) if p.name in _TOOLS]
        binaries.build(parts, progress)
        if self._exists(name):
            self._kind("export", "kubeconfig", "--name", cluster_name(name), *self._file(name))
            return self._cluster(name)
        file = self.kubeconfig(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        with progress.step("making three workers with kind", 90):
            command = create_command(binaries.program("kind"), name, file)
            env = environment(self.engine, os.environ)
            run(command, stdin=yaml.safe_dump(config()), env=env, timeout=900)
        return self._cluster(name)

    def down(self, name: str, progress: Progress) -> None:
        """Remove the cluster; nothing happens when there is none."""
        if binaries.program("kind").exists() and self._exists(name):
            with progress.step(f"taking down {name}", 10):
                self._kind("delete", "cluster", "--name", cluster_name(name), *self._file(name))
        self.kubeconfig(name).unlink(missing_ok=True)

    def find(self, name: str) -> Cluster:
        """The cluster that is up. Raises `KindHelperError` when there is none."""
        if not self.kubeconfig(name).exists():
            raise KindHelperError(
                f"there is no kind cluster {name!r}", "Start it: python -m tests.kind_helper up"
            )
        return self._cluster(name)

    def load(self, cluster: Cluster, archive: Path, image: str) -> None:
        """Bring an image from a docker archive to every node."""
        self._kind("load", "image-archive", str(archive), "--name", cluster_name(cluster.name))

    def address(self, cluster: Cluster, zone: str) -> str:
        """The address of the zone's node in the engine's network."""
        template = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
        shown = run([self.engine, "inspect", "--format", template, cluster.zones[zone]])
        return shown.split()[0]

    def kill_node(self, cluster: Cluster, zone: str) -> None:
        """Kill the container that is the zone's node."""
        run([self.engine, "kill", cluster.zones[zone]])

    def restart_node(self, cluster: Cluster, zone: str) -> None:
        """Start the container again."""
        run([self.engine, "start", cluster.zones[zone]])

    def kubeconfig(self, name: str) -> Path:
        """The cluster's own kubeconfig: the user's is not touched."""
        return paths.user_state() / "kind" / f"{name}.kubeconfig"

    def _file(self, name: str) -> tuple[str, str]:
        return ("--kubeconfig", str(self.kubeconfig(name)))

    def _exists(self, name: str) -> bool:
        return cluster_name(name) in self._kind("get", "clusters").split()

    def _kind(self, *arguments: str) -> str:
        command = [binaries.program("kind"), *arguments]
        return run(command, env=environment(self.engine, os.environ), timeout=600)

    def _cluster(self, name: str) -> Cluster:
        return Cluster(name, self.kubeconfig(name), node_names(name), self)
