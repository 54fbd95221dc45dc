"""Settings: one table, the environment, and flags that win."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from usage_collector import settings
from usage_collector.errors import InvalidInput


def test_defaults_need_nothing() -> None:
    """Without any variable there is a complete set of settings."""
    made = settings.load({}, {})
    assert (made.eats_port, made.pandas_port) == (9090, 8000)
    assert (made.eats_secure, made.pandas_secure) == (True, False)
    assert made.data_dir == Path("/data")
    assert made.name
    assert made.host is None


def test_flags_win_over_the_environment() -> None:
    """A flag of the same name overrides the variable; an empty variable is as if unset."""
    environment = {"EATS_PORT": "1", "USAGE_ZONE": "a", "USAGE_RETENTION_DAYS": ""}
    made = settings.load(environment, {"eats_port": "2", "zone": None})
    assert (made.eats_port, made.zone, made.retention_days) == (2, "a", 90)


def test_every_field_has_its_variable() -> None:
    """The table and the settings are the same set."""
    fields = {field.name for field in dataclasses.fields(settings.Settings)}
    assert fields == {variable.field for variable in settings.VARIABLES}


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("EATS_PORT", "70000"),
        ("EATS_PORT", "x"),
        ("EATS_SECURE", "maybe"),
        ("USAGE_RETENTION_DAYS", "0"),
        ("USAGE_DRAIN_SECONDS", "-1"),
        ("USAGE_DRAIN_SECONDS", "nan"),
        ("USAGE_LOG_FORMAT", "xml"),
        ("USAGE_KEEPALIVE_REQUESTS", "1.5"),
        ("USAGE_TLS_CERT_FILE", "/only/one"),
        ("PANDAS_PORT", "9090"),
        ("USAGE_WEBHOOKS_HEADERS_FILE", "/headers"),
        ("USAGE_WEBHOOKS_TLS_KEY_FILE", "/only/one"),
        ("USAGE_ASSEMBLYAI_URL", "http://api.assemblyai.com"),
        ("USAGE_ASSEMBLYAI_URL", "http://localhost:1"),
        ("USAGE_ASSEMBLYAI_URL", "https://"),
        ("USAGE_ASSEMBLYAI_URL", "https://user@host"),
        ("USAGE_ASSEMBLYAI_URL", "https://host/?a=b"),
        ("USAGE_ASSEMBLYAI_URL", "https://[x"),
        ("USAGE_ASSEMBLYAI_URL", "https://host:99999"),
        ("USAGE_ASSEMBLYAI_URL", "ftp://host"),
    ],
)
def test_a_bad_value_names_the_variable_and_the_remedy(name: str, bad: str) -> None:
    """The message says which variable, or flag, and what it may be."""
    with pytest.raises(InvalidInput, match=name) as raised:
        settings.load({name: bad}, {})
    assert raised.value.hint


def test_a_bad_flag_is_named_as_a_flag() -> None:
    """Who wrote a flag is told about the flag."""
    with pytest.raises(InvalidInput, match="--retention-days"):
        settings.load({}, {"retention_days": "x"})


def test_the_webhooks_port_matters_only_when_it_listens() -> None:
    """With the headers set it must be another one than the two others."""
    same = {"USAGE_WEBHOOKS_PORT": "8000"}
    assert settings.load(same, {}).webhooks_port == 8000
    files = {"USAGE_WEBHOOKS_HEADERS_FILE": "/h", "USAGE_ASSEMBLYAI_KEY_FILE": "/k"}
    with pytest.raises(InvalidInput, match="USAGE_WEBHOOKS_PORT"):
        settings.load(same | files, {})


@pytest.mark.parametrize(
    "url", ["https://api.eu.assemblyai.com/", "http://127.0.0.1:1", "http://[::1]"]
)
def test_the_api_is_asked_over_tls_or_on_this_host(url: str) -> None:
    """A slash at the end does no harm."""
    assert settings.load({"USAGE_ASSEMBLYAI_URL": url}, {}).assemblyai_url == url.rstrip("/")
