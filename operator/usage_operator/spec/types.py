"""What the fields of the resource are made of."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel

from usage_operator.spec import checks, rules


class Part(BaseModel):
    """A part of the resource: unknown fields are errors, values are frozen."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True)


def _text(longest: int, validations: list[dict[str, str]]) -> WithJsonSchema:
    """A text in the schema, of at most that many characters, with the rules that it is under."""
    schema = {"type": "string", "maxLength": longest, "x-kubernetes-validations": validations}
    return WithJsonSchema(schema)


Name = Annotated[str, Field(min_length=1, max_length=253)]
HostName = Annotated[
    str,
    checks.host_name,
    _text(253, rules.HOST_NAME),
]
Labels = Annotated[dict[str, Annotated[str, Field(max_length=63)]], Field(max_length=32)]
Annotations = Annotated[dict[str, Annotated[str, Field(max_length=4096)]], Field(max_length=64)]
Peers = Annotated[
    list[dict[str, Any]],
    WithJsonSchema(
        {
            "type": "array",
            "maxItems": 64,
            "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        }
    ),
]
"""As in a NetworkPolicy's ``from``."""
Size = Annotated[
    str,
    checks.quantity,
    _text(32, rules.SIZE),
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
    _text(5, rules.TIME),
]
TimeZone = Annotated[
    str,
    checks.time_zone,
    _text(64, rules.ZONE),
]
Country = Annotated[
    str,
    checks.country,
    _text(2, rules.COUNTRY),
]
Day = Annotated[
    str,
    checks.date,
    _text(10, rules.DATE),
]
ExportDay = Annotated[
    int | str,
    checks.export_day,
    WithJsonSchema({"x-kubernetes-int-or-string": True, "x-kubernetes-validations": rules.DAY}),
]
ZoneName = Annotated[
    str,
    checks.zone_name,
    _text(40, rules.ZONE_NAME),
]
Schedule = Annotated[
    str,
    Field(max_length=100),
    checks.schedule,
    _text(100, rules.SCHEDULE),
]
BucketName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
Prefix = Annotated[str, Field(max_length=512, pattern=r"^[A-Za-z0-9._/-]*$")]
Endpoint = Annotated[str, Field(max_length=512, pattern=r"^https?://[^\s?#]+$")]
Region = Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z0-9-]+$")]
Port = Annotated[int, Field(ge=1024, le=65535)]
