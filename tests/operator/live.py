"""A namespace on a real cluster, and what tests do there."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.kind_helper.errors import CommandFailed
from tests.operator.support import document
from usage_operator import naming

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.kind_helper.cluster import Cluster

ZONES = [{"name": "eu-1a"}, {"name": "eu-1b"}]
CHILDREN = "statefulset,service,configmap,serviceaccount,pvc,pdb,cronjob"
PATIENCE = 180.0
"""Seconds that anything may take where the machine is busy; how soon it is, a benchmark tells."""


def later() -> dict[str, str]:
    """Give an export that no run of its CronJob comes to within the next hours."""
    return {"at": f"{dt.datetime.now(dt.UTC) + dt.timedelta(hours=12):%H:%M}"}


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

    def until(self, what: str, check: Callable[[], Any], timeout: float = PATIENCE) -> Any:
        """Ask again and again until the answer is true; the API has no event for everything.

        A question that fails is asked again: what it asks may be busy, or not be there yet.
        """
        end = time.monotonic() + timeout
        while True:
            failure: CommandFailed | None = None
            try:
                if found := check():
                    return found
            except CommandFailed as error:
                failure = error
            if time.monotonic() > end:
                told = self.kubectl("get", "uc", "--output=yaml")
                raise AssertionError(f"not within {timeout} s: {what}; {told}") from failure
            time.sleep(0.2)

    def vanish(self) -> None:
        """Delete the namespace, and wait until all that is in it is gone."""
        gone = ("delete", "namespace", self.namespace, f"--timeout={PATIENCE}s")
        self.cluster.kubectl(*gone, timeout=PATIENCE + 60)

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

    def wait(self, *what: str, timeout: float = PATIENCE) -> None:
        """Let kubectl wait."""
        self.kubectl("wait", *what, f"--timeout={timeout}s", timeout=timeout + 60)

    def ready(self, timeout: float = PATIENCE) -> None:
        """Wait until the resource's present generation is Ready."""
        self.wait(f"uc/{self.name}", "--for=condition=Ready", timeout=timeout)

    def reason(self, condition: str, reason: str, words: str = "") -> str:
        """Wait until a condition has a reason, and a message with these words; give that."""

        def check() -> str | None:
            found = self.conditions().get(condition, ("", "", ""))
            return found[2] if found[1] == reason and words in found[2] else None

        return str(self.until(f"{condition} with {reason} {words}", check))

    def written(self) -> dict[str, Any]:
        """Give what the operator wrote when, of the resource, its children and its Secrets.

        By the managed fields: controllers write to these objects too, whenever they get to it.
        """
        label, shown = f"app.kubernetes.io/instance={self.name}", "--show-managed-fields"
        found = self.get(f"{CHILDREN},secret", "-l", label, shown)["items"]
        return {
            f"{one['kind']}/{one['metadata']['name']}": (
                one["metadata"]["uid"],
                [
                    entry
                    for entry in one["metadata"].get("managedFields", [])
                    if entry["manager"] == naming.FIELD_MANAGER
                ],
            )
            for one in [*found, self.get("uc", self.name, shown)]
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
