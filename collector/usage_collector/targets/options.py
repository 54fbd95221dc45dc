"""The options that a destination's text carries, and the secrets that it never carries."""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, parse_qsl, urlsplit

from usage_collector.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x20-\x7e]+)")


def split(text: str) -> SplitResult:
    """The parts of an address; `InvalidInput` where it, or the name of its host, cannot be one."""
    try:
        parts = urlsplit(text)
        (parts.hostname or "").encode("idna")
    except ValueError as error:
        shown = text.split("?")[0].rpartition("@")[2]
        raise InvalidInput(f"{shown!r} is no address: {error}", "check the host's name") from None
    return parts


def parse(destination: str, query: str, known: frozenset[str]) -> dict[str, str]:
    """`a=1&b=2` as a mapping.

    Raises:
        InvalidInput: names an option that is not known or stands there twice.
    """
    found: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in known:
            raise InvalidInput(
                f"destination {destination!r} has an unknown option {name!r}",
                f"known are {', '.join(sorted(known))}",
            )
        if name in found:
            raise InvalidInput(f"destination {destination!r} gives {name} twice", "give it once")
        found[name] = value
    return found


def chosen(destination: str, name: str, value: str, choices: tuple[str, ...]) -> str:
    """A value that is one of the choices; else `InvalidInput`."""
    if value not in choices:
        raise InvalidInput(
            f"{name} of destination {destination!r} is {value!r}", f"use {' or '.join(choices)}"
        )
    return value


def secret(options: Mapping[str, str], environment: Mapping[str, str], name: str) -> str | None:
    """A secret: the file of that name in the folder `credentials`, else the variable.

    With a folder the environment is not looked at: the secret of another destination may be there.
    """
    folder = options.get("credentials")
    if folder is None:
        return environment.get(name) or None
    path = Path(folder) / name
    try:
        return path.read_text().strip() or None
    except FileNotFoundError:
        if not Path(folder).is_dir():
            raise InvalidInput(
                f"credentials {folder} is no folder", "name an existing one"
            ) from None
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}", "check it") from None


def ca(options: Mapping[str, str]) -> str | None:
    """The certificates of the file `ca-file`, PEM; None: the system's authorities."""
    if "ca-file" not in options:
        return None
    path = options["ca-file"]
    try:
        text = Path(path).read_text()
        ssl.create_default_context(cadata=text)
    except (OSError, UnicodeDecodeError, ssl.SSLError) as error:
        raise InvalidInput(f"ca-file {path} cannot be used: {error}", "give a PEM file") from None
    return text


def one_header(whose: str, line: str) -> dict[str, str]:
    """A header of HTTP from its one line; `InvalidInput` says whose is none, never what it is."""
    match = _HEADER.fullmatch(line)
    if match is None:
        raise InvalidInput(f"the header for {whose} is none", "write one line: NAME: VALUE")
    return {match[1]: match[2]}
