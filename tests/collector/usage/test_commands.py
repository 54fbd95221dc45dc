"""`usage-collector usage` and `usage-collector customers` against real collectors."""

from __future__ import annotations

import csv
import io
import shutil
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.collector.begun import begun
from tests.collector.processes import Collector, Result, collectors, command
from tests.collector.samples import array, event

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """A collector with three jobs of two customers in October 2026, and tokens."""
    folder = tmp_path_factory.mktemp("commands")
    with collectors(folder, 1) as (made,):
        made.stop()
        shutil.rmtree(made.data)
        # Longer ago than the days of these tests' events.
        begun(made.data, made.name, "zone-c-0", 2_000 * 86_400)
        (folder / "tokens").write_text("admin boss\nread reader\n")
        made.environment["USAGE_TOKENS_FILE"] = str(folder / "tokens")
        made.start()
        raws = [
            event(1, session_id="a", duration=3600),
            event(2, session_id="b", duration=1800, customer_id=None, contract_id="7"),
            event(86_400, session_id="c", duration=900, customer_id="[red]Stranger",
                  dimensions={"team": "blue"}),
        ]  # fmt: skip
        url = f"https://{made.target}/v1/log"
        httpx.post(url, content=array(raws), verify=False).raise_for_status()
        yield made


def _run(one: Collector, *words: object, token: str = "boss") -> Result:
    environment = {"USAGE_PEERS": one.address, "USAGE_TOKEN": token, "COLUMNS": "200"}
    return command(*words, environment=environment)


def test_usage_is_shown_as_asked_for(one: Collector) -> None:
    """A table with its sum, a table for spreadsheets, or the answer itself."""
    shown = _run(one, "usage", "--group-by", "day,customer", token="reader")
    assert (shown.code, shown.err) == (0, "")
    assert "Usage 2026-10-01 to " in shown.out
    assert "[red]Stranger" in shown.out
    assert "3 jobs and sessions, 1.750000 hours" in shown.out
    table = _run(one, "usage", "--group-by", "day", "--format", "csv")
    lines = list(csv.DictReader(io.StringIO(table.out)))
    assert [(line["day"], line["count"]) for line in lines] == [
        ("2026-10-01", "2"), ("2026-10-02", "1")
    ]  # fmt: skip
    teams = _run(one, "usage", "--group-by", "dimension:team", "--since", "2026-10-01").out
    assert [line.split()[:2] for line in teams.splitlines()[4:6]] == [["none", "2"], ["blue", "1"]]
    facts = _run(one, "usage", "--since", "2026-10-02", "--json").facts
    assert facts["since"] == "2026-10-02"
    assert facts["summary"][0]["duration_hrs"] == 0.25
    none = _run(one, "usage", "--until", "2026-09-30")
    assert (none.code, none.out.splitlines()[-1]) == (0, "None.")


def test_before_anybody_was_there_none_is_not_said(one: Collector) -> None:
    """Days before the first collector began are not known, whoever asks for them."""
    shown = _run(one, "usage", "--since", "2020-01-01", "--until", "2020-01-31")
    assert shown.code == 1
    assert "PARTIAL: c-0: no collector was there before 20" in shown.err
    assert "(known from 20" in shown.err
    assert shown.out.splitlines()[-1] == "None is known."
    assert _run(one, "usage", "--until", "2020-01-31").code == 1
    invoice = _run(one, "customers", "invoice", "--month", "2020-01", "--json")
    assert (invoice.code, len(invoice.facts["partial"])) == (1, 1)
    bearer = {"Authorization": "Bearer reader"}
    limits = httpx.get(f"http://{one.address}/v1/limits", headers=bearer).raise_for_status()
    assert "partial" not in limits.json(), "it was there when the month began"


def test_a_month_that_is_not_over_is_no_invoice(one: Collector) -> None:
    """Days to come are not said to be without usage."""
    invoice = _run(one, "customers", "invoice", "--month", "2999-02", "--json")
    assert (invoice.code, invoice.facts["usage"]) == (1, [])
    assert "PARTIAL: 2999-02-28 is not over; usage up to 20" in invoice.err
    days = ("--since", "2026-10-01", "--until", "2026-10-02")
    assert _run(one, "customers", "invoice", *days).code == 0


