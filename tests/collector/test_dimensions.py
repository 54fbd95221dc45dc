"""What users add to events to tell their usage apart."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.collector.samples import array, event
from usage_collector import events
from usage_collector.events import crowded, dimensions

_GIVEN = st.dictionaries(st.text(max_size=300), st.text(max_size=300), max_size=40)


def _of(given_: object, **fields: object) -> dict[str, str]:
    (found,) = events.parse(event(1, dimensions=given_, **fields))
    return dimensions.read(found.dimensions)


@given(_GIVEN)
def test_any_names_and_texts_are_kept_within_bounds(given_: dict[str, str]) -> None:
    """So many of so many characters, whatever they hold, the same in any order."""
    found = dimensions.read(dimensions.text(given_))
    short = {n: t for n, t in sorted(given_.items())[: dimensions.MOST] if len(n) <= 256}
    assert len(found) <= dimensions.MOST
    for name, text in short.items():
        assert found[name] == (text if len(text) <= 256 else text[:255] + "…")
    assert dimensions.text(dict(reversed(given_.items()))) == dimensions.text(given_)
    assert dimensions.text(found) == dimensions.text(given_)


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ({"team": "a,b", "": "ü"}, {"team": "a,b", "": "ü"}),
        ({"team": 7, "cost": 1.5}, {"team": "7", "cost": "1.5"}),
        ({"team": None, "a": ["x"], "b": {}, "c": True, "d": "y"}, {"d": "y"}),
        ({"team": "\ud800"}, {"team": "\\ud800"}),
        ({}, {}),
        (None, {}),
        ("team", {}),
        (["team"], {}),
    ],
)
def test_what_is_no_text_is_left_out(given_: object, expected: dict[str, str]) -> None:
    """Numbers count as their text, as in all other fields; nothing refuses the event."""
    assert _of(given_) == expected
    (one, _) = events.parse(array([event(1, dimensions=given_), event(2)]))
    assert dimensions.read(one.dimensions) == expected


def test_a_cloud_event_has_those_of_its_data() -> None:
    """They stand where everything else that is counted stands."""
    data = json.loads(event(1, dimensions={"team": "a"}))
    value = {"specversion": "1.0", "id": "1", "source": "s", "type": "t", "data": data}
    (found,) = events.parse_cloud(json.dumps(value).encode())
    assert dimensions.read(found.dimensions) == {"team": "a"}


def test_an_event_of_very_many_values_has_them_too() -> None:
    """Unless they are the very many."""
    many = [1] * crowded.MANY
    assert _of({"type": "a", "team": 7}, more=many) == {"type": "a", "team": "7"}
    assert len(_of({str(n): 7 for n in range(crowded.MANY + 2)})) <= dimensions.MOST
