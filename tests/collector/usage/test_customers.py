"""Who is billed for which events."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usage_collector.errors import Conflict, InvalidInput, NotFound
from usage_collector.usage.customers import Customer, Details, Register, read_details
from usage_collector.usage.registry import Registry

if TYPE_CHECKING:
    from pathlib import Path

_names = st.lists(st.sampled_from(["a", "b", "c", "x", "y"]), max_size=3)
_customers = st.lists(
    st.builds(
        Customer,
        st.sampled_from(["a", "b", "c"]),
        st.builds(Details, st.sampled_from(["A", "B"]), _names, _names, st.booleans()),
        st.integers(0, 3),
        st.sampled_from(["one", "two"]),
        st.sampled_from([None, "a", "b", "c", "gone"]),
    ),
    max_size=8,
)


def _register(**customers: Details) -> Register:
    register = Register()
    for now, (id_, details) in enumerate(customers.items()):
        register = register.joined([register.put(id_, details, now, "one")])
    return register


def _owner(register: Register, field: str, contract: str = "") -> str | None:
    customer = register.of(field, contract)
    return customer.id if customer else None


def test_an_event_is_its_customers_by_field_or_by_contract() -> None:
    """The field counts first; a contract counts where the field names nobody that is known."""
    register = _register(
        acme=Details("Acme Ltd", customer_ids=["Acme"], contracts=["7"]),
        umbrella=Details("Umbrella", contracts=["8"]),
    )
    assert _owner(register, "Acme", "8") == "acme"
    assert _owner(register, "umbrella") == "umbrella"
    assert _owner(register, "", "8") == "umbrella"
    assert _owner(register, "stranger", "7") == "acme"
    assert _owner(register, "stranger", "9") is None
    assert _owner(register, "", "") is None


def test_a_merge_moves_everything_and_can_be_undone() -> None:
    """Another customer takes its place, over several steps too; a circle is refused."""
    register = _register(a=Details("A"), b=Details("B"), c=Details("C"))
    register = register.joined([register.merge("a", "b", 5, "one")])
    register = register.joined([register.merge("b", "c", 6, "one")])
    assert [_owner(register, id_) for id_ in "abc"] == ["c", "c", "c"]
    with pytest.raises(Conflict, match="merged into"):
        register.merge("c", "a", 7, "one")
    register = register.joined([register.merge("b", "b", 7, "one")])
    assert [_owner(register, id_) for id_ in "abc"] == ["b", "b", "c"]
    with pytest.raises(InvalidInput, match="into: 'nobody'"):
        register.merge("a", "nobody", 8, "one")
    with pytest.raises(NotFound):
        register.merge("nobody", "a", 8, "one")


def test_a_later_change_replaces_even_where_the_clock_went_back() -> None:
    """Renaming keeps a merge, and is later than what it replaces."""
    register = _register(a=Details("A"), b=Details("B"))
    register = register.joined([register.merge("a", "b", 100, "one")])
    renamed = register.put("a", Details("New", archived=True), 50, "one")
    assert renamed.changed == 101
    assert renamed.merged_into == "b"
    assert register.joined([renamed]).get("a").details.name == "New"


def test_names_belong_to_one_customer() -> None:
    """A customer id or contract that is another's is refused, naming whose it is."""
    register = _register(acme=Details("Acme", customer_ids=["x"], contracts=["7"]))
    for details in (
        Details("B", customer_ids=["x"]),
        Details("B", customer_ids=["acme"]),
        Details("B", contracts=["7"]),
    ):
        with pytest.raises(Conflict, match="acme"):
            register.put("b", details, 1, "one")
    with pytest.raises(Conflict, match="acme"):
        register.put("x", Details("X"), 1, "one")


@pytest.mark.parametrize("id_", ["", "-", "a b", "a/b", "x" * 64, "é", "a\n"])
def test_odd_ids_are_refused(id_: str) -> None:
    """An id can stand in an address as it is."""
    with pytest.raises(InvalidInput, match="is no id"):
        Register().put(id_, Details("Odd"), 1, "one")


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"name":""}', b'{"name":"A","x":1}', b"\xff"]
)
def test_what_is_no_customer_is_refused(body: bytes) -> None:
    """The error shows what to send."""
    with pytest.raises(InvalidInput, match="name"):
        read_details(body)


@given(_customers, _customers, _names)
def test_registers_join_in_any_order(
    one: list[Customer], two: list[Customer], names: list[str]
) -> None:
    """Collectors that told each other everything agree on whose every event is."""
    here, there = Register().joined(one).joined(two), Register().joined(two).joined(one)
    again = here.joined(two).joined(one)
    assert here.digest == there.digest == again.digest
    for name in names:
        assert _owner(here, name, name) == _owner(there, name, name)


def test_a_circle_of_merges_has_one_owner() -> None:
    """Two merges at two collectors at once may point at each other; all agree on one of them."""
    register = Register(
        Customer(id_, Details(id_), 1, "one", into) for id_, into in ("ab", "bc", "cb")
    )
    assert [_owner(register, id_) for id_ in "abc"] == ["b", "b", "b"]


def test_the_register_survives_a_restart_and_damage(tmp_path: Path) -> None:
    """Changes are on the disk; a damaged file is set aside and learnt again from others."""
    registry = Registry(tmp_path, "one", lambda: 5)
    registry.put("acme", Details("Acme"))
    again = Registry(tmp_path, "one", lambda: 5)
    assert again.register.get("acme").details.name == "Acme"
    assert again.news(registry.register.digest) == []
    (tmp_path / "customers.json").write_bytes(b"[{")
    damaged = Registry(tmp_path, "one", lambda: 5)
    assert damaged.register.customers == {}
    assert (tmp_path / "customers.damaged").read_bytes() == b"[{"
    damaged.join(again.news(damaged.register.digest))
    assert damaged.register.digest == again.register.digest
