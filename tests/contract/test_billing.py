"""The billing rules are told as they are written down in the code."""

from pathlib import Path

from usage_collector import totals

PAGE = Path(__file__).resolve().parents[2] / "docs" / "usage.md"


def _table(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.startswith("|")]


def test_the_rules_are_documented_as_they_are_in_the_code() -> None:
    """The table of what counts is the same, line by line, in both places."""
    told = PAGE.read_text().split("\n## What counts\n")[1].split("\n## ")[0]
    assert _table(told) == _table(totals.__doc__ or "")
    assert len(_table(told)) > 10
