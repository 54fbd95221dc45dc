"""The product on a cluster, installed and used as its users do, for demo and tests alike."""

import json
import os
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.kind_helper import images
from tests.kind_helper.cluster import Cluster
from tests.kind_helper.errors import CommandFailed, KindHelperError
from tests.kind_helper.progress import Progress
from tests.kind_helper.run import until

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "usage-operator"
SAMPLE = ROOT / "deploy" / "samples" / "speech.yaml"
# On a cluster that a context names, the images must be where it can pull them.
OPERATOR = os.environ.get("USAGE_TEST_OPERATOR_IMAGE", images.reference("operator"))
COLLECTOR = os.environ.get("USAGE_TEST_COLLECTOR_IMAGE", images.reference("collector"))
ZONES = ("eu-1a", "eu-1b", "eu-1c")
PATIENCE = 300
"""Seconds for what takes a few on a quiet machine; a busy one may take many times as long."""
OPERATORS = "--selector=app.kubernetes.io/name=usage-operator,pod-template-hash"
"""The operator's pods; that of `helm test` has its name, too, but belongs to no Deployment."""
TERMINATE = "import os, signal; os.kill(1, signal.SIGTERM)"


def pod(
    command: Sequence[str], volumes: Mapping[str, tuple[str, dict[str, Any]]] | None = None
) -> dict[str, Any]:
    """A pod of the collector's image that runs one command, at the `restricted` level.

    ``volumes`` maps a name to its mount path and source.
    """
    volumes = volumes or {}
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 1,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "fsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": "main",
                "image": COLLECTOR,
                "imagePullPolicy": "IfNotPresent",
                "command": list(command),
                # With none the pod gets next to nothing of a busy machine.
                "resources": {"requests": {"cpu": "100m"}},
                "volumeMounts": [
                    {"name": name, "mountPath": path} for name, (path, _) in volumes.items()
                ],
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
            }
        ],
        "volumes": [{"name": name, **source} for name, (_, source) in volumes.items()],
    }


