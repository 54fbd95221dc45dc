"""What the users of a test cluster see, and what a provider must be able to do."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tests.kind_helper import binaries
from tests.kind_helper.errors import KindHelperError
from tests.kind_helper.progress import Progress
from tests.kind_helper.run import run


class Provider(Protocol):
    """One way to a cluster."""

    @property
    def kind(self) -> str:
        """`local`, `kind` or `context`."""

    def up(self, name: str, progress: Progress) -> "Cluster":
        """Bring the cluster up, or reuse it when it is healthy."""

    def down(self, name: str, progress: Progress) -> None:
        """Remove everything of the cluster; nothing happens when there is none."""

    def find(self, name: str) -> "Cluster":
        """The cluster that is up. Raises `KindHelperError` when there is none."""

    def load(self, cluster: "Cluster", archive: Path, image: str) -> None:
        """Bring an image from a docker archive to every node."""

    def address(self, cluster: "Cluster", zone: str) -> str:
        """The IP address of the zone's node."""

    def kill_node(self, cluster: "Cluster", zone: str) -> None:
        """Lose the zone's node at once, as in a power cut."""

    def restart_node(self, cluster: "Cluster", zone: str) -> None:
        """Start a lost node again."""


@dataclass(frozen=True)
class Cluster:
    """A cluster that is up. `zones` has the node's name for each zone, in the zones' order."""

    name: str
    kubeconfig: Path
    zones: Mapping[str, str]
    via: Provider = field(repr=False)
    context: str | None = None

    @property
    def provider(self) -> str:
        """`local`, `kind` or `context`."""
        return self.via.kind

    def kubectl(
        self,
        *arguments: str,
        input: str | None = None,  # noqa: A002 - as subprocess names it
        timeout: float = 300,
    ) -> str:
        """Run kubectl against this cluster and return what it prints; `timeout` is in seconds.

        `input` is its standard input, for `apply -f -`. Raises `CommandFailed`.
        """
        return run(self.command(*arguments), stdin=input, timeout=timeout, env=self.environment())

    def command(self, *arguments: str) -> list[str]:
        """The command that runs kubectl against this cluster, for what is to run beside others."""
        chosen = ["--context", self.context] if self.context else []
        program = str(binaries.program("kubectl"))
        return [program, f"--kubeconfig={self.kubeconfig}", *chosen, *arguments]

    def helm(self, *arguments: str, timeout: float = 600) -> str:
        """Run Helm against this cluster and return what it prints. Raises `CommandFailed`."""
        chosen = ["--kube-context", self.context] if self.context else []
        command = [binaries.program("helm"), f"--kubeconfig={self.kubeconfig}", *chosen]
        return run([*command, *arguments], timeout=timeout, env=self.environment())

    def environment(self) -> dict[str, str]:
        """The environment for other programs: KUBECONFIG, and kubectl and helm in the PATH."""
        folders = {str(binaries.program(name).parent) for name in ("kubectl", "helm")}
        path = os.pathsep.join([*sorted(folders), os.environ.get("PATH", "")])
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig), "PATH": path}

    def load(self, archive: Path, image: str) -> None:
        """Bring the image from a docker archive to every node, under the name `image`.

        Raises `KindHelperError` when the archive does not hold it.
        """
        if not archive.is_file():
            raise KindHelperError(f"there is no archive {archive}", "Build the image first.")
        self.via.load(self, archive, image)

    def node_address(self, zone: str) -> str:
        """The IP address of the zone's node. Raises `KindHelperError` for an unknown zone."""
        self._node(zone)
        return self.via.address(self, zone)

    def kill_node(self, zone: str) -> None:
        """Lose the zone's node at once, as in a power cut; its disk stays."""
        self._node(zone)
        self.via.kill_node(self, zone)

    def restart_node(self, zone: str) -> None:
        """Start a lost node again, and wait until it is Ready."""
        self._node(zone)
        self.via.restart_node(self, zone)
        node = f"node/{self.zones[zone]}"
        self.kubectl("wait", "--for=condition=Ready", node, "--timeout=240s", timeout=270)

    def _node(self, zone: str) -> str:
        if zone not in self.zones:
            known = ", ".join(self.zones)
            raise KindHelperError(f"the cluster has no zone {zone!r}", f"Its zones are {known}.")
        return self.zones[zone]
