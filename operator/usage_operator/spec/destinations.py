"""The places that a month is delivered to."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from usage_operator.spec import rules
from usage_operator.spec.types import BucketName, Endpoint, Name, Part, Prefix, Region, Size

Address = Annotated[
    str,
    Field(max_length=254, pattern=r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+$"),
]
SecretKey = Annotated[str, Field(max_length=253, pattern=r"^[A-Za-z0-9._-]+$")]
_CA_KEY = (
    "Key of secretName's Secret with the certificates, PEM, that the server is checked against; "
    "the system's authorities if absent."
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


class ExportBucket(Part):
    """A bucket of anything that speaks S3."""

    model_config = ConfigDict(json_schema_extra=rules.schema(rules.CA_KEY))

    bucket: BucketName = Field(description="Name of the bucket.")
    prefix: Prefix = Field(
        default="", description="Where in the bucket; each month has a folder there."
    )
    endpoint: Endpoint | None = Field(
        default=None, description="Address of the server, such as https://s3.example.org; else AWS."
    )
    region: Region | None = Field(
        default=None, description="Region of the bucket; us-east-1 if absent."
    )
    path_style: bool | None = Field(
        default=None,
        description="Name the bucket in the path, not in the host's name; true with an endpoint, "
        "false without, if absent.",
    )
    sse: Literal["AES256", "aws:kms", "aws:kms:dsse"] | None = Field(
        default=None, description="Encryption that the server is asked for."
    )
    sse_kms_key_id: Annotated[str, Field(max_length=2048, pattern=r"^\S+$")] | None = Field(
        default=None, description="Key of that encryption, where it is of AWS KMS."
    )
    secret_name: Name | None = Field(
        default=None,
        description="Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and "
        "AWS_SESSION_TOKEN where one is needed; absent: the pod's own identity "
        "(template.serviceAccountAnnotations).",
    )
    ca_key: SecretKey | None = Field(default=None, description=_CA_KEY)


class ExportMail(Part):
    """Mailboxes, by way of a mail server."""

    model_config = ConfigDict(json_schema_extra=rules.schema([*rules.CA_KEY, *rules.MAIL]))

    to: list[Address] = Field(min_length=1, max_length=20, description="Who gets the month.")
    sender: Address | None = Field(
        default=None, alias="from", description="Who sends it; usage@HOST if absent."
    )
    host: Annotated[str, Field(max_length=253, pattern=r"^[A-Za-z0-9.-]+$")] = Field(
        description="The mail server."
    )
    port: Annotated[int, Field(ge=1, le=65535)] | None = Field(
        default=None, description="Its port; 587 (starttls), 465 (implicit) or 25 (none) if absent."
    )
    tls: Literal["starttls", "implicit", "none"] = Field(
        default="starttls", description="How the connection is encrypted."
    )
    megabytes: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=25, description="Size in MB up to which files go into one message, as it is sent."
    )
    secret_name: Name | None = Field(
        default=None,
        description="Secret with USAGE_SMTP_USERNAME and USAGE_SMTP_PASSWORD; absent: no login.",
    )
    ca_key: SecretKey | None = Field(default=None, description=_CA_KEY)


class ExportSite(Part):
    """A web server that takes files."""

    model_config = ConfigDict(json_schema_extra=rules.schema(rules.CA_KEY))

    url: Annotated[str, Field(max_length=1024, pattern=r"^https://[^\s?#@]+$")] = Field(
        description="Its address, https://HOST/PATH; what is secret belongs into the header."
    )
    method: Literal["PUT", "POST"] = Field(
        default="PUT",
        description="PUT each file as URL/MONTH/NAME, or POST it to the URL as a form.",
    )
    secret_name: Name | None = Field(
        default=None,
        description="Secret with USAGE_HTTPS_HEADER, one line such as Authorization: Bearer …; "
        "absent: no such header.",
    )
    ca_key: SecretKey | None = Field(default=None, description=_CA_KEY)


class Destination(Part):
    """Where each month goes: exactly one of these."""

    model_config = ConfigDict(json_schema_extra=rules.schema(rules.EXPORT_DESTINATION))

    volume: ExportVolume | None = Field(
        default=None, description="A folder for each month on a volume."
    )
    s3: ExportBucket | None = Field(default=None, description="A bucket.")
    email: ExportMail | None = Field(default=None, description="Mailboxes.")
    https: ExportSite | None = Field(default=None, description="A web server.")

    @property
    def remote(self) -> ExportBucket | ExportMail | ExportSite | None:
        """What it is if it is no volume."""
        return self.s3 or self.email or self.https


def problems(destinations: list[Destination]) -> list[str]:
    """Name what is wrong with destinations, alone and together; the schema's rules say it too."""
    found = []
    for index, one in enumerate(destinations):
        field = f"spec.export.destinations[{index}]"
        kinds = [name for name in Destination.model_fields if getattr(one, name) is not None]
        if len(kinds) != 1:
            found.append(f"{field}: needs exactly one of volume, s3, email and https")
        if (kept := one.volume) and kept.claim_name and (kept.size or kept.storage_class_name):
            found.append(
                f"{field}.volume: claimName excludes size and storageClassName: remove either the "
                "claim's name or the other two"
            )
        if one.remote and one.remote.ca_key and not one.remote.secret_name:
            found.append(f"{field}.{kinds[0]}: caKey is a key of secretName's Secret: name it")
        if one.email and one.email.tls == "none" and one.email.secret_name:
            found.append(f"{field}.email: tls none would send the password in the clear: use TLS")
        if _identity(one) in map(_identity, destinations[:index]):
            found.append(f"{field}: is the same place as one before it: name each place once")
    return found


def _identity(one: Destination) -> tuple[object, ...]:
    """Tell what a place is told apart by; there is room for one volume only."""
    if one.s3:
        return ("s3", one.s3.bucket, one.s3.prefix.strip("/"), one.s3.endpoint)
    if one.email:
        return ("email", *one.email.to)
    return ("https", one.https.url) if one.https else ("volume",)
