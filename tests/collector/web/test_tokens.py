"""Who may do what on the reporting listener."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from usage_collector.errors import Forbidden, InvalidInput, Unauthenticated
from usage_collector.web.tokens import Access, Guard

if TYPE_CHECKING:
    from pathlib import Path


def test_without_a_token_file_only_this_host_may_change_things() -> None:
    """Reading is free, but what needs admin is for loopback clients."""
    guard = Guard(None)
    guard.check(Access.READ, None, "192.0.2.1")
    for local in ("127.0.0.1", "::1", "::ffff:127.0.0.1"):
        guard.check(Access.ADMIN, None, local)
    for client in ("192.0.2.1", "::ffff:192.0.2.1", None):
        with pytest.raises(Forbidden):
            guard.check(Access.ADMIN, None, client)


def test_roles(tmp_path: Path) -> None:
    """Admin may read, read may not change, strangers may nothing."""
    path = tmp_path / "tokens"
    path.write_text("# a comment\n\nread one\nadmin two\n")
    guard = Guard(path)
    guard.check(Access.ADMIN, "Bearer two", "192.0.2.1")
    guard.check(Access.READ, "bearer two", None)
    guard.check(Access.OPEN, None, None)
    with pytest.raises(Forbidden):
        guard.check(Access.ADMIN, "Bearer one", "127.0.0.1")
    for header in (None, "Bearer", "Bearer three", "Basic two", "Bearer \udcff"):
        with pytest.raises(Unauthenticated):
            guard.check(Access.READ, header, "127.0.0.1")


@pytest.mark.parametrize("text", ["owner secret-token\n", "read\n", "\n", "read a secret-token\n"])
def test_a_bad_file_is_refused_without_showing_a_token(tmp_path: Path, text: str) -> None:
    """The message names the line; tokens stay out of it."""
    path = tmp_path / "tokens"
    path.write_text(text)
    with pytest.raises(InvalidInput) as raised:
        Guard(path)
    assert "secret-token" not in str(raised.value)


def test_a_broken_change_leaves_the_old_tokens_in_force(tmp_path: Path) -> None:
    """A file that became unusable locks nobody out."""
    path = tmp_path / "tokens"
    path.write_text("admin one\n")
    guard = Guard(path)
    path.write_text("nonsense\n")
    with pytest.raises(InvalidInput):
        guard.refresh()
    guard.check(Access.ADMIN, "Bearer one", None)
