"""`make demo`: the whole way from `kubectl apply` to a verified month, on a real cluster.

Runs in a namespace of its own that it makes anew each time. The delivered month is left in `demo/`.
"""

import argparse
import json
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
    arguments = parser.parse_args()
    console = Console(highlight=False)
    progress: Progress = Live(console) if console.is_terminal else Plain(console.print)
    try:
        return clean(progress) if arguments.clean else demo(console, progress, arguments.context)
    except KindHelperError as error:
        console.print(f"[red]The demo stopped:[/] {error}", soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("\nStopped. `make demo` starts again, `make clean-demo` removes all.")
        return 130


def clean(progress: Progress) -> int:
    """Remove the cluster and the fetched packages."""
    choose.down(progress=progress)
    shutil.rmtree(FOLDER, ignore_errors=True)
    return 0


def demo(console: Console, progress: Progress, context: str | None) -> int:
    """Every step, each with its time."""
    began = time.monotonic()
    if missing := binaries.missing():
        minutes = sum(part.seconds for part in missing) // 60 + 1
        progress.note(f"the first run builds Kubernetes itself: about {minutes} minutes, once")
    system = System(choose.up(context=context, progress=progress), NAMESPACE)
    load_images(system.cluster, progress)
    with progress.step("clearing the namespace of an earlier demo", 5):
        system.remove()
        system.create_namespace()
    with progress.step("installing the operator with the chart", 10):
        system.install()
    with progress.step("kubectl apply of a UsageCollector with three zones, until it is Ready", 15):
        system.apply(SAMPLE.read_text())
        system.wait_ready()
    with progress.step(f"{JOBS} batch jobs and {SESSIONS} sessions report over TLS", 15):
        sent = system.simulate("--jobs", str(JOBS), "--sessions", str(SESSIONS), "--connections=24")
    period = f"{datetime.now(UTC):%Y-%m}"
    with progress.step(f"the export CronJob's job runs at once, for {period}", 10):
        summary = system.export("--period", period)
    with progress.step("fetching the packages", 5):
        shutil.rmtree(FOLDER, ignore_errors=True)
        FOLDER.mkdir()
        folder = system.fetch(period, FOLDER)
    verified = verify(folder)
    console.print()
    console.print(system.kubectl("get", "uc"), markup=False)
    console.print(zones(folder))
    proved = report(console, sent, summary, verified, folder)
    console.print(f"\n{time.monotonic() - began:.0f} s in all. Next:\n{hints(system, folder)}")
    return 0 if proved else 1


def verify(folder: Path) -> dict[str, Any]:
    """What `usage-collector verify` says of the fetched packages."""
    command = [
        str(Path(sys.executable).parent / "usage-collector"),
        "verify",
        "--json",
        str(folder),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found: dict[str, Any] = json.loads(done.stdout)
    return {"exit": done.returncode, **found}


def zones(folder: Path) -> Table:
    """A row for each collector's package, from the signed manifest."""
    payload = json.loads((folder / "manifest.json").read_text())["payload"]
    table = Table(
        "collector", "package", "events", "positions", title=f"Period {payload['period']}"
    )
    for file in payload["files"]:
        first, last = file["first"], file["last"]
        table.add_row(
            file["name"].split("-", 1)[1].rsplit("-", 3)[0],
            file["name"],
            str(file["count"]),
            f"{first}-{last}",
        )
    return table


def hints(system: System, folder: Path) -> str:
    """The commands to try after the demo."""
    kubeconfig = f"export KUBECONFIG={system.cluster.kubeconfig}"
    return "\n".join(
        f"  {line}"
        for line in (
            kubeconfig,
            f"kubectl --namespace {system.namespace} get uc,pods,pvc,svc,cronjob",
            f"kubectl --namespace {system.namespace} describe uc {system.name}",
            f".venv/bin/usage-collector verify {folder.relative_to(ROOT)}",
            "make clean-demo",
        )
    )


if __name__ == "__main__":
    sys.exit(main())
