"""The command line: run, crd, plan."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import os
import sys
from pathlib import Path

from usage_operator import errors, logs, preview, settings
from usage_operator.kube import Access, from_file, in_cluster
from usage_operator.spec import crd

_FLAGS = {
    "--namespaces": "namespaces to serve, separated by commas; * for all (default: its own)",
    "--collector-image": "image of collectors that name none",
    "--host": "address to serve health and metrics on (default: all)",
    "--http-port": "port to serve health and metrics on (default: 8080)",
    "--resync-seconds": "how often everything is looked at without cause (default: 600)",
    "--cluster-domain": "DNS domain of the cluster (default: cluster.local)",
    "--ca-days": "how long an authority made by the operator lives (default: 3650)",
    "--certificate-days": "how long a certificate made by it lives (default: 90)",
    "--proxy-image": "image of HAProxy, for resources with spec.ingest.proxy",
    "--runbooks": "URL of the runbooks that alerts point to (default: docs/operations.md)",
    "--log-format": "line or json",
    "--log-level": "DEBUG, INFO, WARNING or ERROR",
    "--kubeconfig": "kubeconfig to use instead of the pod's service account",
    "--context": "context of the kubeconfig instead of the current one",
    "--leader-election": "on or off: work only while holding the Lease (default: on in a cluster)",
    "--lease": "name of the Lease (default: usage-operator)",
    "--probe": "on or off: ask the collectors themselves (default: on in a cluster)",
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="usage-operator", description="Runs usage collectors on Kubernetes."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {settings.VERSION}")
    common = argparse.ArgumentParser(add_help=False)
    for flag, text in _FLAGS.items():
        variable = settings.PREFIX + flag.removeprefix("--").replace("-", "_").upper()
        common.add_argument(flag, metavar="VALUE", help=f"{text} [{variable}]")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run", parents=[common], help="run the operator")
    commands.add_parser("crd", help="print the CustomResourceDefinition")
    plan = commands.add_parser(
        "plan", parents=[common], help="print what would be done for a resource, and why"
    )
    plan.add_argument("file", type=Path, help="file with a UsageCollector")
    plan.add_argument("--empty", action="store_true", help="against an empty cluster, offline")
    return parser


def _settings(flags: argparse.Namespace) -> settings.Settings:
    """Let flags override the environment; outside of a cluster nothing is probed, nor led."""
    environment = dict(os.environ)
    for flag in _FLAGS:
        name = flag.removeprefix("--").replace("-", "_")
        if (value := getattr(flags, name)) is not None:
            environment[settings.PREFIX + name.upper()] = value
    read = settings.read(environment)
    if not read.kubeconfig:
        return read
    return dataclasses.replace(
        read,
        probe=read.probe and settings.PREFIX + "PROBE" in environment,
        leader_election=read.leader_election and settings.PREFIX + "LEADER_ELECTION" in environment,
    )


def _access(read: settings.Settings) -> Access:
    if read.kubeconfig:
        return from_file(Path(read.kubeconfig), read.context)
    host = os.environ.get("KUBERNETES_SERVICE_HOST")
    if host:
        return in_cluster(host, os.environ.get("KUBERNETES_SERVICE_PORT", "443"))
    raise errors.InvalidSettings(
        "this is no pod, and no kubeconfig is named", "set KUBECONFIG, or use --kubeconfig"
    )


def _main(flags: argparse.Namespace) -> int:
    if flags.command == "crd":
        print(crd.text(), end="", flush=True)
        return 0
    read = _settings(flags)
    logs.configure(read.log_format, read.log_level)
    if flags.command == "run":
        # kopf takes its time to load, and the other commands have no use for it.
        from usage_operator.run import run

        asyncio.run(run(read, _access(read)))
        return 0
    access = None if flags.empty else _access(read)
    namespace = read.served(access.namespace if access else "default")[0]
    print(asyncio.run(preview.preview(flags.file, namespace, read, access)))
    return 0


def main() -> None:
    """Run the command line; exit 1 when something is wrong, 2 for wrong usage, 130 by Ctrl-C."""
    flags = _parser().parse_args()
    try:
        sys.exit(_main(flags))
    except errors.InvalidSettings as error:
        print(f"usage-operator: {error}", file=sys.stderr)
        sys.exit(2)
    except errors.OperatorError as error:
        print(f"usage-operator: {error}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        # Whoever read the output has gone; Python must not fail once more when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        print("usage-operator: interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
