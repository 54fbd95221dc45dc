"""The fields of the resource about its listeners."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from usage_operator.spec import rules
from usage_operator.spec.types import Annotations, HostName, Name, Part, Port


class ClientCa(Part):
    """The authority of clients' certificates."""

    model_config = ConfigDict(json_schema_extra=rules.schema(rules.CLIENT_CA))

    secret_name: Name | None = Field(default=None, description="Secret that holds it.")
    config_map_name: Name | None = Field(default=None, description="ConfigMap that holds it.")
    key: Name = Field(default="ca.crt", description="Key with the certificates, PEM.")


class IssuerRef(Part):
    """An issuer of cert-manager."""

    name: Name = Field(description="Name of the issuer.")
    kind: Name = Field(default="Issuer", description="Issuer, ClusterIssuer, or another's kind.")
    group: Name = Field(default="cert-manager.io", description="API group of the issuer.")


class Tls(Part):
    """The certificate of both listeners."""

    model_config = ConfigDict(json_schema_extra=rules.schema(rules.TLS))

    dns_names: list[HostName] = Field(
        default=[],
        max_length=32,
        description="Further DNS names or IP addresses that the operator's own certificate is "
        "valid for, besides those of the Services and pods.",
    )
    secret_name: Name | None = Field(
        default=None,
        description="Secret of type kubernetes.io/tls to use instead of a certificate made by "
        "the operator. Its ca.crt, if any, is published in the CA ConfigMap.",
    )
    issuer_ref: IssuerRef | None = Field(
        default=None,
        description="Issuer of cert-manager that is asked for the certificate instead.",
    )
    client_ca: ClientCa | None = Field(
        default=None,
        alias="clientCA",
        description="Authority of the certificates that clients of the ingest listener must "
        "show (mTLS); absent: none are asked for.",
    )


class Service(Part):
    """The Service that transcribers post to."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = Field(
        default="ClusterIP", description="Type of the Service."
    )
    annotations: Annotations = Field(default={}, description="Annotations of the Service.")
    traffic_distribution: Literal["PreferClose", "PreferSameZone", "PreferSameNode"] | None = Field(
        default=None,
        description="Preference for near collectors; absent: connections spread over all zones.",
    )


class Proxy(Part):
    """Proxies in front of the collectors."""

    replicas: int = Field(
        default=2,
        ge=1,
        le=9,
        description="How many proxies run; best as many as there are zones with clients.",
    )


class Ingest(Part):
    """The listener that takes events."""

    port: Port = Field(default=9090, description="TCP port of the ingest listener and Service.")
    tls: Tls = Field(default=Tls(), description="Certificate of the collectors.")
    service: Service = Field(default=Service(), description="Service in front of all collectors.")
    proxy: Proxy | None = Field(
        default=None,
        description="Pass-through proxies (HAProxy) between the Service and the collectors, which "
        "lead around a node that is lost before Kubernetes notices; absent: none. Clients prefer "
        "those of their own zone. Needs Kubernetes 1.31.",
    )


class Tokens(Part):
    """Who may read and administer."""

    secret_name: Name | None = Field(
        default=None,
        description="Secret with the keys tokens (lines of ROLE TOKEN, role read or admin) and "
        "admin (one admin token, for the export); generated if absent.",
    )


class Reporting(Part):
    """The listener that exports and reports."""

    port: Port = Field(default=8000, description="TCP port of the reporting listener and Service.")
    tls: bool = Field(default=True, description="Serve HTTPS; false sends tokens in the clear.")
    tokens: Tokens = Field(default=Tokens(), description="Bearer tokens of the listener.")
