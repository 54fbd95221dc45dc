"""What the environment and the flags say, read once.

Every setting has one name: ``USAGE_DATA_DIR`` in the environment is ``--data-dir`` as a flag, and
the flag wins.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from usage_collector.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_TRUE = frozenset({"true", "1", "yes", "on"})
_FALSE = frozenset({"false", "0", "no", "off"})


@dataclass(frozen=True, slots=True)
class Settings:
    """How one collector runs. Units stand in the names; None: not given."""

    eats_port: int
    pandas_port: int
    eats_secure: bool
    pandas_secure: bool
    host: str | None
    data_dir: Path
    name: str
    zone: str
    tls_cert_file: Path | None
    tls_key_file: Path | None
    client_ca_file: Path | None
    signing_key_file: Path | None
    proof_key_file: Path | None
    tokens_file: Path | None
    ca_file: Path | None
    peers: str
    retention_days: int
    hold_unexported: bool
    drain_seconds: float
    keepalive_requests: int
    keepalive_seconds: float
    reserve_mb: int
    limits_file: Path | None
    gets_per_second: float
    posts_per_second: float
    log_format: str
    webhooks_port: int
    webhooks_headers_file: Path | None
    webhooks_tls_cert_file: Path | None
    webhooks_tls_key_file: Path | None
    assemblyai_key_file: Path | None
    assemblyai_url: str


@dataclass(frozen=True, slots=True)
class Variable:
    """One setting: its name in the environment, its default there, and what it is for."""

    name: str
    default: str
    read: Callable[[str], Any]
    help: str

    @property
    def field(self) -> str:
        """Its name in `Settings`."""
        return self.name.removeprefix("USAGE_").lower()

    @property
    def flag(self) -> str:
        """Its name on the command line."""
        return "--" + self.field.replace("_", "-")


def _boolean(text: str) -> bool:
    if text.lower() in _TRUE | _FALSE:
        return text.lower() in _TRUE
    raise ValueError("use true or false")


def _whole(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if text.isascii() and text.isdigit() and low <= int(text) <= high:
            return int(text)
        raise ValueError(f"use a whole number from {low} to {high}")

    return read


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1
    if 0 <= value <= 86400:
        return value
    raise ValueError("use seconds, from 0 to 86400")


def _rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1
    if 0 <= value <= 1e6:
        return value
    raise ValueError("use a number from 0 to 1000000")


def _file(text: str) -> Path | None:
    return Path(text) if text else None


def _one_of(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text in words:
            return text
        raise ValueError(f"use {' or '.join(words)}")

    return read


def _name(text: str) -> str:
    if text.isprintable() and len(text) <= 253:
        return text
    raise ValueError("use at most 253 printable characters")


def _api(text: str) -> str:
    """An API's address; its key travels with each request, so in the clear to this host only."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    plain = text.isascii() and text.isprintable() and " " not in text and port != 0
    if not plain or not host or parts.query or parts.fragment or parts.username is not None:
        raise ValueError("use an address such as https://api.assemblyai.com")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
        raise ValueError("use https://, since the key travels with each request")
    return text.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


_port = _whole(0, 65535)

