"""What has to be done so that what is becomes what should be."""

from usage_operator.plan.diff import Plan, Step, Verb, diff
from usage_operator.plan.fleet import Fleet, empty, existing, muster, never_bound, place
from usage_operator.plan.leaving import doors, ingests, leavers, quiet, waits, word
from usage_operator.plan.objects import (
    Object,
    Owner,
    Ref,
    classed,
    digest,
    mark,
    owner,
    posted,
    ref,
)
from usage_operator.plan.rollout import failing, rolling

__all__ = [
    "Fleet",
    "Object",
    "Owner",
    "Plan",
    "Ref",
    "Step",
    "Verb",
    "classed",
    "diff",
    "digest",
    "doors",
    "empty",
    "existing",
    "failing",
    "ingests",
    "leavers",
    "mark",
    "muster",
    "never_bound",
    "owner",
    "place",
    "posted",
    "quiet",
    "ref",
    "rolling",
    "waits",
    "word",
]
