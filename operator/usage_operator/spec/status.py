"""The status of the resource: what the operator found, never what it hopes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel

Time = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]


class Part(BaseModel):
    """A part of the status."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)


class Condition(Part):
    """One statement about the resource (the form of metav1.Condition)."""

    type: str = Field(description="What the statement is about.")
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds.")
    observed_generation: int = Field(description="Generation of the spec that was judged.")
    last_transition_time: Time = Field(description="When status last changed.")
    reason: str = Field(description="One word of a documented list.")
    message: str = Field(description="What is the matter, and what to do about it.")


class ZoneStorage(Part):
    """How full a zone's volumes are."""

    used: str = Field(description="Share of the fullest volume in use, rounded to 1 %.")
    capacity: str = Field(description="Capacity of that volume.")
    full_on: str | None = Field(
        default=None, description="Day on which it is full if it fills as in the past week."
    )


class LostVolume(Part):
    """A collector that lost what it held."""

    collector: str = Field(description="Name of the collector.")
    heard: Time = Field(description="Up to when the others know what it had held.")
    anew: Time = Field(description="When it began anew, on an empty volume.")


class ZoneStatus(Part):
    """One row for each zone."""

    name: str = Field(description="Name of the zone.")
    replicas: int = Field(description="Collectors that should run.")
    ready: int = Field(description="Collectors that are ready.")
    leaving: bool | None = Field(
        default=None,
        description="True while the zone, or a replica of it, has left the spec but still runs.",
    )
    waits_for: str | None = Field(
        default=None, description="What collectors that leave wait for before they are removed."
    )
    version: str | None = Field(default=None, description="Version that the collectors report.")
    storage: ZoneStorage | None = Field(default=None, description="How full the volumes are.")
    damaged: int | None = Field(
        default=None, description="Ledgers that were set aside as damaged and not restored yet."
    )
    lost: list[LostVolume] | None = Field(
        default=None,
        description="Collectors that lost what they held, and it was neither restored nor told in "
        "a delivered month yet.",
    )


class Summary(Part):
    """Ready of wanted, for the columns of kubectl get."""

    zones: str = Field(description="Zones with all collectors ready, of all zones.")
    replicas: str = Field(description="Collectors that are ready, of all collectors.")


class Endpoints(Part):
    """Where to reach the collectors within the cluster."""

    ingest: str = Field(description="Host and port that transcribers post to.")
    reporting: str = Field(description="Host and port of the reporting listeners.")
    webhooks: str | None = Field(
        default=None, description="Host and port that other vendors notify, where they may."
    )


class CaBundle(Part):
    """What clients should trust."""

    config_map: str = Field(description="ConfigMap whose key ca.crt holds the certificates.")


class LastExport(Part):
    """What the newest finished export said of itself."""

    period: str | None = Field(default=None, description="Month that was exported, YYYY-MM.")
    time: Time | None = Field(default=None, description="When the export ended.")
    result: str | None = Field(
        default=None, description="exported, incomplete, nothing-due or failed."
    )
    files: int | None = Field(default=None, description="Packages delivered.")
    events: int | None = Field(default=None, description="Events in these packages.")
    hours: float | None = Field(
        default=None, description="Hours of speech recognition that the month comes to."
    )
    gaps: list[str] = Field(default=[], description="What is missing, and why.")
    delivered: list[str] = Field(default=[], description="Where the packages are.")
    failed: list[str] = Field(
        default=[], description="Destinations that do not have them, with their own words."
    )


class ZoneBackup(Part):
    """The newest backup of one zone."""

    zone: str = Field(description="Name of the zone.")
    result: str = Field(description="How the newest run ended: backed-up or failed.")
    time: Time | None = Field(default=None, description="When the last good backup was taken.")
    events: int | None = Field(default=None, description="Events in it.")
    bytes: int | None = Field(default=None, description="Bytes that it takes.")
    location: str | None = Field(default=None, description="Where it lies.")
    verified: Time | None = Field(
        default=None, description="When it was last restored into scratch space and compared."
    )
    verified_ok: bool | None = Field(default=None, description="What came of that.")
    job: str | None = Field(default=None, description="Job of the newest run.")
    error: str | None = Field(default=None, description="Why the newest run failed, or its proof.")
    restored: list[str] = Field(default=[], description="What the newest run brought back.")


class Restoration(Part):
    """A restore that the operator runs or ran, for as long as it is asked for."""

    job: str = Field(description="Its job.")
    request: str = Field(
        description="What asked for it: spec.restore.from, an annotation with its value, or "
        "spec.backup.autoRestore with the zone."
    )
    state: Literal["Running", "Restored", "NothingToRestore", "Planned", "Failed"] = Field(
        description="How far it is; Planned: the dry run is done."
    )
    started: Time | None = Field(default=None, description="When it was started.")
    taken: Time | None = Field(default=None, description="When the oldest backup was taken.")
    events: int | None = Field(default=None, description="Events of the ledgers that come back.")
    came_back: list[str] = Field(
        default=[], description="Which positions of which ledger came, or would come, to whom."
    )
    lost: list[str] = Field(default=[], description="Which are known to be lost.")
    message: str | None = Field(default=None, description="What is in its way.")


class LastBackup(Part):
    """The backups of all zones together, as old as the oldest."""

    time: Time = Field(description="When the oldest of the zones' backups was taken.")
    events: int = Field(description="Events in all of them.")
    bytes: int = Field(description="Bytes that they take.")
    location: str | None = Field(default=None, description="Where they lie.")
    verified: Time | None = Field(
        default=None, description="Since when all of them have been restored and compared."
    )


class NextExport(Part):
    """The export that comes next."""

    period: str = Field(description="Month that it is for, YYYY-MM.")
    time: Time = Field(description="When it is due.")
    overdue: bool | None = Field(
        default=None, description="True when it has been due for more than a day."
    )


class Status(Part):
    """What the operator found."""

    observed_generation: int | None = Field(
        default=None, description="Generation of the spec that this status is about."
    )
    conditions: Annotated[
        list[Condition],
        Field(
            json_schema_extra={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["type"],
            }
        ),
    ] = Field(
        default=[],
        description="What can be said in one word each; Ready comes first.",
    )
    summary: Summary | None = Field(default=None, description="Counts for kubectl get.")
    zones: Annotated[
        list[ZoneStatus],
        Field(
            json_schema_extra={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
            }
        ),
    ] = Field(default=[], description="One row for each zone, leaving ones too.")
    endpoints: Endpoints | None = Field(default=None, description="Addresses in the cluster.")
    ca_bundle: CaBundle | None = Field(default=None, description="What clients should trust.")
    last_backup: LastBackup | None = Field(default=None, description="The newest backups.")
    backups: Annotated[
        list[ZoneBackup],
        Field(
            json_schema_extra={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["zone"],
            }
        ),
    ] = Field(default=[], description="The newest backup of each zone.")
    restores: Annotated[
        list[Restoration],
        Field(
            json_schema_extra={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["job"],
            }
        ),
    ] = Field(default=[], description="The restores that are asked for.")
    last_export: LastExport | None = Field(default=None, description="The newest export.")
    next_export: NextExport | None = Field(default=None, description="The export to come.")

    def document(self) -> dict[str, object]:
        """Give the status as the API takes it."""
        return self.model_dump(by_alias=True, exclude_none=True)
