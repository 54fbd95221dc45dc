"""Settings."""

import pytest

from usage_operator import errors, settings


def test_defaults() -> None:
    """Nothing has to be set."""
    read = settings.read({})
    assert read.namespaces == ()
    assert read.port == 8080
    assert read.collector_image.startswith("usage-collector:")


def test_namespaces() -> None:
    """Namespaces are separated by commas; a star means all."""
    assert settings.read({"USAGE_OPERATOR_NAMESPACES": " a, b ,"}).namespaces == ("a", "b")
    assert settings.read({"USAGE_OPERATOR_NAMESPACES": "*"}).all_namespaces


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HTTP_PORT", "http"),
        ("HTTP_PORT", "70000"),
        ("RESYNC_SECONDS", "0"),
        ("RESYNC_SECONDS", "nan"),
        ("LOG_FORMAT", "xml"),
        ("LOG_LEVEL", "loud"),
    ],
)
def test_a_bad_value_is_named(name: str, value: str) -> None:
    """An unusable value is an error that names the variable, the value and what is possible."""
    with pytest.raises(errors.InvalidSettings) as caught:
        settings.read({f"USAGE_OPERATOR_{name}": value})
    assert f"USAGE_OPERATOR_{name}" in str(caught.value)
    assert value in str(caught.value).lower()
    assert "give" in caught.value.hint