def load_images(cluster: Cluster, progress: Progress | None = None) -> None:
    """Bring the images of this working tree to every node, unless others are named."""
    ours = {images.reference(name) for name in images.NAMES} & {OPERATOR, COLLECTOR}
    if not ours:
        return
    for image, archive in images.build_all(progress=progress).items():
        if image in ours:
            cluster.load(archive, image)


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Whether a pod is ready and stays."""
    conditions = {one["type"]: one["status"] for one in pod["status"].get("conditions") or []}
    return conditions.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]


def _lives(pod: Mapping[str, Any]) -> tuple[str, int]:
    containers = pod["status"].get("containerStatuses") or [{"restartCount": 0}]
    return pod["metadata"]["uid"], containers[0]["restartCount"]


def failed(what: str, log: str) -> KindHelperError:
    """What ended badly, with the end of what is said of it."""
    return KindHelperError(what, "\n".join(["The last that is known:", *log.splitlines()[-30:]]))


@dataclass(frozen=True)
class System:
    """One namespace with the operator and a `UsageCollector`; times are in seconds."""

    cluster: Cluster
    namespace: str
    name: str = "speech"

    def kubectl(
        self, *arguments: str, stdin: str | None = None, timeout: float = PATIENCE + 30
    ) -> str:
        """Run kubectl in the namespace and return what it prints."""
        return self.cluster.kubectl(
            "--namespace", self.namespace, *arguments, input=stdin, timeout=timeout
        )

    def get(self, *arguments: str) -> Any:
        """An object, or a list of objects, as the API server has it."""
        return json.loads(self.kubectl("get", *arguments, "--output=json"))

    def create_namespace(self) -> None:
        """Make the namespace at the strictest Pod Security level; pods can be made in it."""
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        metadata = {"name": self.namespace, "labels": labels}
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        self.wait("serviceaccount/default", "create")

    def wait(self, what: str, state: str, seconds: int = PATIENCE) -> None:
        """Wait until an object is so far: `create`, `condition=Ready`, `jsonpath=...`."""
        self.kubectl("wait", f"--for={state}", what, f"--timeout={seconds}s", timeout=seconds + 30)

    def remove(self) -> None:
        """Uninstall the operator, delete the namespace, and wait until it is gone."""
        self.cluster.helm(
            "uninstall", "usage-operator", "--namespace", self.namespace, "--ignore-not-found"
        )
        delete = ("delete", "namespace", self.namespace, "--ignore-not-found")
        self.cluster.kubectl(*delete, f"--timeout={PATIENCE}s", timeout=PATIENCE + 30)

    def install(self, *more: str, chart: Path = CHART) -> str:
        """Install or upgrade the chart and wait until the operator is up."""
        settings = []
        for value, image in (("image", OPERATOR), ("collectorImage", COLLECTOR)):
            repository, _, tag = image.rpartition(":")
            settings += ["--set", f"{value}.repository={repository},{value}.tag={tag}"]
        # The cluster-wide CRD belongs to whichever of the test namespaces was installed last.
        within = [f"--timeout={PATIENCE}s", f"--namespace={self.namespace}"]
        release = ["upgrade", "--install", "usage-operator", str(chart), "--take-ownership"]
        return self.cluster.helm(
            *release, "--wait", *within, *settings, *more, timeout=PATIENCE + 30
        )

    def rolled_out(self) -> None:
        """Wait until the operator's pods are those that its Deployment wants."""
        self.kubectl("rollout", "status", "deployment/usage-operator", f"--timeout={PATIENCE}s")

    def apply(self, manifest: str | dict[str, Any]) -> str:
        """Apply a manifest and return what kubectl says."""
        text = manifest if isinstance(manifest, str) else json.dumps(manifest)
        return self.kubectl("apply", "--filename=-", stdin=text)

    def resource(self, spec: dict[str, Any] | None = None) -> dict[str, Any]:
        """A `UsageCollector` with a collector in each zone, and what ``spec`` adds."""
        zones = [{"name": zone} for zone in ZONES]
        return {
            "apiVersion": "usage-operator.io/v1",
            "kind": "UsageCollector",
            "metadata": {"name": self.name},
            "spec": {"zones": zones, **(spec or {})},
        }

    def wait_ready(self, timeout: int = PATIENCE) -> float:
        """Wait until the resource is Ready; returns how long that took."""
        began = time.monotonic()
        try:
            self.wait(f"uc/{self.name}", "condition=Ready", timeout)
        except CommandFailed as error:
            said = self.kubectl("describe", "uc", self.name)
            raise failed(f"{self.name} is not Ready after {timeout} s", said) from error
        return time.monotonic() - began

    def run(self, name: str, spec: dict[str, Any], timeout: int = PATIENCE) -> str:
        """Run a pod once, to its end, and return its log; a failure raises with the log."""
        metadata = {"name": name, "labels": {"app.kubernetes.io/name": "usage-test"}}
        self.kubectl("delete", "pod", name, "--ignore-not-found", "--now")
        self.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
        self.wait(
            f"pod/{name}", "jsonpath={.status.containerStatuses[0].state.terminated}", timeout
        )
        log = self.kubectl("logs", name)
        state = self.get("pod", name)["status"]["containerStatuses"][0]["state"]["terminated"]
        if state["exitCode"]:
            raise failed(f"pod {name} ended with {state['exitCode']}", log)
        return log

    def simulate(
        self, *flags: str, name: str = "transcribers", timeout: int = PATIENCE
    ) -> dict[str, Any]:
        """Let realistic transcribers post through the Service from a pod; their own count."""
        command = [
            "usage-collector", "simulate", "--to", f"{self.name}.{self.namespace}.svc:9090",
            "--ca-file", "/ca/ca.crt", "--quiet", "--json", *flags,
        ]  # fmt: skip
        ca = {"ca": ("/ca", {"configMap": {"name": f"{self.name}-ca"}})}
        log = self.run(name, pod(command, ca), timeout)
        counted: dict[str, Any] = json.loads(log[log.rindex("{\n") :])
        return counted

    def export(self, *flags: str, name: str = "export-now") -> dict[str, Any]:
        """Run the export CronJob's job at once, with more flags; returns its summary."""
        return self.job(name, f"{self.name}-export", *flags, tries=1)[1]

    def job(
        self, name: str, origin: str, *flags: str, tries: int | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Run a CronJob's job at once, with more flags; its last exit code, and its summary."""
        create = ("create", "job", name, f"--from=cronjob/{origin}")
        job = json.loads(self.kubectl(*create, "--dry-run=client", "--output=json"))
        job["spec"]["template"]["spec"]["containers"][0]["args"] += flags
        if tries:
            job["spec"]["backoffLimit"] = tries - 1
        self.kubectl("delete", "job", name, "--ignore-not-found", "--wait=true")
        self.apply(job)
        self.wait(f"job/{name}", "jsonpath={.status.conditions[?(@.status=='True')].type}")
        # Pods of a job that was deleted may still be there: those of this one have its uid.
        uid = self.get("job", name)["metadata"]["uid"]
        pods = self.get("pods", f"--selector=batch.kubernetes.io/controller-uid={uid}")["items"]
        last = max(pods, key=lambda one: str(one["metadata"]["creationTimestamp"]))
        state = last["status"]["containerStatuses"][0]["state"]["terminated"]
        if "message" not in state:
            raise failed(f"job {name} left no summary", self.kubectl("logs", f"job/{name}"))
        return state["exitCode"], dict(json.loads(state["message"]))

    def lives(self, pod: str) -> tuple[str, int]:
        """What changes when a pod is made anew, or its container started again."""
        return _lives(self.get("pod", pod))

    def wait_restarted(self, pod: str, before: tuple[str, int]) -> None:
        """Wait until a pod that was ended is back and ready: at first it may look as before."""

        def back() -> bool:
            found = self.get("pod", pod)
            return is_ready(found) and _lives(found) != before

        until(back, f"{pod} is back", seconds=PATIENCE)

    def terminate(self, pod: str) -> None:
        """Tell the first process of a pod to end, which may end this command with it."""
        with suppress(CommandFailed):
            self.kubectl("exec", pod, "--", "python3", "-c", TERMINATE)

    @property
    def host(self) -> str:
        """This machine's address as the nodes see it."""
        node = next(iter(self.cluster.zones))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((self.cluster.node_address(node), 9))
            return str(probe.getsockname()[0])

    def metrics(self, pod: str) -> str:
        """What a collector says of itself, by way of the API server, once it answers."""
        return self._reported(f"pods/https:{pod}:8000", "metrics")

    def operator_metrics(self) -> str:
        """What all of the operator's pods say of themselves, one after the other."""
        pods = self.get("pods", OPERATORS)["items"]
        path = "/api/v1/namespaces/{namespace}/pods/{name}:8080/proxy/metrics"
        there = [one["metadata"] for one in pods if "deletionTimestamp" not in one["metadata"]]
        return "".join(self.kubectl("get", "--raw", path.format(**one)) for one in there)

    def proof_key(self) -> str:
        """The public keys that a collector serves, by way of the API server."""
        return self._reported(f"services/https:{self.name}-reporting:8000", "v1/proof-key")

    def _reported(self, where: str, path: str) -> str:
        url = f"/api/v1/namespaces/{self.namespace}/{where}/proxy/{path}"
        said: list[str] = []

        def answered() -> bool:
            said[:] = [self.kubectl("get", "--raw", url)]
            return True

        until(answered, f"{where} answers", seconds=PATIENCE)
        return said[0]

    def fetch(self, period: str, folder: Path) -> Path:
        """Copy a delivered period out of the export volume."""
        claim = {"persistentVolumeClaim": {"claimName": f"{self.name}-export", "readOnly": True}}
        spec = pod(
            ["python3", "-c", "import signal; signal.pause()"], {"exports": ("/exports", claim)}
        )
        self.kubectl("delete", "pod", "fetch", "--ignore-not-found", "--now")
        self.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "fetch"}, "spec": spec})
        self.wait("pod/fetch", "condition=Ready")
        target = folder / period
        # Busy nodes end streams early: then kubectl goes on where it stopped.
        self.kubectl("cp", "--retries=10", f"fetch:/exports/{period}", str(target))
        self.kubectl("delete", "pod", "fetch", "--now", "--wait=false")
        return target
