"""The command line. Exit 0: all is well; 1: something is wrong with the data; 2: wrong usage."""

from __future__ import annotations

import importlib
import os
import sys
from importlib.util import find_spec

import click

from usage_collector.errors import InvalidInput, UsageError

INTERRUPTED = 130
COMMANDS = {
    "serve": "usage_collector.cli.serve",
    "check": "usage_collector.cli.check",
    "export": "usage_collector.cli.export",
    "export-month": "usage_collector.cli.export_month",
    "acknowledge": "usage_collector.cli.acknowledge",
    "backup": "usage_collector.cli.backup",
    "ship": "usage_collector.cli.ship",
    "backups": "usage_collector.cli.backups",
    "restore": "usage_collector.cli.restore",
    "verify": "usage_collector.cli.verify",
    "usage": "usage_collector.cli.usage",
    "customers": "usage_collector.cli.customers",
    "report": "usage_collector.cli.report",
    "next-export": "usage_collector.cli.next_export",
    "simulate": "usage_collector.cli.simulate",
}
"""Command words and the modules that hold them, as a function named ``command`` each."""


class LazyGroup(click.Group):
    """Imports a command only when it is run or its help is shown."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """The words there are, in the order of the table."""
        return [word for word, module in COMMANDS.items() if find_spec(module)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command of that word, None when there is none."""
        module = COMMANDS.get(cmd_name)
        if module is None or not find_spec(module):
            return None
        command = importlib.import_module(module).command
        assert isinstance(command, click.Command)  # noqa: S101
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="usage-operator", prog_name="usage-collector")
def cli() -> None:
    """Collects, proves and exports the usage of self-hosted speech recognition."""


def main() -> None:
    """Run the command line; errors end in one line on standard error that says what to do."""
    try:
        sys.exit(cli.main(prog_name="usage-collector", standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        sys.exit(INTERRUPTED)
    except InvalidInput as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(2)
    except BrokenPipeError:
        # Whoever read the output has gone; Python must not fail once more when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (UsageError, OSError) as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
