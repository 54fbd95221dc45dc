"""`usage-collector acknowledge`: somebody has got a month, and says so."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import click

from usage_collector.cli.asking import asked
from usage_collector.cli.clients import (
    ca_option,
    interruptible,
    json_option,
    peers_option,
    print_json,
    secure_option,
    token_option,
)
from usage_collector.errors import InvalidInput
from usage_collector.monthly import acknowledge
from usage_collector.packages import Malformed
from usage_collector.packages import manifest as manifests
from usage_collector.periods import Period
from usage_collector.words import many


@click.command("acknowledge")
@click.option("--period", required=True, help="The month, YYYY-MM.")
@click.option(
    "--by",
    required=True,
    metavar="PLACE|NAME",
    help="The destination that has it, as GET /v1/periods names it; or who has the manifest.",
)
@click.option(
    "--manifest",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The manifest they hold: it and what it lists is acknowledged.  "
    "[default: all that was sent to --by]",
)
@peers_option
@secure_option
@token_option
@ca_option
@json_option
@interruptible
def command(
    period: str,
    by: str,
    manifest: Path | None,
    peers: str | None,
    secure: bool,
    token_file: Path | None,
    ca_file: Path | None,
    as_json: bool,
) -> None:
    """Tells the collectors that a month was received.

    In the name of a destination that was promised files and never got them (it was removed, say)
    it ends their waiting, so that the events can be purged: only with the manifest.
    """
    month = Period.parse(period)
    if not by.strip():
        raise InvalidInput("--by is empty", "name the destination, or who has the files")
    if not peers:
        raise InvalidInput("--peers is missing", "list the reporting ports of all collectors")
    asking = asked(peers, token_file, ca_file, secure=secure)
    done = acknowledge(asking, month, by, _listed(manifest, month) if manifest else None)
    if as_json:
        print_json({"period": str(month), "by": by, "noted": done.noted, "failed": done.failed})
    else:
        for name, files in done.noted.items():
            click.echo(f"{name}: {many(files, 'file')} of {month} acknowledged by {by}")
        for problem in done.failed:
            click.echo(f"Error: {problem}", err=True)
    sys.exit(1 if done.failed else 0)


def _listed(path: Path, month: Period) -> dict[str, str]:
    """The manifest itself and the files it lists, name to SHA-256."""
    try:
        with path.open("rb") as file:
            found = manifests.read(file, {})
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}", "check it") from None
    except Malformed as error:
        raise InvalidInput(f"{path} is no manifest: {error}", "give a manifest.json") from None
    if found.period != str(month):
        raise InvalidInput(f"{path} is of {found.period}, not of {month}", "give the other one")
    lines = [*found.lines("files"), *found.lines("summaries")]
    listed = {str(line.get("name")): str(line.get("sha256")) for line in lines}
    return listed | {manifests.manifest_name(found.revision): digest}
