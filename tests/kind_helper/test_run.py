"""Waiting for states that no one announces."""

import pytest

from tests.kind_helper.errors import CommandFailed, KindHelperError
from tests.kind_helper.run import run, until


def test_a_look_that_fails_is_none() -> None:
    """A command that fails is tried again: what it asks may be busy or not be there yet."""
    codes = iter((1, 1, 0))
    until(lambda: not run(["sh", "-c", f"exit {next(codes)}"]), "it ends well", seconds=60, every=0)
    assert next(codes, None) is None


def test_what_failed_last_is_told() -> None:
    """Whoever waited for nothing learns of the last command that failed."""
    with pytest.raises(KindHelperError, match="it ends well: not within 0 s") as caught:
        until(lambda: bool(run(["sh", "-c", "echo why; exit 3"])), "it ends well", seconds=0)
    cause = caught.value.__cause__
    assert isinstance(cause, CommandFailed)
    assert "why" in str(cause)
