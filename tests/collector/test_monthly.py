"""A month over several real collectors: complete, counted once, delivered once, provable."""

from __future__ import annotations

import json
import shutil
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.collector.made import event
from tests.collector.processes import Collector, Result, collectors, command, make_keys, simulate
from tests.collector.year.clock import HandSet
from usage_collector.packages import Kind, Trust, verify
from usage_collector.periods import Period, microseconds, rfc3339
from usage_collector.sessions import HOUR
from usage_collector.totals.month import DAY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

MONTH = str(Period.of(datetime.now(UTC)))


@pytest.fixture
def three(tmp_path: Path) -> Iterator[list[Collector]]:
    """Three collectors, running."""
    with collectors(tmp_path, 3) as made:
        yield made


def export(tmp_path: Path, peers: Sequence[Collector], *more: object) -> Result:
    """Runs the monthly export into the folder `out`."""
    return command(
        "export-month",
        *("--period", MONTH),
        *("--peers", ",".join(one.address for one in peers)),
        *("--to", tmp_path / "out"),
        "--json",
        *more,
        environment=make_keys(tmp_path),
    )


def manifest(tmp_path: Path, name: str = "manifest.json") -> Any:
    """The payload of a delivered manifest."""
    return json.loads((tmp_path / "out" / MONTH / name).read_bytes())["payload"]


def delivered(tmp_path: Path) -> dict[str, bytes]:
    """Every file of the delivery."""
    return {path.name: path.read_bytes() for path in (tmp_path / "out" / MONTH).iterdir()}


def post(one: Collector, *events: bytes) -> None:
    """Posts events straight to one collector."""
    import httpx

    with httpx.Client(verify=False, trust_env=False) as client:
        answer = client.post(f"https://{one.target}/v1/log", content=b"[%s]" % b",".join(events))
        assert answer.status_code == 201


def test_a_month_adds_up_and_verifies(tmp_path: Path, three: list[Collector]) -> None:
    """What transcribers counted for themselves is what is delivered, to the microsecond."""
    quiet = rfc3339(microseconds(datetime.now(UTC)) - 2 * HOUR)
    numbers = ["--jobs", 120, "--sessions", 15, "--batch", 4, "--again", 5]
    sent = simulate(three, *numbers, "--lost-ends", 0.2, "--until", quiet).facts
    result = export(tmp_path, three)
    assert (result.code, result.facts["result"]) == (0, "exported")
    assert result.facts["events"] == sent["events"]
    totals = manifest(tmp_path)["totals"]["after"]
    assert totals["count"] == sent["jobs"] + sent["sessions"] + sent["unended"]
    assert totals["warm_ups"]["count"] == sent["warm_ups"] == 6
    assert totals["estimated"]["count"] == sent["unended"]
    expected = sent["seconds"] + sent["unended_hours"] * 3600
    assert totals["seconds"] == pytest.approx(expected, abs=1e-6)
    report = command("verify", tmp_path / "out", "--json")
    assert (report.code, report.facts["findings"]) == (0, [])
    assert report.facts["totals"] == totals


def test_a_run_again_changes_nothing(tmp_path: Path, three: list[Collector]) -> None:
    """The same bytes, also when more events have come and after a restart; nothing is new."""
    simulate(three, "--jobs", 30, "--sessions", 3)
    assert export(tmp_path, three).code == 0
    before = delivered(tmp_path)
    simulate(three, "--jobs", 30, "--seed", 2)
    three[1].stop()
    three[1].start()
    result = export(tmp_path, three)
    assert result.code == 0
    assert delivered(tmp_path) == before
    assert "0 of 6 files were new" in result.err
    shutil.rmtree(tmp_path / "out")
    assert export(tmp_path, three).code == 0
    assert delivered(tmp_path) == before


