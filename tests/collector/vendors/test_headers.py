"""The header that notifications are known by."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from usage_collector.errors import InvalidInput, Unauthenticated
from usage_collector.vendors.headers import Headers

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "0123456789abcdef"


def check(headers: Headers, *values: str, name: str = "x-hook") -> None:
    """Let a request with these values of a header in."""
    headers.check(lambda asked: values if asked.lower() == name else ())


def test_any_of_the_lines_will_do(tmp_path: Path) -> None:
    """An old value counts beside the new one, under whichever name; no other does."""
    path = tmp_path / "headers"
    path.write_text(f"X-Hook: {SECRET}\n\nX-Hook:{SECRET}-new\nOther: {SECRET}-other\n")
    headers = Headers(path)
    check(headers, SECRET)
    check(headers, "wrong", f"{SECRET}-new")
    check(headers, f"{SECRET}-other", name="other")
    for wrong in ((), ("",), (SECRET[:-1],), (SECRET + "x",), (f"{SECRET}-other",), ("ä\udc80",)):
        with pytest.raises(Unauthenticated):
            check(headers, *wrong)


@pytest.mark.parametrize(
    "text", ["", "\n", "X-Hook", "X-Hook: short", f"X Hook: {SECRET}", f"X: {SECRET} {SECRET}"]
)
def test_a_file_that_cannot_be_used_is_refused(tmp_path: Path, text: str) -> None:
    """It says what is wrong, and never the value."""
    path = tmp_path / "headers"
    path.write_text(text)
    with pytest.raises(InvalidInput, match="headers file") as raised:
        Headers(path)
    assert SECRET not in str(raised.value)
    with pytest.raises(InvalidInput, match="cannot be read"):
        Headers(tmp_path / "none")


def test_a_changed_file_counts_and_a_broken_one_does_not(tmp_path: Path) -> None:
    """The last good headers stay in force."""
    path = tmp_path / "headers"
    path.write_text(f"X-Hook: {SECRET}\n")
    headers = Headers(path)
    path.write_text("nothing")
    os.utime(path, ns=(1, 1))
    with pytest.raises(InvalidInput):
        headers.refresh()
    check(headers, SECRET)
    path.write_text(f"X-Hook: {SECRET}-new\n")
    os.utime(path, ns=(2, 2))
    headers.refresh()
    check(headers, f"{SECRET}-new")
    with pytest.raises(Unauthenticated):
        check(headers, SECRET)
