"""What the commands have in common that ask any one collector, which answers for all."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import click

from usage_collector.cli.clients import (
    ca_option,
    json_option,
    peers_option,
    secure_option,
    token,
    token_option,
)
from usage_collector.errors import InvalidInput, PeerUnavailable
from usage_collector.peers import Peer, Refused, addresses, trust

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

_ATTEMPTS = 2


class Collectors:
    """Any of these collectors: the first that answers is asked."""

    def __init__(self, urls: Sequence[str], token: str | None, tls: ssl.SSLContext) -> None:
        self._urls = urls
        self._token = token
        self._tls = tls

    def ask(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        body: object = None,
    ) -> dict[str, Any]:
        """Its answer.

        Raises:
            PeerUnavailable: none answers, or one refuses.
            NotFound: what was asked for is not there.
        """
        for number, url in enumerate(self._urls, 1):
            with Peer(url, token=self._token, tls=self._tls, attempts=_ATTEMPTS) as peer:
                try:
                    return peer.report(method, path, params or {}, body)
                except Refused:
                    raise
                except PeerUnavailable as error:
                    if number == len(self._urls):
                        raise
                    click.echo(f"{error}; the next one is asked", err=True)
        raise AssertionError("unreachable")


def collectors_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the flags that name collectors, and gives the command `Collectors` first."""

    @peers_option
    @secure_option
    @token_option
    @ca_option
    @json_option
    @functools.wraps(command)
    def run(
        peers: str | None,
        secure: bool,
        token_file: Path | None,
        ca_file: Path | None,
        **given: Any,
    ) -> None:
        if not peers:
            raise InvalidInput("--peers is missing", "name the reporting port of a collector")
        urls = addresses(peers, secure=secure)
        command(Collectors(urls, token(token_file), trust(ca_file)), **given)

    return run


format_option = click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json"]),
    default="table",
    help="How to print it.  [default: table]",
)


def tell_partial(answer: Mapping[str, Any]) -> bool:
    """Say on standard error what may be missing from an answer; whether anything is."""
    for one in answer.get("partial", ()):
        click.echo(f"PARTIAL: {one['collector']}: {one['reason']} ({_known(one)})", err=True)
    return bool(answer.get("partial"))


def _known(one: Mapping[str, Any]) -> str:
    """Of which times all is known of a collector."""
    until, again = one.get("as_of"), one.get("until")
    if until and again:
        return f"known up to {until}, and again from {again} on"
    if again:
        return f"known from {again} on"
    return f"known up to {until}" if until else "nobody knows since when"
