"""Usage by customer and month, as invoices are made of it."""

from __future__ import annotations

import csv
import io
import tempfile
from collections import defaultdict
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.collector.made import event
from tests.collector.usage import naive
from tests.collector.usage.test_store import ALL, NOW, _filled
from usage_collector import usage
from usage_collector.usage import billing
from usage_collector.usage.customers import Customer, Details, Register

_names = st.lists(st.sampled_from(["Acme", "x", "7", "8"]), max_size=2)
_registers = st.lists(
    st.builds(
        Customer,
        st.sampled_from(["a", "b", "c"]),
        st.builds(Details, st.sampled_from(["A Ltd", "=1+1"]), _names, _names, st.booleans()),
        st.integers(0, 3),
        st.just("one"),
        st.sampled_from([None, None, "a", "b"]),
    ),
    max_size=4,
).map(Register().joined)
_jobs = st.lists(
    st.tuples(
        st.sampled_from("pqrstuvw"),
        st.sampled_from([0, 1.5, 3600, -1]),
        st.sampled_from(["Acme", "a", "x", "stranger", ""]),
        st.sampled_from(["7", "8", "9", "-77777777777777"]),
        st.sampled_from(["2026-09-30T23:59:59Z", "2026-10-01T00:00:00Z"]),
    ),
    max_size=25,
)


def _count(lines: list[billing.Line]) -> int:
    return sum(int(str(line["count"])) for line in lines)


@given(_registers, _jobs)
@settings(max_examples=15, deadline=None)
def test_invoices_bill_everything_once(
    register: Register, jobs: list[tuple[str, float, str, str, str]]
) -> None:
    """Whoever is registered, merged or archived: all of a month is on one line of one customer.

    Strangers keep their name and are flagged; the customers' own invoices say the same, as CSV too.
    """
    raws = [
        event(session, seconds, customer_id=customer, contract_id=contract, time_stamp=at)
        for session, seconds, customer, contract, at in jobs
    ]
    received = [("one", NOW, raw) for raw in raws]
    plain = naive.usage(received, NOW, ("month", "customer", "contract", "mode", "type"))
    expected: dict[tuple[object, ...], list[int]] = defaultdict(lambda: [0, 0])
    for (month, customer, contract, mode, type_), (count, us) in plain.items():
        owner = register.of(customer, contract)
        line = (month, owner.id if owner else customer, bool(owner), mode, type_)
        expected[line][0] += count
        expected[line][1] += us
    with tempfile.TemporaryDirectory() as folder:
        store = _filled(Path(folder), raws)
        _, lines = billing.monthly(store, ALL, register)
        found = {
            (line["month"], line["customer"], line["known"], line["mode"], line["type"]): (
                line["count"],
                line["duration_hrs"],
            )
            for line in lines
        }
        assert len(found) == len(lines)
        assert found == {
            key: (count, round(us / 3.6e9, 6)) for key, (count, us) in expected.items()
        }
        known = [line for line in lines if line["known"]]
        own = [
            line
            for id_ in register.customers
            for line in billing.monthly(store, ALL, register, id_)[1]
        ]
        assert sorted(map(str, own)) == sorted(map(str, known))
        strangers = billing.unknown(store, ALL, register)
        assert _count(strangers) == _count([line for line in lines if not line["known"]])
        table = list(csv.DictReader(io.StringIO(usage.as_csv(lines))))
        assert [(row["customer"], row["count"]) for row in table] == [
            (line["customer"], str(line["count"])) for line in lines
        ]
        assert not any(row["name"].startswith("=") for row in table)
        store.close()
