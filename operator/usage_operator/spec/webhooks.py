"""The fields of the resource about notifications of other vendors."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from usage_operator.spec import checks, rules
from usage_operator.spec.listeners import IssuerRef  # noqa: TC001 - pydantic reads it
from usage_operator.spec.types import Annotations, HostName, Name, Part, Peers, Port


class AssemblyAi(Part):
    """AssemblyAI's notifications, and its API."""

    secret_name: Name = Field(
        description="Secret with headers (lines of NAME: VALUE, of at least 16 characters, one of "
        "which a notification must carry) and api-key."
    )
    url: Annotated[
        str, Field(max_length=1024, pattern=r"^https://[^\s?#@]+$"), checks.web_address
    ] = Field(
        default="https://api.assemblyai.com",
        description="Address of the API, such as https://api.eu.assemblyai.com.",
    )


class WebhooksTls(Part):
    """The certificate of the webhooks listener."""

    model_config = ConfigDict(json_schema_extra=rules.schema(rules.TLS))

    dns_names: list[HostName] = Field(
        default=[],
        max_length=32,
        description="Further DNS names or IP addresses of the certificate, such as the public one.",
    )
    secret_name: Name | None = Field(
        default=None,
        description="Secret of type kubernetes.io/tls to use instead of a certificate made by the "
        "operator, whose authority no vendor knows.",
    )
    issuer_ref: IssuerRef | None = Field(
        default=None,
        description="Issuer of cert-manager that is asked for the certificate, for dnsNames.",
    )


class WebhooksService(Part):
    """The Service that vendors call."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = Field(
        default="ClusterIP", description="Type of the Service."
    )
    annotations: Annotations = Field(default={}, description="Annotations of the Service.")


class Webhooks(Part):
    """A listener of its own for notifications of other vendors."""

    port: Port = Field(default=9443, description="TCP port of the listener and its Service.")
    assemblyai: AssemblyAi | None = Field(
        default=None, description="Take AssemblyAI's notifications; absent: nothing listens."
    )
    tls: WebhooksTls = Field(default=WebhooksTls(), description="Certificate of the listener.")
    service: WebhooksService = Field(
        default=WebhooksService(), description="Service in front of the listeners."
    )
    sources: Peers = Field(
        default=[],
        alias="from",
        description="Peers, as in a NetworkPolicy's from, that may notify; empty: all.",
    )


def problems(webhooks: Webhooks, ports: tuple[int, ...]) -> list[str]:
    """Name what cannot be had together; ``ports`` are those of the other listeners."""
    found, tls = [], webhooks.tls
    if tls.secret_name and (tls.dns_names or tls.issuer_ref):
        found.append("spec.webhooks.tls: secretName excludes dnsNames and issuerRef: remove either")
    if tls.issuer_ref and not tls.dns_names:
        found.append("spec.webhooks.tls.dnsNames: is empty: name what issuerRef is asked for")
    if webhooks.assemblyai and webhooks.port in ports:
        found.append("spec.webhooks.port: is another listener's too: choose another port")
    return found
