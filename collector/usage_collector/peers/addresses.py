"""The list of collectors that should exist, as people and the operator write it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from usage_collector.errors import InvalidInput

_HINT = "write host:port or https://host:port, with the reporting port (8000 by default)"


def address(text: str, *, secure: bool = False) -> str:
    """`http://host:port` or `https://host:port` of one collector's reporting listener.

    Without a scheme it is HTTP unless ``secure``. `InvalidInput` names the address.
    """
    url = text if "://" in text else f"{'https' if secure else 'http'}://{text}"
    try:
        parts = urlsplit(url)
        port = parts.port
        (parts.hostname or "").encode("idna")
    except ValueError:
        raise InvalidInput(f"address {text!r} is not that of a collector", _HINT) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or not port:
        raise InvalidInput(f"address {text!r} is not that of a collector", _HINT)
    if parts.username or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise InvalidInput(f"address {text!r} has more than a host and a port", _HINT)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}:{port}"


def listed(text: str, what: str, hint: str) -> list[str]:
    """The words of a comma-separated list, or of `@FILE` with one a line.

    ``what`` names the list in the `InvalidInput` of a file that cannot be read.
    """
    if text.startswith("@"):
        path = Path(text[1:])
        try:
            entries = [line.split("#")[0] for line in path.read_text().splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput(f"{what} file {path} cannot be read: {error}", hint) from None
    else:
        entries = text.split(",")
    return [entry.strip() for entry in entries if entry.strip()]


def addresses(text: str, *, secure: bool = False) -> list[str]:
    """All collectors of a comma-separated list, or of `@FILE` with one a line, each once."""
    entries = listed(text, "peers", _HINT)
    found = dict.fromkeys(address(entry, secure=secure) for entry in entries)
    if not found:
        raise InvalidInput(f"peers {text!r} names no collector", _HINT)
    return list(found)
