"""The fields of the resource that pods have in common."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, WithJsonSchema

from usage_operator.spec import rules
from usage_operator.spec.types import Amount, Annotations, Labels, Name, Part


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
