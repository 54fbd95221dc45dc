"""Names."""

from hypothesis import given
from hypothesis import strategies as st

from usage_operator import naming

LABEL = st.from_regex(r"\A[a-z]([-a-z0-9]{0,38}[a-z0-9])?\Z")


@given(LABEL, LABEL)
def test_names_fit(name: str, zone: str) -> None:
    """Every name of a resource that the rules admit fits what Kubernetes admits."""
    names = naming.Names(name, "metering")
    if len(name) + 1 + len(zone) <= naming.MAX_SET_NAME:
        assert len(f"{names.zone(zone)}-0123456789") <= 63
    assert len(names.export) <= 52
    assert all(len(one) <= 63 for one in (names.reporting, names.ca_key, names.collector))


def test_no_zone_can_take_a_name_of_ours() -> None:
    """The suffix of every object of a resource is a reserved zone name."""
    names = naming.Names("speech", "metering")
    properties = [key for key, value in vars(naming.Names).items() if isinstance(value, property)]
    suffixes = {str(getattr(names, key)).removeprefix("speech").lstrip("-") for key in properties}
    assert suffixes - {""} <= naming.RESERVED_ZONES


def test_selector_is_part_of_the_labels() -> None:
    """What a component's objects are labelled with selects them."""
    names = naming.Names("speech", "metering")
    assert names.selector("collector", "a").items() <= names.labels("collector", "a").items()
