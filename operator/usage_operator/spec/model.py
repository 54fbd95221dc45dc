"""The fields of the resource, with their defaults and what each means.

The schema of the CustomResourceDefinition is generated from these models, descriptions included.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from usage_operator.spec import checks, rules
from usage_operator.spec.delivery import Backup, Export
from usage_operator.spec.limits import Limits
from usage_operator.spec.listeners import Ingest, Reporting
from usage_operator.spec.pods import Template
from usage_operator.spec.restoring import Restore  # noqa: TC001 - pydantic reads it
from usage_operator.spec.types import Labels, Name, Part, Peers, Size, TimeOfDay, TimeZone, ZoneName
from usage_operator.spec.webhooks import Webhooks


class Zone(Part):
    """One zone: one StatefulSet, with a volume for each replica."""

    name: ZoneName = Field(
        description="Name of the zone; its pods run on nodes labelled "
        "topology.kubernetes.io/zone=<name> unless nodeSelector says otherwise."
    )
    replicas: int = Field(
        default=1, ge=1, le=32, description="Collectors in this zone, each with its own volume."
    )
    storage_class_name: Name | None = Field(
        default=None, description="Storage class of this zone's volumes instead of storage's."
    )
    node_selector: Labels | None = Field(
        default=None, description="Labels of the nodes to run on instead of the zone's own label."
    )
    size: Size | None = Field(
        default=None, description="Size of each volume of this zone instead of storage.size."
    )


class Storage(Part):
    """The volumes of the collectors."""

    size: Size = Field(
        default="1Gi", description="Size of each collector's volume. It can grow, never shrink."
    )
    storage_class_name: Name | None = Field(
        default=None, description="Storage class of the volumes; the cluster's default if absent."
    )
    when_deleted: Literal["Retain", "Delete"] = Field(
        default="Retain",
        description="What becomes of the volumes when the resource is deleted: Retain keeps them, "
        "Delete removes them with it.",
    )


class Retention(Part):
    """How long events are kept."""

    days: int = Field(default=90, ge=1, le=3650, description="Days that an event is kept.")
    hold_unexported: bool = Field(
        default=True, description="Keep older events that have not been exported and receipted."
    )


class Signing(Part):
    """The keys that sign packages."""

    secret_name: Name | None = Field(
        default=None,
        description="Secret with the keys hs512.key (at least 32 bytes) and proof.pem (Ed25519, "
        "PKCS 8); generated once and kept for ever if absent.",
    )


class MaintenanceWindow(Part):
    """When changes may restart collectors that serve."""

    days: list[
        Literal["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
    ] = Field(
        default=["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"],
        min_length=1,
        max_length=7,
        description="Days of the week on which the window opens.",
    )
    at: TimeOfDay = Field(description="Time of day at which it opens, HH:MM, in timeZone.")
    hours: int = Field(default=4, ge=1, le=24, description="How long it is open.")
    time_zone: TimeZone = Field(
        default="Etc/UTC", description="IANA name of the time zone of days and at."
    )


class NetworkPolicy(Part):
    """Who may connect to the collectors."""

    enabled: bool = Field(default=True, description="Make NetworkPolicies.")
    sources: Peers = Field(
        default=[],
        alias="from",
        description="Peers, as in a NetworkPolicy's from, that may post and read; empty: all. "
        "The operator and the resource's own jobs always may.",
    )


class Monitoring(Part):
    """Objects for the Prometheus operator, made once the cluster knows their kinds."""

    pod_monitor: bool = Field(default=False, description="Make a PodMonitor of the collectors.")
    rules: bool = Field(default=False, description="Make a PrometheusRule with alerts.")
    labels: Labels = Field(
        default={}, description="Labels of both, by which a Prometheus chooses them."
    )


class Spec(Part):
    """What is wanted."""

    model_config = ConfigDict(json_schema_extra=rules.schema(rules.SPEC))

    image: Annotated[str, Field(min_length=1, max_length=512)] | None = Field(
        default=None, description="Image of the collectors; the operator's default if absent."
    )
    zones: Annotated[
        list[Zone],
        checks.unique_zones,
        Field(
            json_schema_extra={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
                **rules.schema(rules.ZONES),
            }
        ),
    ] = Field(max_length=32, description="Zones that collectors run in.")
    storage: Storage = Field(default=Storage(), description="Volumes of the collectors.")
    ingest: Ingest = Field(default=Ingest(), description="Listener that takes events.")
    reporting: Reporting = Field(default=Reporting(), description="Listener that reports.")
    retention: Retention = Field(default=Retention(), description="How long events are kept.")
    signing: Signing = Field(default=Signing(), description="Keys that sign packages.")
    export: Export = Field(default=Export(), description="The monthly export.")
    backup: Backup | None = Field(
        default=None, description="Backups of the collectors' volumes; absent: none are taken."
    )
    restore: Restore | None = Field(
        default=None, description="What the collectors begin with; absent: nothing."
    )
    limits: Limits = Field(
        default=Limits(), description="Plans, quotas, alerts and rates of requests."
    )
    webhooks: Webhooks = Field(
        default=Webhooks(), description="Listener for notifications of other vendors."
    )
    network_policy: NetworkPolicy = Field(
        default=NetworkPolicy(), description="Who may connect to the collectors."
    )
    monitoring: Monitoring = Field(
        default=Monitoring(), description="Objects for the Prometheus operator."
    )
    min_ready_seconds: int = Field(
        default=10,
        ge=0,
        le=3600,
        description="How long a zone must be ready with a change before the next zone gets it.",
    )
    maintenance_window: MaintenanceWindow | None = Field(
        default=None,
        description="When changes may restart collectors that serve; absent: at any time.",
    )
    paused: bool = Field(
        default=False, description="Leave everything as it is; status is still kept."
    )
    template: Template = Field(default=Template(), description="Common traits of the pods.")

    def volume_size(self, zone: Zone) -> str:
        """Give the size of each of a zone's volumes."""
        return zone.size or self.storage.size

    def storage_class(self, zone: Zone) -> str | None:
        """Give the storage class of a zone's volumes; None: the cluster's default."""
        return zone.storage_class_name or self.storage.storage_class_name