def test_a_silent_collector_is_a_gap_until_it_is_back(
    tmp_path: Path, three: list[Collector]
) -> None:
    """The rest is delivered, marked incomplete; the next run completes it as revision 2."""
    simulate(three, "--jobs", 30, "--sessions", 3)
    three[2].stop()
    result = export(tmp_path, three, "--summary-file", tmp_path / "summary")
    assert (result.code, result.facts["result"]) == (1, "incomplete")
    assert result.facts["gaps"] == [f"http://{three[2].address}: did not answer"]
    assert json.loads((tmp_path / "summary").read_bytes()) == result.facts
    first = delivered(tmp_path)
    assert manifest(tmp_path)["coverage"]["percent"] == 66.67
    verified = command("verify", tmp_path / "out", "--json")
    assert verified.code == 1
    assert [finding["kind"] for finding in verified.facts["findings"]] == ["gap"]
    again = export(tmp_path, three)
    assert again.code == 1
    assert delivered(tmp_path) == first
    three[2].start()
    result = export(tmp_path, three)
    assert (result.code, result.facts["files"]) == (0, 3)
    second = delivered(tmp_path)
    assert {name: second[name] for name in first} == first
    assert manifest(tmp_path, "manifest-2.json")["revision"] == 2
    assert manifest(tmp_path, "manifest-2.json")["gaps"] == []
    assert command("verify", tmp_path / "out").code == 0


def test_a_collector_that_was_emptied_is_not_missed(tmp_path: Path) -> None:
    """One that is named as retired is no gap in the month after its last; another is."""
    now = datetime.now(UTC)
    last = Period.of(now).previous
    clock = HandSet(tmp_path / "clock", last.start)
    environment = make_keys(tmp_path) | clock.environment
    three = [Collector(f"c-{number}", tmp_path, environment) for number in range(3)]
    with ExitStack() as stack:
        for one in three:
            one.start()
            stack.callback(one.stop)
        simulate(three, "--jobs", 30)
        clock.set(microseconds(now))
        assert export(tmp_path, three, "--period", last).code == 0
        retired = tmp_path / "retired"
        retired.write_text(f"{three[2].name}\n")
        result = export(tmp_path, three[:1], "--retired", f"@{retired}")
        assert (result.code, result.facts["result"]) == (1, "incomplete")
        (gap,) = result.facts["gaps"]
        assert gap.startswith(three[1].name)
        retired.write_text(f"{three[1].name}\n{three[2].name}\n")
        assert export(tmp_path, three[:1], "--retired", f"@{retired}").code == 0


