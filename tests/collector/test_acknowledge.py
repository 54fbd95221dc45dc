"""That a month was received is noted with the collectors, and opens what waited for it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.collector.processes import Collector, Result, collectors, command, simulate
from tests.collector.test_monthly import MONTH, export

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


@pytest.fixture
def two(tmp_path: Path) -> Iterator[list[Collector]]:
    """Two collectors, running, that hold some events."""
    with collectors(tmp_path, 2) as made:
        simulate(made, "--jobs", 20)
        yield made


def acknowledge(peers: Sequence[Collector], *more: object) -> Result:
    """Runs the command for all of them."""
    addresses = ",".join(one.address for one in peers)
    return command("acknowledge", "--period", MONTH, "--peers", addresses, *more)


def shown(one: Collector) -> Any:
    """What a collector says of its ledgers and periods."""
    return httpx.get(f"http://{one.address}/v1/periods", trust_env=False).json()


def states(one: Collector) -> list[tuple[str, str, int]]:
    """State, destination and number of files of each receipt."""
    receipts = shown(one)["periods"][0]["receipts"]
    return [(each["state"], each["by"], len(each["files"])) for each in receipts]


def told(one: Collector, metric: str) -> list[float]:
    """What that metric tells of folders."""
    text = httpx.get(f"http://{one.address}/metrics", trust_env=False).text
    lines = [each for each in text.splitlines() if each.startswith(f'{metric}{{kind="folder"')]
    return [float(line.split()[-1]) for line in lines]


def awaited(one: Collector) -> float:
    """How many files folders wait for."""
    (files,) = told(one, "usage_awaited_files")
    return files


def test_a_destination_acknowledges_what_it_was_sent(tmp_path: Path, two: list[Collector]) -> None:
    """At each collector the very files, once; one that was sent nothing is refused."""
    assert export(tmp_path, two).code == 0
    # Exported, sent, acknowledged.
    assert [told(one, "usage_months") for one in two] == [[0, 1, 0]] * 2
    place = str(tmp_path / "out")
    for _ in range(2):
        done = acknowledge(two, "--by", place, "--json")
        assert done.code == 0
        assert done.facts["noted"].keys() == {one.name for one in two}
    for one in two:
        sent, noted = states(one)[-2:]
        assert (sent[0], noted) == ("sent", ("acknowledged", place, sent[2]))
        assert done.facts["noted"][one.name] == sent[2]
    assert [told(one, "usage_months") for one in two] == [[0, 0, 1]] * 2
    other = acknowledge(two, "--by", "finance")
    assert other.code == 1
    assert f"finance was sent nothing: sent was to {place}" in other.err


def test_a_destination_that_was_taken_away_is_settled_by_the_manifest(
    tmp_path: Path, two: list[Collector]
) -> None:
    """Until then the guard stays closed, also when a run does not know that place any more."""
    (tmp_path / "bad").write_bytes(b"")
    assert export(tmp_path, two, "--to", tmp_path / "bad").code == 1
    assert export(tmp_path, two).code == 0
    assert [one["sent"] for peer in two for one in shown(peer)["ledgers"]] == [0, 0]
    assert [awaited(peer) for peer in two] == [4, 4]
    mine = ("--by", tmp_path / "bad")
    assert acknowledge(two, *mine).code == 1
    manifest = tmp_path / "out" / MONTH / "manifest.json"
    assert acknowledge(two, *mine, "--manifest", manifest).code == 0
    assert [awaited(peer) for peer in two] == [0, 0]
    assert all(one["sent"] == one["last"] for peer in two for one in shown(peer)["ledgers"])


def test_other_files_than_the_exported_ones_are_not_acknowledged(
    tmp_path: Path, two: list[Collector]
) -> None:
    """A manifest with another hash, of another month, or none at all: no receipt is made."""
    assert export(tmp_path, two).code == 0
    before = [states(one) for one in two]
    manifest = tmp_path / "out" / MONTH / "manifest.json"
    value = json.loads(manifest.read_bytes())
    value["payload"]["files"][0]["sha256"] = "0" * 64
    altered = tmp_path / "altered.json"
    altered.write_text(json.dumps(value, separators=(",", ":")))
    by = ("--by", "auditor", "--manifest")
    done = acknowledge(two, *by, altered)
    assert done.code == 1
    assert "another file than the one that was exported" in done.err
    (tmp_path / "none").write_bytes(b"{}")
    for wrong, told in (
        ((*by, tmp_path / "none"), "is no manifest"),
        ((*by, tmp_path / "nowhere"), "cannot be read: No such file"),
        ((*by, manifest, "--period", "2020-01"), f"is of {MONTH}, not of 2020-01"),
        (("--by", ""), "--by is empty"),
        (("--by", "a", "--peers", ""), "--peers"),
    ):
        done = acknowledge(two, *wrong)
        assert (done.code, told in done.err) == (2, True), done.err
    assert [states(one) for one in two] == before


def test_a_silent_collector_is_named_and_the_others_note_it(
    tmp_path: Path, two: list[Collector]
) -> None:
    """Exit 1; once it is back the same command completes it."""
    assert export(tmp_path, two).code == 0
    two[1].stop()
    done = acknowledge(two, "--by", tmp_path / "out", "--json")
    assert (done.code, list(done.facts["noted"])) == (1, [two[0].name])
    assert done.facts["failed"] == [f"http://{two[1].address}: did not answer"]
    two[1].start()
    assert acknowledge(two, "--by", tmp_path / "out").code == 0
    assert states(two[1])[-1][0] == "acknowledged"
