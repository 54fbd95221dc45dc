"""Whom the commands ask that want an answer of all collectors, and how."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from usage_collector.cli.clients import token
from usage_collector.monthly import Asking
from usage_collector.peers import addresses, trust

if TYPE_CHECKING:
    from pathlib import Path


def asked(peers: str, token_file: Path | None, ca_file: Path | None, *, secure: bool) -> Asking:
    """The collectors as the flags of `clients` name them; what goes wrong is told on stderr."""
    return Asking(
        peers=addresses(peers, secure=secure),
        token=token(token_file),
        tls=trust(ca_file),
        say=lambda text: click.echo(text, err=True),
    )