def test_days_are_known_from_when_somebody_was_there(tmp_path: Path) -> None:
    """A zone that joins later makes nothing of the others partial; a wrong clock is told."""
    now = datetime.now(UTC)
    last = Period.of(now).previous
    clock = HandSet(tmp_path / "clock", last.start + 5 * DAY + DAY // 2)
    made = [
        Collector(f"c-{n}", tmp_path, make_keys(tmp_path) | clock.environment) for n in range(2)
    ]
    with ExitStack() as stack:
        for one in made:
            stack.callback(one.stop)
        made[0].start()
        post(made[0], event("early", time_stamp=rfc3339(last.start + 5 * DAY + DAY)))
        clock.set(last.start + 10 * DAY)
        made[1].start()
        clock.set(last.end)
        result = export(tmp_path, made, "--period", last)
        assert (result.code, result.facts["gaps"]) == (0, [])
    folder = tmp_path / "out" / str(last)
    told = json.loads((folder / "manifest.json").read_bytes())["payload"]
    begin = f"{last}-06"
    days = {(line["day"], line["zone"]): line for line in told["coverage"]["days"]}
    first = days[begin, "zone-c-0"]
    assert 0.4 < first["coverage"] <= 0.5
    assert (first["count"], first["early_events"]) == (None, 1)
    before = [line for (day, _), line in days.items() if day < begin]
    assert len(before) == 10
    assert {(line["coverage"], line["count"]) for line in before} == {(0, None)}
    after = [line for (day, zone), line in days.items() if zone == "zone-c-0" and day > begin]
    assert {line["coverage"] for line in after} == {1.0}
    joined = [day for day, zone in days if zone == "zone-c-1" and day > begin]
    assert joined[0] == f"{last}-11"
    page = (folder / "report.html").read_text()
    assert f"<title>{last}-01: not known</title>" in page
    assert "events from the future" in page
    assert not verify([folder], Trust()).findings


def test_what_reached_two_collectors_is_counted_once(
    tmp_path: Path, three: list[Collector]
) -> None:
    """The same event and the same session elsewhere are listed as duplicates, with conflicts."""
    one, other, _ = three
    post(one, event("same", 60), event("longer", 60), event("broken", -5))
    post(other, event("same", 60), event("longer", 61.5), event("alone", 1))
    assert export(tmp_path, three).code == 0
    body = manifest(tmp_path)
    assert body["totals"]["before"]["count"] == 5
    assert body["totals"]["after"]["count"] == 3
    assert body["totals"]["after"]["seconds"] == 122.5
    kinds = {line["identity"]: line for line in body["duplicates"]}
    assert set(kinds) == {"transport", "billing"}
    assert (kinds["transport"]["collector"], kinds["transport"]["position"]) == ("c-1", 1)
    assert kinds["billing"]["of"] == {
        "collector": "c-1",
        "ledger": kinds["transport"]["ledger"],
        "position": 2,
    }
    assert [line["seconds"] for line in body["conflicts"]] == [[60.0, 61.5]]
    assert [line["position"] for line in body["implausible"]] == [3]
    assert command("verify", tmp_path / "out").code == 0


def test_any_file_changed_removed_or_added_is_found(tmp_path: Path, three: list[Collector]) -> None:
    """With its manifest a delivery is proved as a whole."""
    simulate(three, "--jobs", 12)
    export(tmp_path, three)
    folder = tmp_path / "out" / MONTH
    assert verify([folder], Trust()).ok
    for path in sorted(folder.glob("*.json*")):
        original = path.read_bytes()
        middle = len(original) // 2
        for changed in (original[:-9], original[:middle] + b"?" + original[middle + 1 :]):
            path.write_bytes(changed)
            assert not verify([folder], Trust()).ok
        path.write_bytes(original)
    for path in folder.glob("*.gz"):
        original = path.read_bytes()
        path.unlink()
        assert [one.kind for one in verify([folder], Trust()).findings] == [Kind.MISSING]
        path.write_bytes(original)
    (folder / "extra.json").write_bytes(original)
    assert {one.kind for one in verify([folder], Trust()).findings} == {Kind.NOT_OURS, Kind.TWICE}


def test_nothing_due_says_when_the_next_is(tmp_path: Path, three: list[Collector]) -> None:
    """A collector owes nothing before the month in which it began."""
    arguments = ["--due", "--day", "28", "--peers", three[0].address, "--to", tmp_path / "out"]
    result = command("export-month", *arguments, "--json", environment=make_keys(tmp_path))
    assert (result.code, result.facts["result"]) == (0, "nothing-due")
    assert result.facts["next"]["time"] > result.facts["time"]
    assert not (tmp_path / "out").exists()


def test_an_early_export_makes_the_month_behind_it_the_next(
    tmp_path: Path, three: list[Collector]
) -> None:
    """The summary and `next-export` say what the collectors' receipts say."""
    after = str(Period.parse(MONTH).next)
    asked = ["next-export", "--peers", ",".join(one.address for one in three), "--json"]
    assert command(*asked).facts["period"] != after
    assert export(tmp_path, three).facts["next"]["period"] == after
    assert command(*asked).facts["period"] == after
    again = ["export-month", "--due", "--day", "28", "--peers", three[0].address]
    result = command(*again, "--to", tmp_path / "out", "--json", environment=make_keys(tmp_path))
    assert (result.facts["result"], result.facts["next"]["period"]) == ("nothing-due", after)


def test_a_damaged_ledger_is_a_gap_and_the_rest_is_delivered(
    tmp_path: Path, three: list[Collector]
) -> None:
    """What nobody can read any more is named and never reported as nothing."""
    simulate(three, "--jobs", 30, "--sessions", 0)
    broken = three[1]
    broken.stop()
    (database,) = broken.data.glob("ledgers/*/events.db")
    database.write_bytes(b"\0" * database.stat().st_size)
    broken.start()
    post(broken, event("after the damage", 7))
    result = export(tmp_path, three)
    assert (result.code, result.facts["result"]) == (1, "incomplete")
    named = [gap for gap in result.facts["gaps"] if database.parent.name in gap]
    assert "cannot be read" in named[0]
    body = manifest(tmp_path)
    assert database.parent.name in [gap["ledger"] for gap in body["gaps"]]
    assert not any(month["complete"] for month in body["months"])
    events = {line["collector"]: line["count"] for line in body["files"]}
    assert events["c-1"] == 1
    assert command("verify", tmp_path / "out").code == 1
    before = delivered(tmp_path)
    assert export(tmp_path, three).code == 1
    assert delivered(tmp_path) == before


def test_nobody_answering_fails_and_delivers_nothing(tmp_path: Path) -> None:
    """Not knowing anything is no empty month."""
    nobody = Collector("gone", tmp_path, {})
    result = export(tmp_path, [nobody])
    assert (result.code, result.facts["result"]) == (1, "failed")
    assert "no collector answered" in result.facts["error"]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--period", "2026-13", "--peers", "localhost:1"], "2026-13"),
        (["--peers", "localhost:1"], "--period"),
        (["--due", "--peers", "localhost"], "localhost"),
        (["--due", "--peers", "@/nonexistent"], "/nonexistent"),
        (["--due", "--peers", "localhost:1", "--day", "31"], "31"),
        (["--due", "--peers", "localhost:1", "--time-zone", "Mars"], "Mars"),
        (["--due", "--peers", "localhost:1", "--holiday", "soon"], "soon"),
        (["--due", "--peers", "localhost:1", "--country", "XX"], "XX"),
        (["--due", "--peers", "localhost:1", "--to", "ftp://x"], "ftp://x"),
        (["--due"], "--peers"),
    ],
)
def test_wrong_flags_are_named_with_a_remedy(
    tmp_path: Path, arguments: list[str], named: str
) -> None:
    """Exit code 2, the flag's value in the message, and a summary all the same."""
    summary = tmp_path / "summary"
    result = command(
        "export-month",
        *arguments,
        *("--to", tmp_path / "out", "--summary-file", summary),
        environment=make_keys(tmp_path),
    )
    assert result.code == 2
    assert named in result.err
    assert json.loads(summary.read_bytes())["result"] == "failed"


