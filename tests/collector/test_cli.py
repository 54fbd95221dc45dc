"""The commands for packages, against a real collector: exit codes, files, messages."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click
import pytest

from tests.collector.made import ledger
from tests.collector.processes import Collector, collectors, command, simulate
from usage_collector.cli import COMMANDS, cli, next_export

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """A collector that holds some events."""
    with collectors(tmp_path_factory.mktemp("collector"), 1) as made:
        assert simulate(made, "--jobs", 40, "--sessions", 4).code == 0
        yield made[0]


def test_a_window_is_exported_by_hand_and_verifies(tmp_path: Path, one: Collector) -> None:
    """The file is there whole, says the same as `verify`, and is never overwritten."""
    out = tmp_path / "all.json.gz"
    exported = command("export", "--from", one.address, "--out", out, "--json")
    assert exported.code == 0
    report = command("verify", out, "--json")
    assert report.code == 0
    assert report.facts["totals"] == exported.facts["totals"]
    assert report.facts["totals"]["count"] == 44
    again = command("export", "--from", one.address, "--out", out)
    assert again.code == 2
    assert "nothing is overwritten" in again.err
    assert [path.name for path in tmp_path.iterdir()] == ["all.json.gz"]


def test_the_proof_key_of_the_collector_pins_the_export(tmp_path: Path, one: Collector) -> None:
    """What a collector serves as its proof key is what `verify` takes."""
    import httpx

    out, key = tmp_path / "all.json.gz", tmp_path / "proof.pem"
    command("export", "--from", one.address, "--out", out)
    key.write_bytes(httpx.get(f"http://{one.address}/v1/proof-key", trust_env=False).content)
    report = command("verify", out, "--proof-key", key, "--json")
    assert (report.code, report.facts["self_asserted"]) == (0, False)
    secret = tmp_path / "hs512.key"
    secret.write_bytes(b"k" * 64)
    assert command("verify", out, "--signing-key", secret).code == 0
    secret.write_bytes(b"x" * 64)
    assert command("verify", out, "--signing-key", secret).code == 1


def test_a_ledger_is_checked_while_it_is_in_use(tmp_path: Path, one: Collector) -> None:
    """The table names the whole ledger, also in a file; a folder without one is named."""
    facts = command("check", "--data-dir", one.data, "--json").facts
    told = command("check", "--data-dir", one.data)
    assert (told.code, facts["ok"]) == (0, True)
    assert facts["ledgers"][0]["id"] in told.out
    assert f"{facts['events']} events, all as they were stored" in told.out
    none = command("check", "--data-dir", tmp_path)
    assert (none.code, str(tmp_path) in none.err) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (["--from", "localhost"], 2, "reporting port"),
        (["--from", "localhost:1"], 1, "localhost:1 cannot be reached"),
        (["--from", "ONE", "--since", "yesterday"], 2, "since"),
        (["--from", "ONE", "--since", "2026-10-02", "--until", "2026-10-01"], 2, "since"),
        (["--from", "ONE", "--token-file", "/nonexistent"], 2, "token file"),
        (["--from", "ONE", "--ca-file", "/nonexistent"], 2, "CA file"),
        ([], 2, "--from"),
    ],
)
def test_wrong_exports_leave_no_file(
    tmp_path: Path, one: Collector, arguments: list[str], code: int, named: str
) -> None:
    """The message names what was wrong, and nothing half done stays behind."""
    given = [one.address if word == "ONE" else word for word in arguments]
    result = command("export", *given, "--out", tmp_path / "x.json.gz")
    assert (result.code, named in result.err) == (code, True), result.err
    assert list(tmp_path.iterdir()) == []


def test_verify_prints_what_it_found(tmp_path: Path) -> None:
    """A table for people, with how far it is, JSON for programs, and an exit code for scripts."""
    made = ledger(250)
    path = made.save(tmp_path, 1, 250)
    good = command("verify", tmp_path)
    assert good.code == 0
    assert "OK: 1 package, 250 events" in good.out
    words = good.out.split()
    assert (path.name in words, "1 to 250" in good.out, f"{made.zone}" in words) == (True,) * 3
    assert "250" in next(row for row in good.out.splitlines() if row.split()[:1] == ["all"])
    terminal = {"FORCE_COLOR": "1", "TERM": "xterm", "NO_COLOR": ""}
    watched = command("verify", tmp_path, environment=terminal)
    assert re.search(r"Verifying.*\b[1-9]\d*m(\d+\.\d)/\1 kB", watched.err), watched.err
    path.write_bytes(path.read_bytes()[:-20])
    bad = command("verify", tmp_path)
    assert bad.code == 1
    assert "altered" in bad.out
    assert json.loads(command("verify", tmp_path, "--json").out)["ok"] is False
    assert command("verify", tmp_path / "none").code == 2
    assert command("verify").code == 2
    (tmp_path / "empty").touch()
    unexplained = command("verify", "--explain", tmp_path / "empty")
    assert (unexplained.code, f"{tmp_path}/empty: " in unexplained.err) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["simulate", "--to", "localhost:1", "--rate", "nan"], "--rate"),
        (["simulate", "--to", "localhost:1", "--patience", "nan"], "--patience"),
        (["simulate", "--to", "localhost:1", "--span", "nan"], "--span"),
        (["simulate", "--to", "localhost:1", "--duration", "inf"], "--duration"),
        (["simulate", "--to", "localhost"], "--to"),
        (["export-month", "--to", "x", "--megabytes", "nan"], "--megabytes"),
        (["export-month", "--to", "x", "--period", "2026-10", "--at", "25:00"], "--at"),
        (["next-export", "--at", "06:00+02:00"], "--time-zone"),
        (["next-export", "--period", "x"], "YYYY-MM"),
        (["export", "--from", "localhost:1", "--out", "/nonexistent/x"], "--out"),
        (["bogus"], "bogus"),
    ],
)
def test_wrong_flags_are_wrong_usage(arguments: list[str], named: str) -> None:
    """Exit code 2 at once, and the flag in the message."""
    result = command(*arguments)
    assert (result.code, named in result.err) == (2, True), result.err


def test_every_flag_says_what_it_is_for() -> None:
    """The help of no command, and of no command in a command, leaves one to guess."""
    silent = [
        f"{word} {option.opts[0]}"
        for word, one in _all(cli)
        for option in one.params
        if isinstance(option, click.Option) and not option.help
    ]
    assert not silent


def _all(group: click.Group) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for word in group.list_commands(context):
        one = group.get_command(context, word)
        assert one
        assert one.help, word
        yield word, one
        if isinstance(one, click.Group):
            yield from _all(one)


def test_the_next_export_is_told() -> None:
    """For a month that is named, and for the next one."""
    arguments = ["--country", "DE", "--time-zone", "Europe/Berlin", "--period", "2026-10", "--json"]
    result = command("next-export", *arguments)
    assert result.facts == {"period": "2026-10", "time": "2026-10-30T05:00:00Z"}
    assert command("next-export", "--day", "29").code == 2
    assert "is due at" in command("next-export").out
    assert command("next-export", "--json").facts["overdue"] is False


@pytest.mark.parametrize(
    ("minutes", "words"),
    [
        (-1, "is due at"),
        (0, "has been due since"),
        (24 * 60 - 1, "has been due since"),
        (24 * 60, "is overdue: it has been due since"),
    ],
)
def test_a_month_is_overdue_a_day_after_it_was_due(minutes: int, words: str) -> None:
    """By then the daily run has come twice."""
    when = datetime(2026, 10, 30, 5, tzinfo=UTC)
    assert next_export.phrase(when, when + timedelta(minutes=minutes)) == words


def test_the_list_of_commands_says_all_of_each() -> None:
    """On a terminal of 80 columns no line ends in the middle of what a command is for."""
    told = command("--help", environment={"COLUMNS": "80"})
    lines = told.out.partition("Commands:")[2].splitlines()[1:]
    assert [line.split()[0] for line in lines] == list(COMMANDS)
    assert [line for line in lines if line.endswith("...")] == []
