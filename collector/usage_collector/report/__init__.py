"""A month for people, made from what its manifest says: a table, and a page with plots. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from usage_collector.packages.manifest import manifest_name
from usage_collector.report.letter import as_letter
from usage_collector.report.page import as_html
from usage_collector.report.table import as_csv

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["as_csv", "as_html", "as_letter", "summaries"]


def summaries(body: Mapping[str, object], revision: int, proof_kid: str) -> list[tuple[str, bytes]]:
    """The files for people that go with a manifest: names and contents, always the same bytes.

    ``body`` is the manifest's content, ``proof_kid`` the key that it is signed with.
    """
    return [
        (manifest_name(revision, "summary", "csv"), as_csv(body)),
        (manifest_name(revision, "report", "html"), as_html(body, proof_kid)),
    ]
