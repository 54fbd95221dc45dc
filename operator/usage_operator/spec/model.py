"""The fields of the resource, with their defaults and what each means.

The schema of the CustomResourceDefinition is generated from these models, descriptions included.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel

from usage_operator.spec import checks, rules


class Part(BaseModel):
    """A part of the resource: unknown fields are errors, values are frozen."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True)


Name = Annotated[str, Field(min_length=1, max_length=253)]
Labels = Annotated[dict[str, Annotated[str, Field(max_length=63)]], Field(max_length=32)]
Annotations = Annotated[dict[str, Annotated[str, Field(max_length=4096)]], Field(max_length=64)]
Size = Annotated[
    str,
    checks.quantity,
    WithJsonSchema({"type": "string", "maxLength": 32, "x-kubernetes-validations": rules.SIZE}),
]
Amount = Annotated[
    str | int,
    checks.amount,
    WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "maxLength": 32,
            "x-kubernetes-validations": rules.AMOUNT,
        }
    ),
]
TimeOfDay = Annotated[
    str,
    checks.time_of_day,
    WithJsonSchema({"type": "string", "maxLength": 5, "x-kubernetes-validations": rules.TIME}),
]
TimeZone = Annotated[
    str,
    checks.time_zone,
    WithJsonSchema({"type": "string", "maxLength": 64, "x-kubernetes-validations": rules.ZONE}),
]
Country = Annotated[
    str,
    checks.country,
    WithJsonSchema({"type": "string", "maxLength": 2, "x-kubernetes-validations": rules.COUNTRY}),
]
Day = Annotated[
    str,
    checks.date,
    WithJsonSchema({"type": "string", "maxLength": 10, "x-kubernetes-validations": rules.DATE}),
]
ExportDay = Annotated[
    int | str,
    checks.export_day,
    WithJsonSchema({"x-kubernetes-int-or-string": True, "x-kubernetes-validations": rules.DAY}),
]
ZoneName = Annotated[
    str,
    checks.zone_name,
    WithJsonSchema(
        {"type": "string", "maxLength": 40, "x-kubernetes-validations": rules.ZONE_NAME}
    ),
]
Schedule = Annotated[
    str,
    Field(max_length=100, pattern=r"^(@(hourly|daily|weekly|monthly|yearly)|\S+( +\S+){4})$"),
]
Port = Annotated[int, Field(ge=1024, le=65535)]


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

    dns_names: list[Name] = Field(
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

    replicas: int = Field(default=2, ge=1, le=9, description="How many proxies run.")


class Ingest(Part):
    """The listener that takes events."""

    port: Port = Field(default=9090, description="TCP port of the ingest listener and Service.")
    tls: Tls = Field(default=Tls(), description="Certificate of the collectors.")
    service: Service = Field(default=Service(), description="Service in front of all collectors.")
    proxy: Proxy | None = Field(
        default=None,
        description="Pass-through proxies (HAProxy) between the Service and the collectors, which "
        "lead around a node that is lost before Kubernetes notices; absent: none.",
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


class Holidays(Part):
    """Days that are no working days, besides Saturdays and Sundays."""

    country: Country | None = Field(
        default=None, description="Country whose public holidays count, ISO 3166-1 alpha-2 (DE)."
    )
    dates: list[Day] = Field(
        default=[], max_length=366, description="Further holidays, as YYYY-MM-DD."
    )


class Limits(Part):
    """What one file of an export may hold."""

    megabytes: int = Field(
        default=18, ge=1, le=10000, description="Size of a file in MB (10^6 bytes), compressed."
    )
    batch_jobs: int = Field(
        default=10000, ge=1, le=10_000_000, description="Batch jobs in one file."
    )
    realtime_hours: int = Field(
        default=1250, ge=1, le=10_000_000, description="Hours of real-time sessions in one file."
    )


class ExportVolume(Part):
    """A volume that keeps the exported months."""

    model_config = ConfigDict(json_schema_extra=rules.schema(rules.EXPORT_VOLUME))

    size: Size | None = Field(
        default=None, description="Size of a volume made for the exports; 5Gi if absent."
    )
    storage_class_name: Name | None = Field(
        default=None, description="Storage class of that volume; the cluster's default if absent."
    )
    claim_name: Name | None = Field(
        default=None, description="Existing claim to write to instead of a volume of its own."
    )


class Destination(Part):
    """Where a month's packages go."""

    volume: ExportVolume = Field(description="A folder for each month on a volume.")


class Export(Part):
    """The monthly export."""

    day: ExportDay = Field(
        default="LastWorkingDay",
        description="LastWorkingDay of the month itself, or 1 to 28 of the following month.",
    )
    at: TimeOfDay = Field(default="06:00", description="Time of day, HH:MM, in timeZone.")
    time_zone: TimeZone = Field(
        default="Etc/UTC", description="IANA name of the time zone of day, at and holidays."
    )
    holidays: Holidays = Field(
        default=Holidays(), description="Days on which LastWorkingDay does not fall."
    )
    limits: Limits = Field(default=Limits(), description="What one file may hold.")
    destinations: list[Destination] = Field(
        default=[Destination(volume=ExportVolume())],
        min_length=1,
        max_length=1,
        description="Where the packages are delivered.",
    )


class BackupVolume(Part):
    """Volumes that keep backups, one for each zone."""

    size: Size = Field(default="5Gi", description="Size of each zone's volume of backups.")
    storage_class_name: Name | None = Field(
        default=None, description="Storage class of these volumes; the cluster's default if absent."
    )


class BackupDestination(Part):
    """Where backups lie."""

    volume: BackupVolume = Field(
        default=BackupVolume(),
        description="A volume for each zone, made on a node of another zone where there is one.",
    )


class BackupVerify(Part):
    """How backups are proven."""

    every_days: int = Field(
        default=7,
        ge=0,
        le=366,
        description="Days after which a backup is restored into scratch space again and compared "
        "with its original; 0: never.",
    )


class Encryption(Part):
    """The key that encrypts backups."""

    secret_name: Name = Field(
        description="Secret with the key backup.key, at least 32 bytes. Keep a copy elsewhere: "
        "without it no backup can be read."
    )


class Backup(Part):
    """Copies of all that the collectors hold."""

    schedule: Schedule = Field(
        default="17 2 * * *", description="When backups are taken, as in a CronJob."
    )
    time_zone: TimeZone = Field(
        default="Etc/UTC", description="IANA name of the time zone of the schedule."
    )
    destination: BackupDestination = Field(
        default=BackupDestination(), description="Where the backups lie."
    )
    verify: BackupVerify = Field(default=BackupVerify(), description="How backups are proven.")
    encryption: Encryption | None = Field(
        default=None, description="Encrypt the backups; absent: they are not encrypted."
    )
    auto_restore: bool = Field(
        default=False,
        description="Bring back, with each backup, ledgers that a collector lost with its volume, "
        "or that are damaged there.",
    )
    keep_days: int = Field(
        default=396,
        ge=1,
        le=36500,
        description="Days that a backup of events is kept once they were sent; others stay.",
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
    sources: Annotated[
        list[dict[str, Any]],
        WithJsonSchema(
            {
                "type": "array",
                "maxItems": 64,
                "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            }
        ),
    ] = Field(
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


class Resources(Part):
    """What a pod asks for and may use."""

    requests: dict[str, Amount] = Field(
        default={}, max_length=16, description="What a pod is sure to get (cpu, memory)."
    )
    limits: dict[str, Amount] = Field(
        default={}, max_length=16, description="What a pod may use at most (cpu, memory)."
    )


class Toleration(Part):
    """A taint that the pods tolerate."""

    key: Name | None = Field(default=None, description="Key of the taint; absent: any.")
    operator: Literal["Exists", "Equal"] = Field(
        default="Equal", description="How key and value are compared."
    )
    value: Annotated[str, Field(max_length=63)] | None = Field(
        default=None, description="Value of the taint, for Equal."
    )
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        default=None, description="Effect of the taint; absent: any."
    )
    toleration_seconds: int | None = Field(
        default=None, ge=0, description="How long NoExecute is tolerated; absent: for ever."
    )


class SecurityContext(Part):
    """Ids that a platform prescribes; the rest is fixed at the restricted level."""

    run_as_user: int | None = Field(default=None, ge=1, description="User id instead of 65532.")
    run_as_group: int | None = Field(default=None, ge=1, description="Group id instead of 65532.")
    fs_group: int | None = Field(
        default=None, ge=1, description="Group id of the volume's files instead of 65532."
    )


class PullSecret(Part):
    """A Secret with a registry's credentials."""

    name: Name = Field(description="Name of the Secret.")


class Template(Part):
    """What the pods of collectors and exports have in common."""

    model_config = ConfigDict(json_schema_extra=rules.schema(rules.TEMPLATE))

    resources: Resources = Field(
        default=Resources(),
        description="Requests and limits; without any: 100m CPU and 128Mi, 512Mi at most.",
    )
    tolerations: list[Toleration] = Field(
        default=[], max_length=32, description="Taints of nodes that the pods tolerate."
    )
    affinity: Annotated[
        dict[str, Any],
        WithJsonSchema({"type": "object", "x-kubernetes-preserve-unknown-fields": True}),
    ] = Field(default={}, description="Affinity of the pods, as in a pod's spec.affinity.")
    priority_class_name: Name | None = Field(default=None, description="Priority of the pods.")
    annotations: Annotations = Field(default={}, description="Annotations of the pods.")
    labels: Labels = Field(default={}, description="Further labels of the pods.")
    image_pull_secrets: list[PullSecret] = Field(
        default=[], max_length=16, description="Secrets with which images are pulled."
    )
    service_account_annotations: Annotations = Field(
        default={}, description="Annotations of the ServiceAccounts of collectors and exports."
    )
    security_context: SecurityContext = Field(
        default=SecurityContext(), description="User and group of the pods."
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
