"""`make demo`: the whole way from `kubectl apply` to a verified month, on a real cluster.

Runs in a namespace of its own that it makes anew each time. The delivered month is left in `demo/`.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.e2e.system import ROOT, SAMPLE, System, load_images
from tests.kind_helper import binaries, choose
from tests.kind_helper.errors import KindHelperError
from tests.kind_helper.progress import Live, Plain, Progress

NAMESPACE = "usage-demo"
FOLDER = ROOT / "demo"
JOBS, SESSIONS = 1500, 60


def main() -> int:
    """Run the demo, or remove it with `--clean`; the exit status is 0 when all is proved."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--clean", action="store_true", help="remove the demo and its cluster")
    parser.add_argument("--context", help="use the cluster of this kubeconfig context")
    parser.add_argument("--namespace", default=NAMESPACE, help="made anew (default: usage-demo)")
    parser.add_argument("--folder", default=FOLDER, type=Path, help="for the month (default: demo)")
    arguments = parser.parse_args()
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 120
    progress: Progress = Live(console) if console.is_terminal else Plain(console.print)
    try:
        if arguments.clean:
            choose.down(context=arguments.context, progress=progress)
            shutil.rmtree(arguments.folder, ignore_errors=True)
            return 0
        return demo(console, progress, arguments)
    except KindHelperError as error:
        console.print(f"[red]The demo stopped:[/] {error}", soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("\nStopped. `make demo` starts again, `make clean-demo` removes all.")
        return 130


def demo(console: Console, progress: Progress, arguments: argparse.Namespace) -> int:
    """Every step, each with its time."""
    began = time.monotonic()
    if missing := binaries.missing():
        minutes = sum(part.seconds for part in missing) // 60 + 1
        progress.note(f"the first run builds Kubernetes itself: about {minutes} minutes, once")
    else:
        progress.note("everything is built already: under two minutes")
    cluster = choose.up(context=arguments.context, progress=progress)
    system = System(cluster, arguments.namespace)
    load_images(system.cluster, progress)
    with progress.step("clearing the namespace of an earlier demo", 30):
        system.remove()
        system.create_namespace()
    with progress.step("helm install of the operator", 5):
        system.install()
    with progress.step("kubectl apply of a UsageCollector with three zones, until it is Ready", 5):
        system.apply(SAMPLE.read_text())
        system.wait_ready()
    with progress.step(f"{JOBS} batch jobs and {SESSIONS} sessions report over TLS", 5):
        load = ("--jobs", str(JOBS), "--sessions", str(SESSIONS), "--connections", "24")
        sent = system.simulate(*load)
    period = f"{datetime.now(UTC):%Y-%m}"
    with progress.step(f"the export CronJob's job runs at once, for {period}", 5):
        summary = system.export("--period", period)
    folder = arguments.folder
    with progress.step("fetching the packages and the public key", 2):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        month = system.fetch(period, folder)
        key = folder / "proof-key.pem"
        key.write_text(system.proof_key())
    verified = verify(month, key)
    console.print()
    console.print(system.kubectl("get", "uc"), markup=False, soft_wrap=True)
    console.print(packages(system, verified))
    proved = prove(console, sent, summary, verified)
    console.print(f"\n{time.monotonic() - began:.0f} s in all. Next:\n{hints(system, month, key)}")
    return 0 if proved else 1


def verify(month: Path, key: Path) -> dict[str, Any]:
    """What `usage-collector verify` says of the fetched packages."""
    program = str(Path(sys.executable).parent / "usage-collector")
    command = [program, "verify", "--json", f"--proof-key={key}", str(month)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def packages(system: System, verified: dict[str, Any]) -> Table:
    """A row for each collector's package."""
    table = Table(title="What each zone's collector counted and signed")
    for heading in ("zone", "node", "package"):
        table.add_column(heading)
    for heading in ("events", "positions", "bytes"):
        table.add_column(heading, justify="right")
    pods = system.get("pods", "--selector=app.kubernetes.io/component=collector")["items"]
    nodes = {pod["metadata"]["name"]: pod["spec"]["nodeName"] for pod in pods}
    for file in verified["files"]:
        positions = f"{file['first']}-{file['last']}"
        cells = (str(file["count"]), positions, str(file["bytes"]))
        table.add_row(file["zone"], nodes.get(file["collector"]), Path(file["file"]).name, *cells)
    return table


def prove(
    console: Console, sent: dict[str, Any], summary: dict[str, Any], verified: dict[str, Any]
) -> bool:
    """Compare what was sent with what was exported and verified, line by line."""
    hours = sent["job_hours"] + sent["session_hours"]
    totals = verified["manifests"][0]["totals"]
    # What is sent again, for want of an answer in time, may be in two collectors' packages.
    twice = verified["events"] - sent["events"]
    claims = {
        f"{sent['events']} events acknowledged, {verified['events']} in the packages": (
            0 <= twice <= sent["retries"]
        ),
        f"{hours:.6f} hours used, {totals['hours']:.6f} in the manifest": (
            abs(hours - totals["hours"]) < 1e-5
        ),
        f"{sent['jobs'] + sent['sessions']} jobs and sessions, each counted once": (
            sent["jobs"] + sent["sessions"] == totals["count"]
        ),
        f"delivered to {', '.join(summary['delivered'])}, gaps: {len(summary['gaps'])}": (
            summary["result"] == "exported"
        ),
        "verify: unaltered, complete, nothing twice": verified["ok"],
    }
    for claim, holds in claims.items():
        console.print(("[green]✓[/] " if holds else "[red]✗[/] ") + claim)
    return all(claims.values())


def hints(system: System, month: Path, key: Path) -> str:
    """The commands to try after the demo."""
    kubectl = f"kubectl --namespace {system.namespace}"
    here = [os.path.relpath(path, ROOT) for path in (key, month)]
    lines = (
        f"export KUBECONFIG={system.cluster.kubeconfig}",
        f"{kubectl} get uc,pods,pvc,svc,cronjob",
        f"{kubectl} describe uc {system.name}",
        f".venv/bin/usage-collector verify --proof-key {here[0]} {here[1]}",
        "make clean-demo",
    )
    return "\n".join(f"  {line}" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
