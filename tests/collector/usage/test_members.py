"""Who the other collectors are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from usage_collector import settings
from usage_collector.usage.members import Members

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_list_that_cannot_be_read_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """And told as long as it is so; what was known before stays in use."""
    listed: list[set[str]] = []
    file = tmp_path / "peers"
    file.write_text("http://a:8000\n")
    chosen = settings.load({"USAGE_PEERS": f"@{file}"}, {})
    members = Members(chosen, lambda urls: listed.append(set(urls)))
    members.refresh()
    file.write_text("a b c\n")
    for _ in range(3):
        members.refresh()
    (line,) = caplog.messages
    assert members.problem
    assert members.problem in line
    assert set(members.peers) == {"http://a:8000"}
    file.write_text("http://a:8000\nhttp://b:8000\n")
    members.refresh()
    assert (members.problem, set(members.peers)) == ("", {"http://a:8000", "http://b:8000"})
    assert len(listed) == 2
    members.close()


def test_until_it_was_read_nobody_is_known(tmp_path: Path) -> None:
    """Then an answer lacks others without knowing whom; what is mended is forgotten."""
    file = tmp_path / "peers"
    members = Members(settings.load({"USAGE_PEERS": f"@{file}"}, {}), lambda _: None)
    assert members.problem
    assert not members.is_known
    for text, known in (("http://a:8000", True), ("a b c", False), ("http://a:8000", True)):
        file.write_text(text)
        members.refresh()
        assert bool(members.problem) != known
    assert members.is_known
    members.close()
    alone = Members(settings.load({}, {}), lambda _: None)
    assert (alone.problem, alone.is_known) == ("", True)