def test_what_may_be_missing_is_said_and_is_a_failure(one: Collector) -> None:
    """A collector that is away is named, with exit code 1; the sum is still told."""
    one.stop()
    one.environment["USAGE_PEERS"] = f"{one.address},127.0.0.1:1"
    one.start()
    try:
        shown = _run(one, "usage")
        assert shown.code == 1
        assert "PARTIAL: http://127.0.0.1:1: " in shown.err
        assert "3 jobs and sessions" in shown.out
        assert "None is known." in _run(one, "usage", "--until", "2026-09-30").out
        invoice = _run(one, "customers", "invoice", "--json")
        assert (invoice.code, len(invoice.facts["partial"])) == (1, 1)
    finally:
        one.stop()
        del one.environment["USAGE_PEERS"]
        one.start()


def test_a_collector_that_answers_is_found(one: Collector) -> None:
    """Any one will do; none at all is a failure that names the last."""
    found = _run(one, "usage", "--peers", f"127.0.0.1:1,{one.address}")
    assert found.code == 0
    assert "the next one is asked" in found.err
    gone = _run(one, "usage", "--peers", "127.0.0.1:1")
    assert gone.code == 1
    assert "127.0.0.1:1" in gone.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["usage", "--since", "yesterday"], "since: 'yesterday' is no date"),
        (["usage", "--since", "2026-10-02", "--until", "2026-10-01"], "is after until"),
        (["usage", "--group-by", "colour"], "group_by: 'colour' is no group"),
        (["usage", "--group-by", "dimension:"], "or dimension:NAME"),
        (["usage", "--format", "xml"], "--format"),
        (["usage", "--peers", ""], "--peers is missing"),
        (["customers", "archive", "a/b"], "'a/b' is no id"),
        (["customers", "change", "acme"], "nothing is to be changed"),
        (["customers", "invoice", "--month", "2026-13"], "2026-13"),
        (["customers", "invoice", "--month", "2026-10", "--since", "2026-10-01"], "excludes"),
        (["customers", "add", "acme"], "--name"),
        (["customers", "change", "acme", "--monthly-hours", "nan"], "--monthly-hours"),
    ],
)
def test_wrong_usage_is_exit_code_2(one: Collector, words: list[str], said: str) -> None:
    """The message names the flag and what it may be."""
    done = _run(one, *words)
    assert done.code == 2
    assert said in done.err


def test_a_customer_s_life(one: Collector) -> None:
    """Registered, changed, renamed, invoiced, archived and merged; what is refused says why."""
    made = _run(one, "customers", "add", "acme", "--name", "Acme", "--contract", "7", "--json")
    assert (made.code, made.facts["contracts"]) == (0, ["7"])
    again = _run(one, "customers", "add", "acme", "--name", "Acme")
    assert (again.code, "there already" in again.err) == (1, True)
    forbidden = _run(one, "customers", "rename", "acme", "X", token="reader")
    assert (forbidden.code, "403" in forbidden.err) == (1, True)
    more = ("--customer-id", "Acme", "--plan", "paid", "--monthly-hours", "7.5")
    assert _run(one, "customers", "change", "acme", *more).code == 0
    renamed = _run(one, "customers", "rename", "acme", "Acme Ltd", "--json").facts
    assert (renamed["name"], renamed["plan"], renamed["monthly_hours"]) == ("Acme Ltd", "paid", 7.5)
    assert renamed["contracts"] == ["7"]
    wrong = _run(one, "customers", "change", "acme", "--plan", "gold")
    assert (wrong.code, "use one of" in wrong.err) == (1, True)
    invoice = _run(one, "customers", "invoice", "acme", "--month", "2026-10", "--format", "csv")
    (line,) = csv.DictReader(io.StringIO(invoice.out))
    assert (line["name"], line["count"], line["duration_hrs"]) == ("Acme Ltd", "2", "1.5")
    of_one = _run(one, "usage", "--customer", "acme", "--json").facts
    assert of_one["summary"][0]["count"] == 2
    listed = _run(one, "customers", "list")
    assert "Acme Ltd" in listed.out
    assert "Not registered:" in listed.out
    (stranger,) = [line for line in listed.out.splitlines() if "[red]Stranger" in line]
    assert stranger.split()[-1] == "0.250000"
    assert _run(one, "customers", "add", "umbrella", "--name", "Umbrella").code == 0
    assert _run(one, "customers", "merge", "acme", "umbrella").code == 0
    for id_ in ("acme", "umbrella"):
        facts = _run(one, "usage", "--customer", id_, "--json").facts
        assert facts["summary"][0]["count"] == 2, id_
    assert _run(one, "customers", "merge", "acme", "nobody").code == 1
    assert _run(one, "customers", "archive", "acme", "--json").facts["archived"]
    assert not _run(one, "customers", "archive", "acme", "--undo", "--json").facts["archived"]
    nobody = _run(one, "customers", "invoice", "nobody")
    assert (nobody.code, "is not registered" in nobody.err) == (1, True)
