"""Quantities."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usage_operator import quantities


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", "1"),
        ("1Gi", "1073741824"),
        ("1G", "1000000000"),
        ("500m", "0.5"),
        ("1.5Ki", "1536"),
        ("1e3", "1000"),
        ("2E", "2000000000000000000"),
        (".5", "0.5"),
    ],
)
def test_reads_every_form(text: str, size: str) -> None:
    """Binary, decimal and exponent units give exact sizes."""
    assert quantities.parse(text) == Decimal(size)


@pytest.mark.parametrize("text", ["", "Gi", "1GiB", "1 Gi", "one", "1e", "--1", "1ee3"])
def test_refuses_what_is_none(text: str) -> None:
    """What is no quantity is an error that quotes it."""
    with pytest.raises(ValueError, match=r".*"):
        quantities.parse(text)
    assert not quantities.same(text, text)


@given(st.integers(1, 10**6))
def test_same_size_however_written(number: int) -> None:
    """A size equals itself in other units, and no other size."""
    assert quantities.same(f"{number}Gi", f"{number * 1024}Mi")
    assert quantities.same(f"{number}", f"{number * 1000}m")
    assert not quantities.same(f"{number}Gi", f"{number}G")
