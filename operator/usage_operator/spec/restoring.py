"""What a new resource begins with: another one's backups."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from usage_operator.spec import rules
from usage_operator.spec.delivery import BackupBucket, Encryption  # noqa: TC001 - pydantic reads them
from usage_operator.spec.types import Name, Part

CollectorName = Annotated[str, Field(max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]


class RestoreVolume(Part):
    """Volumes that hold backups."""

    claim_names: list[Name] = Field(
        min_length=1,
        max_length=32,
        description="Claims of this namespace with backups, such as speech-eu-1a-backup, one for "
        "each zone. They are mounted read-only.",
    )


class RestoreSource(Part):
    """The place of the other resource's backups."""

    model_config = ConfigDict(json_schema_extra=rules.schema(rules.RESTORE_SOURCE))

    volume: RestoreVolume | None = Field(default=None, description="Volumes.")
    s3: BackupBucket | None = Field(default=None, description="A bucket.")
    collectors: list[CollectorName] = Field(
        default=[],
        max_length=256,
        description="The collectors whose backups come back, such as speech-eu-1a-0; empty: all "
        "that have one there.",
    )
    encryption: Encryption | None = Field(
        default=None, description="What these backups are encrypted with; absent: nothing."
    )


class Restore(Part):
    """Ledgers that came from elsewhere."""

    source: RestoreSource = Field(
        alias="from",
        description="Backups of another resource, also of another namespace or cluster. Their "
        "ledgers come to the collectors of the same zones, closed and once, while those take "
        "events; what was delivered of them stays delivered.",
    )


def problems(wanted: Restore | None) -> list[str]:
    """Name what the schema's rules refuse too."""
    if wanted and bool(wanted.source.volume) == bool(wanted.source.s3):
        return ["spec.restore.from: needs exactly one of volume and s3"]
    return []
