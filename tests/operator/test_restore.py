"""Restores that the operator runs: what is asked for, the jobs, and what is said of them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.operator.support import context
from usage_operator import errors

BUCKET = {"bucket": "usage", "prefix": "eu", "secretName": "s3-key"}


def source(**fields: Any) -> dict[str, Any]:
    """A spec.restore."""
    return {"from": fields}


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        (source(), r"spec\.restore\.from: needs exactly one of volume and s3"),
        (source(s3=BUCKET, volume={"claimNames": ["a"]}), "exactly one of volume and s3"),
        (source(volume={"claimNames": []}), r"spec\.restore\.from\.volume\.claimNames"),
        (source(s3=BUCKET, collectors=["No Such"]), r"spec\.restore\.from\.collectors\[0\]"),
        ({}, r"spec\.restore\.from"),
    ],
)
def test_bad_sources_are_named(fields: dict[str, Any], named: str) -> None:
    """What cannot work is refused with the field."""
    with pytest.raises(errors.InvalidSpec, match=named):
        context(restore=fields)
