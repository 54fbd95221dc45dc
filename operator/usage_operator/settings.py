"""The operator's own settings: the environment, overridden by flags, read once."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from usage_operator import errors

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "USAGE_OPERATOR_"
VERSION = importlib.metadata.version("usage-operator")


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator of the system can set; times are in seconds."""

    namespaces: tuple[str, ...] = ()
    """Namespaces to serve; empty: the operator's own; ("*",): all."""
    collector_image: str = f"usage-collector:{VERSION}"
    host: str | None = None
    port: int = 8080
    resync_seconds: float = 600.0
    cluster_domain: str = "cluster.local"
    log_format: str = "line"
    log_level: str = "INFO"
    ca_days: float = 3650.0
    certificate_days: float = 90.0
    """How long the authorities and certificates live that the operator makes."""
    proxy_image: str = "haproxy:3.2"
    """HAProxy 2.6 or newer, for resources that want proxies."""
    runbooks: str = "docs/operations.md"
    """Where alerts say that their runbooks are, less the heading."""
    kubeconfig: str | None = None
    context: str | None = None
    own_namespace: str | None = None
    leader_election: bool = True
    """Whether to work only while holding the Lease, for there may be other operators."""
    lease: str = "usage-operator"
    """The Lease's name: operators that do not serve the same namespaces must not share one."""
    probe: bool = True
    """Ask the collectors over the network; only possible inside the cluster."""

    def served(self, fallback: str) -> tuple[str, ...]:
        """Give the namespaces that are served; without any named, the operator's own."""
        return self.namespaces or (self.own_namespace or fallback,)

    @property
    def all_namespaces(self) -> bool:
        """Whether resources of every namespace are served."""
        return "*" in self.namespaces


def _number(name: str, text: str, least: float, most: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not least <= value <= most:
        raise errors.InvalidSettings(
            f"{name} is {text!r}", f"give a number from {least:g} to {most:g}"
        )
    return value


def _choice(name: str, text: str, choices: tuple[str, ...]) -> str:
    if text not in choices:
        raise errors.InvalidSettings(f"{name} is {text!r}", f"give one of {', '.join(choices)}")
    return text


def read(environment: Mapping[str, str]) -> Settings:
    """Read the settings; InvalidSettings names the variable and what it may hold."""
    default = Settings()

    def value(name: str, fallback: str) -> str:
        return environment.get(PREFIX + name, "").strip() or fallback

    names = (part.strip() for part in value("NAMESPACES", "").split(","))
    return Settings(
        namespaces=tuple(name for name in names if name),
        collector_image=value("COLLECTOR_IMAGE", default.collector_image),
        host=value("HOST", "") or None,
        # Not USAGE_OPERATOR_PORT: Kubernetes sets that one itself beside a Service of our name.
        port=int(_number(PREFIX + "HTTP_PORT", value("HTTP_PORT", str(default.port)), 0, 65535)),
        resync_seconds=_number(
            PREFIX + "RESYNC_SECONDS",
            value("RESYNC_SECONDS", str(default.resync_seconds)),
            1,
            86400,
        ),
        cluster_domain=value("CLUSTER_DOMAIN", default.cluster_domain),
        log_format=_choice(
            PREFIX + "LOG_FORMAT", value("LOG_FORMAT", default.log_format), ("line", "json")
        ),
        log_level=_choice(
            PREFIX + "LOG_LEVEL",
            value("LOG_LEVEL", default.log_level).upper(),
            ("DEBUG", "INFO", "WARNING", "ERROR"),
        ),
        ca_days=_number(PREFIX + "CA_DAYS", value("CA_DAYS", str(default.ca_days)), 0.001, 36500),
        certificate_days=_number(
            PREFIX + "CERTIFICATE_DAYS",
            value("CERTIFICATE_DAYS", str(default.certificate_days)),
            0.0005,
            3650,
        ),
        proxy_image=value("PROXY_IMAGE", default.proxy_image),
        runbooks=value("RUNBOOKS", default.runbooks),
        kubeconfig=value("KUBECONFIG", "") or environment.get("KUBECONFIG") or None,
        context=value("CONTEXT", "") or None,
        own_namespace=environment.get("POD_NAMESPACE") or None,
        leader_election=_choice(
            PREFIX + "LEADER_ELECTION", value("LEADER_ELECTION", "on"), ("on", "off")
        )
        == "on",
        lease=value("LEASE", default.lease),
        probe=_choice(PREFIX + "PROBE", value("PROBE", "on"), ("on", "off")) == "on",
    )
