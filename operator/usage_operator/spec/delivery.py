"""The fields of the resource about exports and backups."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from usage_operator.spec import rules
from usage_operator.spec.destinations import Destination, ExportVolume
from usage_operator.spec.types import (
    BucketName,
    Country,
    Day,
    Endpoint,
    ExportDay,
    Name,
    Part,
    Prefix,
    Region,
    Schedule,
    Size,
    TimeOfDay,
    TimeZone,
)


class Holidays(Part):
    """Days that are no working days."""

    country: Country | None = Field(
        default=None,
        description="Country whose weekends and public holidays count, ISO 3166-1 alpha-2 (DE); "
        "absent: Saturdays and Sundays only.",
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


class Export(Part):
    """The monthly export."""

    model_config = ConfigDict(json_schema_extra=rules.schema(rules.EXPORT))

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
        max_length=8,
        description="Where each month is delivered. Each place has receipts of its own: one that "
        "fails holds back no other.",
    )

    @property
    def volume(self) -> ExportVolume | None:
        """The volume among the destinations, if there is one."""
        return next((one.volume for one in self.destinations if one.volume), None)


class BackupVolume(Part):
    """Volumes that keep backups, one for each zone."""

    size: Size = Field(default="5Gi", description="Size of each zone's volume of backups.")
    storage_class_name: Name | None = Field(
        default=None, description="Storage class of these volumes; the cluster's default if absent."
    )


class BackupBucket(Part):
    """A bucket of anything that speaks S3, for all zones."""

    bucket: BucketName = Field(description="Name of the bucket.")
    prefix: Prefix = Field(
        default="", description="Where in the bucket; each collector has a folder of its own there."
    )
    endpoint: Endpoint | None = Field(
        default=None, description="Address of the server, such as https://s3.example.org; else AWS."
    )
    region: Region | None = Field(
        default=None, description="Region of the bucket; us-east-1 if absent."
    )
    secret_name: Name | None = Field(
        default=None,
        description="Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; absent: the pod's "
        "own identity (template.serviceAccountAnnotations).",
    )


class BackupDestination(Part):
    """Where backups lie."""

    model_config = ConfigDict(json_schema_extra=rules.schema(rules.BACKUP_DESTINATION))

    volume: BackupVolume | None = Field(
        default=None,
        description="A volume for each zone, made on a node of another zone where there is one; "
        "of 5Gi if nothing else is said.",
    )
    s3: BackupBucket | None = Field(default=None, description="A bucket, for all zones.")


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


class Continuous(Part):
    """Following the collectors between one backup and the next."""

    every_seconds: int = Field(
        default=5, ge=1, le=3600, description="How often each collector is asked what is new."
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
    continuous: Continuous | None = Field(
        default=None,
        description="Follow the collectors between backups as well, so that a lost volume costs "
        "seconds: one small pod for each zone. Absent: backups are taken by the schedule only.",
    )
    verify: BackupVerify = Field(default=BackupVerify(), description="How backups are proven.")
    encryption: Encryption | None = Field(
        default=None, description="Encrypt the backups; absent: they are not encrypted."
    )
    auto_restore: bool = Field(
        default=False,
        description="Bring back ledgers that a collector lost with its volume, or that are damaged "
        "there: as soon as the operator finds it, and with each backup.",
    )
    keep_days: int = Field(
        default=396,
        ge=1,
        le=36500,
        description="Days that a backup of events is kept once they were sent; others stay.",
    )
