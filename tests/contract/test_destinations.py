"""The destinations that the operator writes are those that the collector's command reads."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from tests.operator.support import context
from usage_collector import targets
from usage_operator import naming
from usage_operator.manifests import export

if TYPE_CHECKING:
    from pathlib import Path

S3 = {
    "bucket": "usage",
    "prefix": "eu/",
    "endpoint": "https://s3.example.org:9000",
    "region": "eu-1",
    "pathStyle": True,
    "sse": "aws:kms",
    "sseKmsKeyId": "arn:aws:kms:eu-1:1:key/2",
    "secretName": "bucket-key",
}
MAIL = {
    "to": ["a+b@example.org", "50%@example.org"],
    "from": "usage+eu@example.org",
    "host": "smtp.example.org",
    "port": 2525,
    "secretName": "login",
}
SITE = {"url": "https://vendor.example.org/usage", "method": "POST", "secretName": "header"}
SECRETS = (
    ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    ("USAGE_SMTP_USERNAME", "USAGE_SMTP_PASSWORD"),
    ("USAGE_HTTPS_HEADER",),
)


def test_every_destination_is_understood(tmp_path: Path) -> None:
    """With the Secrets' files where the job mounts them; what is secret is no argument."""
    wanted = [{"s3": S3}, {"email": MAIL}, {"https": SITE}, {"volume": {}}]
    for index, keys in enumerate(SECRETS):
        folder = tmp_path / f"destination-{index}"
        folder.mkdir()
        for key in keys:
            (folder / key).write_text("X-Key: secret")
    words = export.command(context(export={"destinations": wanted}))
    places = [after for word, after in itertools.pairwise(words) if word == "--to"]
    moved = [place.replace(naming.FILES_DIR, str(tmp_path)) for place in places]
    assert [one.name for one in targets.destinations(moved)] == [
        "s3://usage/eu?endpoint=https://s3.example.org:9000",
        "mailto:a+b@example.org,50%@example.org",
        "https://vendor.example.org/usage",
        naming.EXPORT_DIR,
    ]


def test_the_least_that_can_be_said_is_understood() -> None:
    """Without Secrets and options: the defaults of both sides go together."""
    wanted = [
        {"s3": {"bucket": "usage"}},
        {"email": {"to": ["a@example.org"], "host": "smtp.example.org"}},
        {"https": {"url": "https://vendor.example.org"}},
    ]
    words = export.command(context(export={"destinations": wanted}))
    places = [after for word, after in itertools.pairwise(words) if word == "--to"]
    found = [one.name for one in targets.destinations(places)]
    assert found == ["s3://usage", "mailto:a@example.org", "https://vendor.example.org"]