VARIABLES = (
    Variable("EATS_PORT", "9090", _port, "port that takes events"),
    Variable("PANDAS_PORT", "8000", _port, "port for exports, health and metrics"),
    Variable("EATS_SECURE", "true", _boolean, "TLS on the ingest port"),
    Variable("PANDAS_SECURE", "false", _boolean, "TLS on the reporting port"),
    Variable("USAGE_HOST", "", lambda text: text or None, "address to bind; all when empty"),
    Variable("USAGE_DATA_DIR", "/data", Path, "the ledger's folder"),
    Variable("USAGE_NAME", "", _name, "this collector's name; the host's when empty"),
    Variable("USAGE_ZONE", "", _name, "this collector's zone"),
    Variable("USAGE_TLS_CERT_FILE", "", _file, "certificate chain, PEM; self-made when empty"),
    Variable("USAGE_TLS_KEY_FILE", "", _file, "the certificate's private key, PEM"),
    Variable("USAGE_CLIENT_CA_FILE", "", _file, "CA of client certificates; demands them"),
    Variable("USAGE_SIGNING_KEY_FILE", "", _file, "HS512 secret, 32 bytes or more; self-made"),
    Variable("USAGE_PROOF_KEY_FILE", "", _file, "Ed25519 private key, PEM; self-made"),
    Variable("USAGE_TOKENS_FILE", "", _file, "lines 'ROLE TOKEN', role read or admin"),
    Variable("USAGE_CA_FILE", "", _file, "CA that clients of other collectors trust"),
    Variable("USAGE_PEERS", "", str, "all collectors: HOST:PORT,… or @FILE"),
    Variable("USAGE_RETENTION_DAYS", "90", _whole(1, 3660), "days that events are kept"),
    Variable("USAGE_HOLD_UNEXPORTED", "true", _boolean, "never purge what was not sent"),
    Variable("USAGE_DRAIN_SECONDS", "0", _seconds, "after SIGTERM: unready, still accepting"),
    Variable("USAGE_KEEPALIVE_REQUESTS", "1000", _whole(1, 10**9), "requests a connection"),
    Variable("USAGE_KEEPALIVE_SECONDS", "60", _seconds, "age of a connection, in seconds"),
    Variable("USAGE_RESERVE_MB", "64", _whole(0, 10**6), "MB of disk kept back for purging"),
    Variable("USAGE_LIMITS_FILE", "", _file, "plans, quotas, alerts and rates, JSON"),
    Variable("USAGE_GETS_PER_SECOND", "0", _rate, "reading requests of one token; 0: any number"),
    Variable("USAGE_POSTS_PER_SECOND", "0", _rate, "changing requests of one token; 0: any number"),
    Variable("USAGE_LOG_FORMAT", "line", _one_of("line", "json"), "line or json"),
    Variable("USAGE_WEBHOOKS_PORT", "9443", _port, "port for other vendors' notifications"),
    Variable("USAGE_WEBHOOKS_HEADERS_FILE", "", _file, "lines 'NAME: VALUE'; opens that port"),
    Variable("USAGE_WEBHOOKS_TLS_CERT_FILE", "", _file, "its certificate; the others' when empty"),
    Variable("USAGE_WEBHOOKS_TLS_KEY_FILE", "", _file, "that certificate's private key, PEM"),
    Variable("USAGE_ASSEMBLYAI_KEY_FILE", "", _file, "key for AssemblyAI's API"),
    Variable("USAGE_ASSEMBLYAI_URL", "https://api.assemblyai.com", _api, "address of that API"),
)


def load(environment: Mapping[str, str], flags: Mapping[str, str | None]) -> Settings:
    """Settings from the environment and from flags by field name (None: not given).

    Raises:
        InvalidInput: names the variable or the flag, and what it may be.
    """
    values = {v.field: _value(v, environment, flags.get(v.field)) for v in VARIABLES}
    settings = Settings(**{**values, "name": values["name"] or socket.gethostname()})
    _check_pairs(settings)
    _check_ports(settings)
    if settings.webhooks_headers_file and not settings.assemblyai_key_file:
        raise InvalidInput(
            "USAGE_WEBHOOKS_HEADERS_FILE is set, and USAGE_ASSEMBLYAI_KEY_FILE is not",
            "set both: what is notified has to be asked for",
        )
    return settings


def _check_pairs(settings: Settings) -> None:
    for prefix, certificate, key in (
        ("USAGE", settings.tls_cert_file, settings.tls_key_file),
        ("USAGE_WEBHOOKS", settings.webhooks_tls_cert_file, settings.webhooks_tls_key_file),
    ):
        if (certificate is None) != (key is None):
            raise InvalidInput(
                f"only one of {prefix}_TLS_CERT_FILE and {prefix}_TLS_KEY_FILE is set",
                "set both, or neither for a self-made certificate",
            )


def _check_ports(settings: Settings) -> None:
    ports = {"EATS_PORT": settings.eats_port, "PANDAS_PORT": settings.pandas_port}
    if settings.webhooks_headers_file:
        ports["USAGE_WEBHOOKS_PORT"] = settings.webhooks_port
    for one, other in combinations(ports, 2):
        if ports[one] == ports[other] != 0:
            raise InvalidInput(f"{one} and {other} are both {ports[one]}", "use different ports")


def _value(variable: Variable, environment: Mapping[str, str], flag: str | None) -> Any:
    name = variable.name if flag is None else variable.flag
    text = environment.get(variable.name) if flag is None else flag
    try:
        # An empty variable is the same as one that is not set: manifests often leave it so.
        return variable.read((text or "").strip() or variable.default)
    except ValueError as error:
        raise InvalidInput(f"{name} is {text!r}", str(error)) from None
