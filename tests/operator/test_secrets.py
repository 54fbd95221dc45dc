"""Generated key material."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given
from hypothesis import strategies as st

from tests.operator.support import NOW, context
from usage_operator import errors
from usage_operator.manifests import pki, secrets

if TYPE_CHECKING:
    from usage_operator.manifests import Manifest

CA = pki.make_ca("test", NOW)
OTHER_CA = pki.make_ca("other", NOW)
NAMES = ["speech.metering.svc", "*.speech-eu-1a.metering.svc", "192.0.2.1"]
LEAF = pki.make_leaf(CA, NAMES, NOW)


def data(manifest: Manifest) -> secrets.Data:
    """Give what a Secret holds."""
    return secrets.decode(manifest)


def test_keys_are_fit_for_signing() -> None:
    """The HS512 secret is long enough and has no newline; the proof key is Ed25519."""
    made = data(secrets.keys(context(), {}))
    assert len(made["hs512.key"]) >= 64
    assert made["hs512.key"].strip() == made["hs512.key"]
    key = serialization.load_pem_private_key(made["proof.pem"], None)
    assert isinstance(key, ed25519.Ed25519PrivateKey)


@given(st.dictionaries(st.sampled_from(["hs512.key", "proof.pem", "more"]), st.binary(min_size=1)))
def test_existing_keys_are_kept(existing: dict[str, bytes]) -> None:
    """Whatever is there stays byte for byte; only what is missing is made."""
    made = data(secrets.keys(context(), existing))
    assert existing.items() <= made.items()
    assert {"hs512.key", "proof.pem"} <= set(made)


def test_tokens_stand_in_the_file() -> None:
    """The collectors' file has a line for each role, with the tokens that jobs and people get."""
    made = data(secrets.tokens(context(), {}))
    lines = made["tokens"].decode().splitlines()
    assert lines == [f"read {made['read'].decode()}", f"admin {made['admin'].decode()}"]
    assert made["read"] != made["admin"]
    assert data(secrets.tokens(context(), made)) == made


@pytest.mark.parametrize("lost", ["read", "admin", "tokens"])
def test_a_token_made_anew_is_told_to_collectors(lost: str) -> None:
    """Else no job would be let in any more; what else stands in the file is kept."""
    whole = data(secrets.tokens(context(), {}))
    whole["tokens"] += b"read somebody-elses"
    there = {key: value for key, value in whole.items() if key != lost}
    made = data(secrets.tokens(context(), there))
    lines = made["tokens"].decode().splitlines()
    assert {f"{role} {made[role].decode()}" for role in ("read", "admin")} <= set(lines)
    assert ("read somebody-elses" in lines) == (lost != "tokens")
    assert data(secrets.tokens(context(), made)) == made


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, None),
        ({"hs512.key": b"short\n"}, "hs512.key is shorter"),
        ({"proof.pem": b"-----BEGIN PRIVATE KEY-----\nx"}, "openssl genpkey -algorithm ed25519"),
        ({"proof.pem": CA.key}, "no Ed25519"),
    ],
)
def test_keys_that_collectors_would_not_start_with(
    changes: secrets.Data, words: str | None
) -> None:
    """They go on with what they have, and would not come back from their next restart."""
    found = secrets.keys_problem(data(secrets.keys(context(), {})) | changes)
    assert found is None if words is None else words in (found or "")


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        (b"# ours\n\nadmin secret\r\nread y", None),
        (b"secret", "line 1"),
        (b"admin secret\nowner y", "line 2"),
        (b"read secret\nadmin other", "no line in tokens"),
        (b"#", "no line in tokens"),
        (b"admin secret\xff", "UTF-8"),
    ],
)
def test_tokens_that_let_no_job_in(tokens: bytes, words: str | None) -> None:
    """The line is named, the token is not."""
    found = secrets.tokens_problem({"tokens": tokens, "admin": b"secret\n"})
    assert found is None if words is None else words in (found or "")
    assert "secret" not in (found or "")


def test_an_authority_is_made_once() -> None:
    """An existing authority is kept."""
    made = data(secrets.ca(context(), {}, NOW))
    assert data(secrets.ca(context(), made, NOW + dt.timedelta(days=300))) == made


