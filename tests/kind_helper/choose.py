"""Chooses the way to a cluster, and offers the helper's few verbs over it."""

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.kind_helper import context as named
from tests.kind_helper import engines
from tests.kind_helper.cluster import Cluster, Provider
from tests.kind_helper.errors import KindHelperError, Unavailable
from tests.kind_helper.kind import Kind
from tests.kind_helper.local.provider import Local
from tests.kind_helper.progress import Progress, Silent

DEFAULT_NAME = "usage"
CONTEXT_VARIABLE = "USAGE_TEST_CONTEXT"
PROVIDERS = ("local", "kind")


@dataclass(frozen=True)
class Machine:
    """What of this machine the choice depends on."""

    engine: str | None
    root: bool
    linux: bool
    debian: bool


def inspect() -> Machine:
    """Look at this machine; an engine counts only when it answers."""
    return Machine(
        engine=engines.running_engine(),
        root=os.geteuid() == 0,
        linux=sys.platform == "linux",
        debian=shutil.which("apt-get") is not None,
    )


def choose(machine: Machine, wanted: str | None = None) -> str:
    """`kind` where an engine answers, else `local` for root on Debian, unless one is wanted.

    Raises `Unavailable` with the reason in one line.
    """
    no_local = _no_local(machine)
    if wanted == "local" and no_local:
        raise Unavailable(f"no local nodes: {no_local}")
    if wanted == "kind" and not machine.engine:
        raise Unavailable("no kind: neither docker nor podman answers")
    if wanted in PROVIDERS:
        return str(wanted)
    if machine.engine:
        return "kind"
    if no_local:
        raise Unavailable(
            f"no cluster: neither docker nor podman answers, {no_local}, "
            f"and {CONTEXT_VARIABLE} names no context"
        )
    return "local"


def _no_local(machine: Machine) -> str:
    if not machine.linux:
        return "local nodes need Linux"
    if not machine.root:
        return "local nodes need root"
    return "" if machine.debian else "local nodes need Debian's packages"


def provider(context: str | None = None, wanted: str | None = None) -> Provider:
    """The provider to use: the context named (or in USAGE_TEST_CONTEXT), else as `choose` says.

    Raises `Unavailable`, and `KindHelperError` for a choice that contradicts itself.
    """
    if context and wanted:
        raise KindHelperError("a context and a provider exclude each other", "Name one of them.")
    context = context or (None if wanted else os.environ.get(CONTEXT_VARIABLE))
    if context:
        file = named.kubeconfig_file(os.environ.get("KUBECONFIG"), Path.home())
        return named.Context(context, file)
    machine = inspect()
    if choose(machine, wanted) == "kind":
        return Kind(str(machine.engine))
    return Local()


def up(
    name: str = DEFAULT_NAME,
    context: str | None = None,
    progress: Progress | None = None,
    wanted: str | None = None,
) -> Cluster:
    """Bring a cluster with three zones up, or reuse the healthy one of that name.

    Raises `Unavailable` where none can be had, and `KindHelperError` when it does not start.
    """
    return provider(context, wanted).up(name, progress or Silent())


def find(
    name: str = DEFAULT_NAME, context: str | None = None, wanted: str | None = None
) -> Cluster:
    """The cluster that is up. Raises `KindHelperError` when there is none."""
    return provider(context, wanted).find(name)


def down(
    name: str = DEFAULT_NAME,
    context: str | None = None,
    progress: Progress | None = None,
    wanted: str | None = None,
) -> None:
    """Remove everything of the cluster; nothing happens when there is none."""
    provider(context, wanted).down(name, progress or Silent())


def load(archive: Path, image: str, name: str = DEFAULT_NAME, context: str | None = None) -> None:
    """Bring an image from a docker archive to every node of the cluster."""
    find(name, context).load(archive, image)


def kubeconfig(name: str = DEFAULT_NAME, context: str | None = None) -> Path:
    """The administrator's kubeconfig of the cluster."""
    return find(name, context).kubeconfig
