"""A month's run killed at every step: whatever it had done, the next goes on from there."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.collector.places import (
    KEYS,
    LOGIN,
    Mailbox,
    certificate,
    mail_server,
    s3_server,
    web_server,
)
from tests.collector.processes import Collector, collectors, command, make_keys, simulate
from tests.collector.test_monthly import MONTH, delivered, export

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_KILLED = """
import os, sys
from usage_collector.{module} import {owner}
left, function = [{nth}], {owner}.{name}
def counted(*args, **more):
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), 9)
    return function(*args, **more)
{owner}.{name} = counted
from usage_collector.cli import main
main()
"""
Step = tuple[str, str, str, int]
"""Module, owner and name of a function, and the call before which a run is killed."""


@pytest.fixture
def two(tmp_path: Path) -> Iterator[list[Collector]]:
    """Two collectors, running, that hold some events."""
    with collectors(tmp_path, 2) as made:
        simulate(made, "--jobs", 20, "--sessions", 2)
        yield made


def killed(tmp_path: Path, peers: Sequence[Collector], step: Step, to: Sequence[object]) -> int:
    """Runs the export in a process that is killed when it gets to that step; its exit code."""
    module, owner, name, nth = step
    program = _KILLED.format(module=module, owner=owner, name=name, nth=nth)
    arguments = ["export-month", "--period", MONTH, "--peers", ",".join(p.address for p in peers)]
    places = [word for one in to for word in ("--to", str(one))]
    return subprocess.run(
        [sys.executable, "-c", program, *arguments, *places],
        env={**os.environ, **make_keys(tmp_path)},
        capture_output=True,
        check=False,
    ).returncode


def undisturbed(tmp_path: Path, peers: Sequence[Collector]) -> dict[str, bytes]:
    """What a run with the same keys delivers to a folder that nobody has seen yet."""
    other = tmp_path / "other"
    other.mkdir()
    for name in ("hs512.key", "proof.pem"):
        (other / name).write_bytes((tmp_path / name).read_bytes())
    assert export(other, peers).code == 0
    return delivered(other)


STEPS: list[Step] = [
    *(("peers", "Peer", name, nth) for name in ("status", "cut", "package") for nth in (1, 2)),
    *(("peers", "Peer", "receipt", nth) for nth in (1, 2)),
    # Before a file is written, and right after it got its name, for one file after the other.
    ("targets", "folder", "_place", 1),
    ("targets", "folder", "_clear", 1),
    ("targets", "folder", "_place", 3),
    ("targets", "folder", "_clear", 1),
    ("targets", "folder", "_clear", 1),
    ("targets", "folder", "_place", 4),
    *(("peers", "Peer", "receipt", nth) for nth in (3, 4)),
]


def test_a_run_killed_at_any_step_is_completed_by_the_next(
    tmp_path: Path, two: list[Collector]
) -> None:
    """One after the other they come to the very bytes of an undisturbed run, and no part stays."""
    for step in STEPS:
        assert killed(tmp_path, two, step, [tmp_path / "out"]) == -9, step
    assert export(tmp_path, two).code == 0
    after = delivered(tmp_path)
    suffixes = ["csv", "gz", "gz", "html", "json"]
    assert sorted(path.rpartition(".")[2] for path in after) == suffixes
    assert command("verify", tmp_path / "out").code == 0
    assert undisturbed(tmp_path, two) == after


REMOTE: list[Step] = [
    ("peers", "Peer", "keep_manifest", 1),
    ("peers", "Peer", "keep_manifest", 2),
    # Six receipts promise the month; then the bucket: before a file and when it is not proved yet.
    ("peers", "Peer", "receipt", 6),
    ("targets.s3", "Bucket", "_place", 1),
    ("targets.s3", "Bucket", "_read", 2),
    ("targets.s3", "Bucket", "_place", 5),
    ("peers", "Peer", "receipt", 8),
    # The mailbox: before the first message, and when one collector of two has noted it.
    ("targets.smtp", "Mail", "_connected", 1),
    ("targets.smtp", "Mail", "_post", 1),
    ("peers", "Peer", "receipt", 10),
    # The second message: before it, when its answer is there and nobody has read it, and read it.
    ("targets.smtp", "Mail", "_post", 1),
    ("targets.smtp", "Mail", "_accepted", 2),
    ("monthly", "handing", "_note", 1),
    ("peers", "Peer", "receipt", 10),
    # The web server: before a file, when it was taken, and when one collector has noted it.
    ("targets.https", "Site", "_send", 1),
    ("monthly", "handing", "_note", 1),
    ("peers", "Peer", "receipt", 12),
    ("targets.https", "Site", "_send", 4),
]


def test_killed_runs_send_nobody_anything_twice(
    tmp_path: Path, two: list[Collector], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bucket, mailbox and web server have the undisturbed bytes; a lost answer repeats one mail."""
    for name, value in (KEYS | LOGIN).items():
        monkeypatch.setenv(name, value)
    pem, box = certificate(tmp_path, "good"), Mailbox()
    with ExitStack() as stack:
        endpoint = stack.enter_context(s3_server(tmp_path / "s3"))
        options = stack.enter_context(mail_server(pem, box, data_size_limit=110_000))
        site = stack.enter_context(web_server(pem))
        to = [
            f"s3://months/usage?endpoint={endpoint}",
            f"mailto:a@example.org?{options}",
            site.address,
        ]
        for step in REMOTE:
            assert killed(tmp_path, two, step, to) == -9, step
        places = [word for one in to for word in ("--to", one)]
        asked = ["export-month", "--period", MONTH, *places, "--json"]
        asked += ["--peers", ",".join(one.address for one in two)]
        for _ in range(2):
            done = command(*asked, environment=make_keys(tmp_path))
            assert (done.code, done.facts["failed"]) == (0, []), done.err
    wanted = undisturbed(tmp_path, two)
    bucket = tmp_path / "s3/months/usage" / MONTH
    assert {path.name: path.read_bytes() for path in bucket.iterdir()} == wanted
    assert {path.rpartition("/")[2]: body for path, body in site.kept.items()} == wanted
    first, *rest = [one["Message-ID"] for one in box.got]
    assert [rest.count(one) for one in dict.fromkeys(rest)] == [3] + [1] * (len(set(rest)) - 1)
    assert first not in rest
    once = {one["Message-ID"]: one for one in box.got}
    box.got = list(once.values())
    assert len(box.files()) == len(wanted)
    assert dict(box.files()) == wanted