@pytest.mark.parametrize(
    "existing",
    [
        {"ca.crt": CA.certificate},
        {"ca.crt": CA.certificate, "ca.key": OTHER_CA.key},
        {"ca.crt": b"nonsense", "ca.key": CA.key},
    ],
)
def test_a_damaged_authority_is_never_overwritten(existing: dict[str, bytes]) -> None:
    """What cannot be used is an error that names the Secret and the remedy."""
    with pytest.raises(errors.UnusableSecret, match=r"speech-ca-key.*restore it"):
        secrets.ca(context(), existing, NOW)


def certificate(existing: secrets.Data, **changed: Any) -> secrets.Data:
    """Give the certificate for what exists."""
    ca = data(secrets.ca(context(), {"ca.crt": CA.certificate, "ca.key": CA.key}, NOW))
    at, zones = changed.get("now", NOW), changed.get("zones", ["eu-1a"])
    return data(secrets.certificate(context(), existing, changed.get("ca", ca), zones, at))


def test_a_certificate_is_kept_while_it_is_good() -> None:
    """A reconcile does not renew; two thirds of its life later it does."""
    made = certificate({})
    assert certificate(made, now=NOW + dt.timedelta(days=59)) == made
    assert certificate(made, now=NOW + dt.timedelta(days=61)) != made


def test_a_certificate_follows_zones_and_authority() -> None:
    """New names and a new authority need a new certificate."""
    made = certificate({})
    assert certificate(made, zones=["eu-1a", "eu-1b"]) != made
    other = {"ca.crt": OTHER_CA.certificate, "ca.key": OTHER_CA.key}
    assert certificate(made, ca=other) != made


def test_the_certificate_covers_all_addresses() -> None:
    """Service, reporting Service and each collector can be reached by short and full names."""
    made = x509.load_pem_x509_certificate(certificate({})["tls.crt"])
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {
        "speech.metering.svc",
        "speech.metering.svc.cluster.local",
        "speech-reporting.metering.svc",
        "*.speech-eu-1a.metering.svc",
        "*.speech-eu-1a.metering.svc.cluster.local",
        "speech",
        "localhost",
    } <= set(names.get_values_for_type(x509.DNSName))


@pytest.mark.parametrize(
    ("pair", "names", "days", "words"),
    [
        (LEAF, NAMES, 0, None),
        (LEAF, ["x.speech-eu-1a.metering.svc"], 0, None),
        (LEAF, ["x.y.speech-eu-1a.metering.svc"], 0, "not valid for x.y"),
        (LEAF, ["192.0.2.2"], 0, "not valid for 192.0.2.2"),
        (LEAF, NAMES, -1, "is valid from"),
        (LEAF, NAMES, 91, "expired"),
        (pki.Pair(LEAF.certificate, CA.key), NAMES, 0, "does not belong"),
        (pki.Pair(b"", b""), NAMES, 0, "no readable PEM"),
    ],
)
def test_problems_of_a_certificate(
    pair: pki.Pair, names: list[str], days: int, words: str | None
) -> None:
    """Names, life and key are checked, wildcards for one label."""
    found = pki.problem(pair, names, NOW + dt.timedelta(days=days))
    assert found is None if words is None else words in str(found)


def test_the_bundle_holds_each_certificate_once() -> None:
    """Our authority comes first; what a user's Secret brings is added."""
    ca = {"ca.crt": CA.certificate}
    made = secrets.bundle(context(), ca, [OTHER_CA.certificate, CA.certificate])
    found = x509.load_pem_x509_certificates(made["data"]["ca.crt"].encode())
    assert [one.subject.rfc4514_string() for one in found] == ["CN=test", "CN=other"]


def test_a_chain_must_end_at_a_root_that_clients_get() -> None:
    """With its authority as ca.crt, or as the last of the chain, a certificate is trusted."""
    leaf = pki.make_leaf(CA, ["a"], NOW).certificate
    other = pki.make_ca("other", NOW).certificate
    assert pki.stranger(leaf, CA.certificate) is None
    assert pki.stranger(leaf + CA.certificate, b"") is None
    assert pki.stranger(CA.certificate, b"") is None
    assert pki.stranger(leaf, b"") == "CN=test"
    assert pki.stranger(leaf, other) == "CN=test"
    assert pki.stranger(leaf + CA.certificate, other) == "CN=test"
    assert "no readable PEM" in str(pki.stranger(leaf, b"x"))
