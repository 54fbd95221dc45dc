"""The fields of the resource about plans, quotas, alerts and rates of requests."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from usage_operator.spec import checks, rules
from usage_operator.spec.destinations import SecretKey  # noqa: TC001 - pydantic reads it
from usage_operator.spec.types import Name, Part

BUILT_IN = ("free", "paid", "enterprise")
"""Plans that collectors know by themselves."""
_Hours = Annotated[float, Field(ge=0, le=1e9)]
_Sessions = Annotated[int, Field(ge=0, le=10**9)]
_KEYED = {"x-kubernetes-list-type": "map"}


class Plan(Part):
    """What customers of one kind may use."""

    name: Name = Field(description="Name of the plan; free, paid and enterprise can be changed.")
    monthly_hours: _Hours | None = Field(
        default=None, description="Hours a month; absent: any number."
    )
    concurrent_sessions: _Sessions | None = Field(
        default=None, description="Real-time sessions at once; absent: any number."
    )


class Quota(Part):
    """What one customer may use."""

    customer: Name = Field(
        description="Its id in the register, or what events call it where it is not registered."
    )
    plan: Name | None = Field(default=None, description="Its plan; absent: the register's.")
    monthly_hours: _Hours | None = Field(
        default=None, description="Hours a month instead of the plan's."
    )
    concurrent_sessions: _Sessions | None = Field(
        default=None, description="Real-time sessions at once instead of the plan's."
    )


class Requests(Part):
    """How fast clients may ask."""

    gets_per_second: Annotated[float, Field(ge=0, le=1e6)] = Field(
        default=0, description="Reading requests a second of each token; 0: any number."
    )
    posts_per_second: Annotated[float, Field(ge=0, le=1e6)] = Field(
        default=0, description="Changing requests a second of each token; 0: any number."
    )


class AlertHook(Part):
    """A web server that is told."""

    model_config = ConfigDict(json_schema_extra=rules.schema([*rules.CA_KEY, *rules.ALERT_HOOK]))

    url: Annotated[
        str, Field(max_length=1024, pattern=r"^https?://[^\s?#@]+$"), checks.web_address
    ] = Field(description="Its address; what is secret belongs into the header.")
    secret_name: Name | None = Field(
        default=None,
        description="Secret with USAGE_HTTPS_HEADER, one line such as Authorization: Bearer …; "
        "absent: no such header.",
    )
    ca_key: SecretKey | None = Field(
        default=None,
        description="Key of secretName's Secret with the certificates, PEM, that the server is "
        "checked against; the system's authorities if absent.",
    )
    insecure: bool = Field(default=False, description="Allow http:// in url.")


class Alerts(Part):
    """Who is told of customers that reach their quota."""

    thresholds: Annotated[
        list[Annotated[int, Field(ge=1, le=1000)]], Field(min_length=1, max_length=16)
    ] = Field(default=[80, 100], description="At which parts of a quota, in %.")
    webhooks: list[AlertHook] = Field(
        default=[],
        max_length=8,
        description="Web servers that get a POST for each customer and threshold, once a month.",
    )


class Limits(Part):
    """Plans, quotas, alerts and rates of requests. No event is ever refused for any of them."""

    requests: Requests = Field(
        default=Requests(), description="Rates of requests to the reporting listener."
    )
    plans: Annotated[
        list[Plan],
        Field(json_schema_extra={**_KEYED, "x-kubernetes-list-map-keys": ["name"]}),
    ] = Field(default=[], max_length=64, description="Plans, beside free, paid and enterprise.")
    quotas: Annotated[
        list[Quota],
        Field(json_schema_extra={**_KEYED, "x-kubernetes-list-map-keys": ["customer"]}),
    ] = Field(
        default=[],
        max_length=1000,
        description="Quotas of customers; they go before what the register says.",
    )
    alerts: Alerts = Field(default=Alerts(), description="Who is told, and when.")


def problems(limits: Limits) -> list[str]:
    """Name what is wrong with limits; the schema's rules say some of it too."""
    found = []
    for kind, names in (
        ("plans", [plan.name for plan in limits.plans]),
        ("quotas", [quota.customer for quota in limits.quotas]),
        ("alerts.webhooks", [hook.url for hook in limits.alerts.webhooks]),
    ):
        found += [
            f"spec.limits.{kind}[{index}]: {name} stands there twice: name each once"
            for index, name in enumerate(names)
            if name in names[:index]
        ]
    known = {*BUILT_IN, *(plan.name for plan in limits.plans)}
    found += [
        f"spec.limits.quotas[{index}].plan: {quota.plan!r} is no plan: use one of "
        + ", ".join(sorted(known))
        for index, quota in enumerate(limits.quotas)
        if quota.plan and quota.plan not in known
    ]
    for index, hook in enumerate(limits.alerts.webhooks):
        field = f"spec.limits.alerts.webhooks[{index}]"
        if hook.ca_key and not hook.secret_name:
            found.append(f"{field}: caKey is a key of secretName's Secret: name it")
        if not (hook.insecure or hook.url.startswith("https://")):
            found.append(f"{field}.url: is not https: use https, or set insecure")
    return found
