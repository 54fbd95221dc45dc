"""`usage-collector export`: one collector's package, by hand."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from usage_collector.cli.clients import (
    ca_option,
    interruptible,
    json_option,
    print_json,
    secure_option,
    token,
    token_option,
)
from usage_collector.errors import DeliveryFailed, InvalidInput, TooLarge
from usage_collector.packages import Trust, verify
from usage_collector.peers import Peer, address, trust
from usage_collector.periods import parse_window
from usage_collector.words import many

if TYPE_CHECKING:
    from usage_collector.packages import Report


@click.command("export", short_help="Writes the signed package of a window of time to a file.")
@click.option("--from", "source", required=True, metavar="HOST:PORT", help="Reporting port.")
@click.option("--since", help="First moment, ISO 8601.  [default: the beginning]")
@click.option("--until", help="Last moment, inclusive, ISO 8601.  [default: the end]")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="File to write.")
@secure_option
@token_option
@ca_option
@json_option
@interruptible
def command(
    source: str,
    since: str | None,
    until: str | None,
    out: Path,
    secure: bool,
    token_file: Path | None,
    ca_file: Path | None,
    as_json: bool,
) -> None:
    """Writes the signed package of a window of time to a file, and verifies it.

    The file is there whole or not at all, and none is ever overwritten.
    """
    url = address(source, secure=secure)
    parse_window(since, until)
    if out.exists():
        raise InvalidInput(f"{out} exists already", "give another --out; nothing is overwritten")
    if not out.parent.is_dir():
        raise InvalidInput(f"--out: there is no folder {out.parent}", "make it first")
    part = out.with_name(f".{out.name}.part")
    try:
        with Peer(url, token=token(token_file), tls=trust(ca_file)) as peer:
            peer.window(since, until, part)
        report = verify([part], Trust())
        if not report.ok:
            what = "; ".join(f"{one.kind}: {one.detail}" for one in report.findings)
            raise DeliveryFailed(f"{url} sent a package that does not verify: {what}", "try again")
        _name(part, out)
    except TooLarge as error:
        _windows(error, as_json=as_json)
        sys.exit(1)
    except OSError as error:
        raise InvalidInput(f"{out} cannot be written: {error.strerror}", "check --out") from error
    finally:
        part.unlink(missing_ok=True)
    _tell(out, report, as_json=as_json)


def _name(part: Path, out: Path) -> None:
    try:
        out.hardlink_to(part)
    except FileExistsError:
        raise InvalidInput(f"{out} exists already", "nothing is overwritten") from None
    except OSError:  # a file system without hard links
        part.rename(out)


def _windows(error: TooLarge, *, as_json: bool) -> None:
    if as_json:
        print_json({"ok": False, "error": error.detail, "windows": error.windows})
        return
    click.echo(f"Error: {error}", err=True)
    click.echo("Export these windows one by one:", err=True)
    for window in error.windows:
        click.echo(f"  --since {window.get('since')} --until {window.get('until')}", err=True)


def _tell(out: Path, report: Report, *, as_json: bool) -> None:
    amount = report.totals.all
    if as_json:
        facts = {**report.files[0].as_json(), "file": str(out), "totals": report.totals.as_json()}
        print_json({"ok": True, **facts})
        return
    click.echo(
        f"{out}: {many(report.events, 'event')}, "
        f"{many(amount.count, 'job or session', 'jobs and sessions')}, "
        f"{amount.hours:.6f} hours, unaltered"
    )
