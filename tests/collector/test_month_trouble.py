"""A month in trouble: two runs at once, wrong tokens, strange collectors, new keys, bad folders."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.collector.made import event
from tests.collector.processes import Collector, collectors, command, make_keys, simulate
from tests.collector.test_monthly import MONTH, delivered, export, manifest, post

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def two(tmp_path: Path) -> Iterator[list[Collector]]:
    """Two collectors, running, that hold some events."""
    with collectors(tmp_path, 2) as made:
        simulate(made, "--jobs", 20, "--sessions", 2)
        yield made


def test_two_runs_at_once_deliver_once(tmp_path: Path, two: list[Collector]) -> None:
    """Whoever comes second finds the files or is told; the delivery is whole."""
    arguments = ["export-month", "--period", MONTH, "--to", str(tmp_path / "out"), "--peers"]
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "usage_collector", *arguments, ",".join(c.address for c in two)],
            env={**os.environ, **make_keys(tmp_path)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    said = [one.communicate(timeout=100)[1] for one in both]
    codes = sorted(one.returncode for one in both)
    assert codes == [0, 0] or (codes == [0, 1] and "another run" in "".join(said)), said
    assert command("verify", tmp_path / "out").code == 0


def rotate(tmp_path: Path, peers: list[Collector]) -> None:
    """New keys in the same files, for collectors and export alike."""
    (tmp_path / "hs512.key").write_bytes(b"n" * 64)
    (tmp_path / "proof.pem").unlink()
    make_keys(tmp_path)
    (tmp_path / "hs512.key").write_bytes(b"n" * 64)
    for one in peers:
        one.stop()
        one.start()


def test_rotated_keys_send_nothing_again(tmp_path: Path, two: list[Collector]) -> None:
    """What was delivered under the old key stays; the next revision lists it as it is."""
    two[1].stop()
    assert export(tmp_path, two).code == 1
    before = delivered(tmp_path)
    two[1].start()
    rotate(tmp_path, two)
    result = export(tmp_path, two)
    assert (result.code, result.facts["result"]) == (0, "exported"), result.facts
    after = delivered(tmp_path)
    assert {name: after[name] for name in before} == before
    assert sorted(set(after) - set(before))[0] == "manifest-2.json"
    assert command("verify", tmp_path / "out").code == 0


def test_a_wrong_token_is_named_and_delivers_nothing(tmp_path: Path) -> None:
    """401 and 403 are the collector's own words, in the summary too; the right one works."""
    (tmp_path / "tokens").write_text("read only-read\nadmin all-rights\n")
    one = Collector("c-0", tmp_path, make_keys(tmp_path))
    one.environment["USAGE_TOKENS_FILE"] = str(tmp_path / "tokens")
    one.start()
    try:
        for token, status in (("wrong", "401"), ("only-read", "403")):
            (tmp_path / "token").write_text(token)
            result = export(tmp_path, [one], "--token-file", tmp_path / "token")
            assert (result.code, result.facts["result"]) == (1, "failed")
            assert f"answered {status}" in result.facts["error"]
            assert token not in result.out + result.err
            assert not (tmp_path / "out").exists()
        (tmp_path / "token").write_text("all-rights\n")
        assert export(tmp_path, [one], "--token-file", tmp_path / "token").code == 0
    finally:
        one.stop()


def test_peers_over_tls_are_trusted_by_their_ca_only(tmp_path: Path) -> None:
    """With the CA file it works; without, the message says which certificate is not trusted."""
    one = Collector("c-0", tmp_path, make_keys(tmp_path))
    one.environment["PANDAS_SECURE"] = "true"
    one.start(scheme="https")
    try:
        refused = export(tmp_path, [one], "--secure")
        assert refused.code == 1
        assert "certificate that is not trusted" in refused.facts["error"]
        ca = one.data / "keys" / "tls.crt"
        assert export(tmp_path, [one], "--secure", "--ca-file", ca).code == 0
        out = tmp_path / "x.json.gz"
        source = f"https://{one.address}"
        assert command("export", "--from", source, "--out", out, "--ca-file", ca).code == 0
        assert command("export", "--from", source, "--out", tmp_path / "y").code == 1
    finally:
        one.stop()


def test_a_destination_in_trouble_does_not_hold_back_the_others(
    tmp_path: Path, two: list[Collector]
) -> None:
    """It is named, the run is incomplete, and once it is well the next run completes it."""
    (tmp_path / "bad").write_bytes(b"")
    result = export(tmp_path, two, "--to", tmp_path / "bad")
    assert (result.code, result.facts["result"]) == (1, "incomplete")
    assert str(tmp_path / "bad") in result.facts["error"]
    assert command("verify", tmp_path / "out").code == 0
    (tmp_path / "bad").unlink()
    result = export(tmp_path, two, "--to", tmp_path / "bad")
    assert result.code == 0
    assert f"{tmp_path}/out: 0 of 5 files were new" in result.err


def test_a_different_file_of_the_same_name_is_never_overwritten(
    tmp_path: Path, two: list[Collector]
) -> None:
    """The run fails and says which file is in the way."""
    export(tmp_path / "", two)
    folder = tmp_path / "out" / MONTH
    package = next(folder.glob("usage-*.gz"))
    package.write_bytes(b"something else")
    result = export(tmp_path, two)
    assert (result.code, result.facts["result"]) == (1, "failed")
    assert package.name in result.facts["error"]
    assert package.read_bytes() == b"something else"


def test_an_altered_manifest_of_the_month_before_changes_no_totals(
    tmp_path: Path, two: list[Collector]
) -> None:
    """It is a named gap: what it says of sessions could be anybody's."""
    from usage_collector.periods import Period

    before = tmp_path / "out" / str(Period.parse(MONTH).previous)
    before.mkdir(parents=True)
    (before / "manifest.json").write_text('{"header":{}}')
    result = export(tmp_path, two)
    assert result.code == 1
    assert "not as it was signed" in result.facts["gaps"][0]
    assert manifest(tmp_path)["coverage"]["percent"] == 100.0


def test_more_than_a_window_may_hold_is_exported_in_parts(tmp_path: Path) -> None:
    """A real collector lists windows that fit; each of them is exported, and all add up."""
    with collectors(tmp_path, 1) as (one,):
        events = [
            event(f"s-{n}", 1, time_stamp=f"2026-10-05T13:{n // 600:02}:00Z") for n in range(25_200)
        ]
        for start in range(0, len(events), 900):
            post(one, *events[start : start + 900])
        asked = ["export", "--from", one.address, "--out", tmp_path / "all.json.gz"]
        told = command(*asked)
        assert told.code == 1
        assert "--since" in told.err
        windows = command(*asked, "--json").facts["windows"]
        assert not (tmp_path / "all.json.gz").exists()
        parts = [tmp_path / f"{n}.json.gz" for n in range(len(windows))]
        for window, part in zip(windows, parts, strict=True):
            limits = [("--since", window["since"]), ("--until", window["until"])]
            words = [word for name, text in limits if text for word in (name, text)]
            assert command("export", "--from", one.address, "--out", part, *words).code == 0
        report = command("verify", *parts, "--json")
        assert (report.code, report.facts["totals"]["count"]) == (0, 25_200)
