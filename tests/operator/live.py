"""A namespace on a real cluster, and what tests do there."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.kind_helper.errors import CommandFailed
from tests.operator.support import document

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.kind_helper.cluster import Cluster

ZONES = [{"name": "eu-1a"}, {"name": "eu-1b"}]
CHILDREN = "statefulset,service,configmap,serviceaccount,pvc,pdb,cronjob"


@dataclass(frozen=True)
class Place:
    """A resource's namespace; ``stop`` ends its operator. Times are in seconds."""

    cluster: Cluster
    namespace: str
    name: str = "speech"
    stop: Callable[[], None] = lambda: None
    start: Callable[[], None] = lambda: None

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout: float = 120) -> str:
        """Run kubectl in the namespace."""
        return self.cluster.kubectl("-n", self.namespace, *arguments, input=stdin, timeout=timeout)

    def warnings(self, *arguments: str) -> str:
        """Run kubectl in the namespace; give what it warns of."""
        chosen = ["--context", self.cluster.context] if self.cluster.context else []
        command = ["kubectl", *chosen, "-n", self.namespace, *arguments]
        environment = self.cluster.environment()
        # The program is looked up in our own PATH, not in the environment's.
        command[0] = shutil.which("kubectl", path=environment["PATH"]) or "kubectl"
        return subprocess.run(
            command, env=environment, check=True, capture_output=True, text=True
        ).stderr

    def get(self, *what: str) -> Any:
        """Read an object, or a list."""
        return json.loads(self.kubectl("get", *what, "-o", "json"))

    def apply(self, name: str | None = None, *, dry: bool = False, **fields: Any) -> str:
        """Apply a resource with these fields of the spec; two zones if none are given."""
        flags = ["--dry-run=server"] if dry else []
        name = name or self.name
        wanted = document(name, **({"zones": ZONES} | fields))
        wanted["metadata"] = {"name": name, "namespace": self.namespace}
        return self.kubectl("apply", *flags, "-f", "-", stdin=json.dumps(wanted))

    def refusal(self, name: str | None = None, *, dry: bool = False, **fields: Any) -> str:
        """Apply a resource that must be refused; give the API server's words."""
        try:
            self.apply(name, dry=dry, **fields)
        except CommandFailed as error:
            return error.output
        raise AssertionError(f"was accepted: {fields}")

    def until(self, what: str, check: Callable[[], Any], timeout: float = 60) -> Any:
        """Ask again and again until the answer is true; the API has no event for everything."""
        end = time.monotonic() + timeout
        while not (found := check()):
            if time.monotonic() > end:
                raise AssertionError(f"not within {timeout} s: {what}; {self.conditions()}")
            time.sleep(0.2)
        return found

    def status(self) -> dict[str, Any]:
        """Give the resource's status."""
        found: dict[str, Any] = self.get("uc", self.name).get("status", {})
        return found

    def conditions(self) -> dict[str, tuple[str, str, str]]:
        """Give status, reason and message of the resource's conditions."""
        status = self.status()
        return {
            one["type"]: (one["status"], one["reason"], one["message"])
            for one in status.get("conditions", [])
        }

    def ready(self, timeout: float = 60) -> None:
        """Wait until the resource's present generation is Ready."""
        self.kubectl("wait", f"uc/{self.name}", "--for=condition=Ready", f"--timeout={timeout}s")

    def reason(self, condition: str, reason: str, timeout: float = 30) -> str:
        """Wait until a condition has a reason; give its message."""

        def check() -> str | None:
            found = self.conditions().get(condition, ("", "", ""))
            return found[2] if found[1] == reason else None

        return str(self.until(f"{condition} with {reason}", check, timeout))

    def versions(self) -> dict[str, str]:
        """Give the resource version of the resource, its children and its Secrets."""
        found = self.get(f"{CHILDREN},secret", "-l", f"app.kubernetes.io/instance={self.name}")
        found = [*found["items"], self.get("uc", self.name)]
        return {
            f"{one['kind']}/{one['metadata']['name']}": one["metadata"]["resourceVersion"]
            for one in found
        }

    def pods(self) -> dict[str, str]:
        """Give the uid of each collector's pod."""
        found = self.collectors("pod")
        return {one["metadata"]["name"]: one["metadata"]["uid"] for one in found}

    def collectors(self, kind: str) -> list[Any]:
        """Give what collectors have of a kind."""
        label = f"app.kubernetes.io/component=collector,app.kubernetes.io/instance={self.name}"
        found: list[Any] = self.get(kind, "-l", label)["items"]
        return found
