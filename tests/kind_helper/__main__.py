"""The command line of the kind-helper: `python -m tests.kind_helper`."""

import sys
from pathlib import Path

import click
from rich.console import Console

from tests.kind_helper import binaries, choose, images, versions
from tests.kind_helper.cluster import Cluster
from tests.kind_helper.errors import KindHelperError
from tests.kind_helper.local.provider import Local
from tests.kind_helper.progress import Live, Plain, Progress

_CONSOLE = Console(stderr=True)


def _progress() -> Progress:
    if _CONSOLE.is_terminal:
        return Live(_CONSOLE)
    return Plain(lambda line: click.echo(line, err=True))


class _Group(click.Group):
    """Turns the helper's errors into a sentence, a remedy and exit code 1."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except KindHelperError as error:
            click.echo(f"error: {error.message}", err=True)
            if error.hint:
                click.echo(f"what to do: {error.hint}", err=True)
            ctx.exit(1)


_name = click.option("--name", default=choose.DEFAULT_NAME, show_default=True, help="The cluster.")
_context = click.option(
    "--context",
    envvar=choose.CONTEXT_VARIABLE,
    help=f"Use the cluster of this kubeconfig context (or of {choose.CONTEXT_VARIABLE}).",
)
_provider = click.option(
    "--provider",
    "wanted",
    type=click.Choice(choose.PROVIDERS),
    help="Local nodes or kind; by default kind where an engine answers.",
)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """A real Kubernetes with three zones, for tests and the demo.

    It comes from the kubeconfig context that you name, from kind where docker or podman answers,
    or from local nodes where none does: those need root on Debian. The first `up` of local nodes
    builds the programs, which takes about ten minutes on two cores; later ones take seconds.
    """


@main.command()
@_name
@_context
@_provider
def up(name: str, context: str | None, wanted: str | None) -> None:
    """Bring the cluster up, or reuse it when it is healthy.

    What a killed run left is cleared first. Prints the kubeconfig's path on standard output.
    """
    cluster = choose.up(name, None if wanted else context, _progress(), wanted)
    _describe(cluster)
    click.echo(cluster.kubeconfig)


@main.command()
@_name
@_context
@_provider
def down(name: str, context: str | None, wanted: str | None) -> None:
    """Remove everything of the cluster; a named context's is left alone."""
    choose.down(name, None if wanted else context, _progress(), wanted)


@main.command()
@click.argument("archive", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("image")
@_name
@_context
def load(archive: Path, image: str, name: str, context: str | None) -> None:
    """Bring IMAGE from the docker archive ARCHIVE to every node."""
    with _progress().step(f"loading {image}", 5):
        choose.load(archive, image, name, context)


@main.command()
@_name
@_context
def kubeconfig(name: str, context: str | None) -> None:
    """Print the path of the administrator's kubeconfig.

    For example: export KUBECONFIG=$(python -m tests.kind_helper kubeconfig)
    """
    click.echo(choose.kubeconfig(name, context))


@main.command()
def build() -> None:
    """Build the programs that local nodes need into the cache, and start nothing."""
    binaries.build(progress=_progress())
    for folder in sorted({str(binaries.program(part.name).parent) for part in versions.PARTS}):
        click.echo(folder)


@main.command()
@_name
@_context
def status(name: str, context: str | None) -> None:
    """Show the cluster's zones and, for local nodes, which processes run.

    Ends with 1 when there is no cluster or a process of it is missing.
    """
    cluster = choose.find(name, context)
    _describe(cluster)
    if not isinstance(cluster.via, Local):
        return
    daemons = cluster.via.status(name)
    for daemon, runs in daemons.items():
        click.echo(f"{'running' if runs else 'ENDED':8} {daemon}")
    if not all(daemons.values()):
        sys.exit(1)


@main.command(name="images")
@click.option("--tag", default="dev", show_default=True, help="The images' tag.")
@click.option("--load", "loads", is_flag=True, help="Bring them to the cluster's nodes, too.")
@_name
@_context
def build_images(tag: str, loads: bool, name: str, context: str | None) -> None:
    """Build the collector's and the operator's image where something changed.

    Prints the name and the archive of each.
    """
    progress = _progress()
    archives = images.build_all(tag, progress)
    if loads:
        cluster = choose.find(name, context)
        for image, archive in archives.items():
            with progress.step(f"loading {image}", 5):
                cluster.load(archive, image)
    for image, archive in archives.items():
        click.echo(f"{image} {archive}")


def _describe(cluster: Cluster) -> None:
    nodes = ", ".join(f"{zone} ({node})" for zone, node in cluster.zones.items())
    click.echo(f"cluster {cluster.name} ({cluster.provider}) is up: {nodes}", err=True)


if __name__ == "__main__":
    main(prog_name="python -m tests.kind_helper")
