"""What the fields of the resource are made of."""

from __future__ import annotations

from typing import Annotated

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
BucketName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
Prefix = Annotated[str, Field(max_length=512, pattern=r"^[A-Za-z0-9._/-]*$")]
Endpoint = Annotated[str, Field(max_length=512, pattern=r"^https?://[^\s?#]+$")]
Region = Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z0-9-]+$")]
Port = Annotated[int, Field(ge=1024, le=65535)]