def test_what_is_pending_stays_so_until_it_is_known(tmp_path: Path) -> None:
    """In every month's list, never zero, and counted once by the month that learns it."""
    periods = [Period.of(datetime.now(UTC)).previous]
    for _ in range(4):
        periods.insert(0, periods[0].previous)
    clock = HandSet(tmp_path / "clock", periods[0].start)
    one = Collector("c-0", tmp_path, make_keys(tmp_path) | clock.environment)
    told = {"event": "TRANSCRIPT_NOTIFIED", "vendor": "assemblyai", "customer_id": "Acme"}
    known = {"vendor": "assemblyai", "customer_id": "Acme", "contract_id": ""}
    with ExitStack() as stack:
        stack.callback(one.stop)
        one.start()
        for name in ("late", "failed"):
            post(one, json.dumps({**told, "session_id": name}).encode())
        found = []
        for number, period in enumerate(periods):
            if number == 2:
                post(one, event("failed", 0, event="TRANSCRIPT_FAILED", **known))
            if number == 3:
                post(one, event("late", 60, **known))
            clock.set(period.end)
            assert export(tmp_path, [one], "--period", period).code == 0
            path = tmp_path / "out" / str(period) / "manifest.json"
            content = json.loads(path.read_bytes())["payload"]
            pending = sorted(line["position"] for line in content["pending"])
            found.append((pending, content["totals"]["after"]["seconds"]))
            assert {line["customer"] for line in content["pending"]} <= {"Acme"}
    assert found == [([1, 2], 0), ([1, 2], 0), ([1], 0), ([], 60), ([], 0)]
    months = [tmp_path / "out" / str(period) for period in periods]
    assert not verify(months, Trust()).findings
    for month in months:
        assert not verify([month], Trust()).findings


def test_a_month_says_which_transcripts_are_pending(tmp_path: Path, three: list[Collector]) -> None:
    """They are on its list and its page, in no total; verifying finds the same."""
    told = {"event": "TRANSCRIPT_NOTIFIED", "vendor": "assemblyai", "contract_id": "0"}
    for name, one in (("a", three[0]), ("b", three[0]), ("b", three[1])):
        post(one, json.dumps({**told, "session_id": name}).encode())
    post(three[2], event("b", 60, vendor="assemblyai"))
    assert export(tmp_path, three).code == 0
    content = manifest(tmp_path)
    assert [line["collector"] for line in content["pending"]] == ["c-0"]
    assert content["totals"]["after"]["count"] == 1
    assert b"of unknown duration" in delivered(tmp_path)["report.html"]
    assert command("verify", tmp_path / "out").code == 0
