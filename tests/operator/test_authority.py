"""The certificate authority's life."""

from __future__ import annotations

import datetime as dt

from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.operator.support import NOW, context
from usage_operator.manifests import authority, pki, secrets

LIFE = dt.timedelta(days=300)
DAY = dt.timedelta(days=1)


def step(data: authority.Data, day: float) -> authority.Data:
    """Take the step of a day."""
    return authority.advance(data, "test", NOW + day * DAY, LIFE)


def test_a_successor_is_published_before_it_signs() -> None:
    """It is made at two thirds, signs a week later, and the old one goes after another week."""
    first = authority.made("test", NOW, LIFE)
    assert step(first, 199) == first
    both = step(first, 201)
    assert both["ca.crt"] == first["ca.crt"]
    assert len(authority.trusted(both)) == 2
    assert step(both, 207) == both
    second = step(both, 209)
    assert second["ca.crt"] == both["next.crt"]
    assert second["ca.key"] == both["next.key"]
    assert authority.trusted(second) == [both["next.crt"], first["ca.crt"]]
    assert step(second, 214) == second
    alone = step(second, 216)
    assert authority.trusted(alone) == [second["ca.crt"]]
    assert step(alone, 216 + 180) == alone


def test_an_operator_that_was_away_too_long_begins_anew() -> None:
    """An authority that expired is replaced at once, for nobody trusts it any more."""
    first = authority.made("test", NOW, LIFE)
    late = step(first, 301)
    assert late["ca.crt"] != first["ca.crt"]
    assert authority.problem(late) is None
    assert step(step(first, 299), 301)["ca.crt"] != first["ca.crt"]


def test_a_successor_that_was_damaged_is_made_again() -> None:
    """Nothing depends on it yet."""
    both = step(authority.made("test", NOW, LIFE), 201)
    mended = step(both | {"next.key": b"x"}, 202)
    assert mended["next.crt"] != both["next.crt"]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(0.05, 2.5), min_size=60, max_size=60))
def test_whoever_learns_in_time_is_never_refused(pauses: list[float]) -> None:
    """At any moment the leaf in use is signed by one that clients knew of days before, and know.

    The operator looks at irregular times. Clients learn of changes within four days, collectors
    take a new certificate up within four days.
    """
    where = context()
    slow = 4 * DAY
    short = LIFE / 3  # so that a few rotations happen
    data: authority.Data = {}
    leaf: secrets.Data = {}
    told: list[tuple[dt.datetime, list[bytes]]] = []
    used: list[tuple[dt.datetime, bytes]] = []
    now = NOW
    for pause in pauses:
        now += pause * 2 * DAY
        data = (
            authority.advance(data, "test", now, short)
            if data
            else authority.made("test", now, short)
        )
        leaf = secrets.decode(secrets.certificate(where, leaf, data, ["eu-1a"], now))
        told.append((now, authority.trusted(data)))
        used.append((now, leaf["tls.crt"]))
        knows = [bundle for at, bundle in told if at <= now - slow][-1:] or [told[0][1]]
        serves = [one for at, one in used if at >= now - slow]
        before = [one for at, one in used if at < now - slow][-1:]
        for bundle in (*knows, told[-1][1]):
            assert all(_trusted(one, bundle) for one in before + serves)


def _trusted(leaf: bytes, bundle: list[bytes]) -> bool:
    return pki.stranger(leaf, b"".join(bundle)) is None


def test_short_lives_are_kept() -> None:
    """A certificate lives as long as was asked for, but never longer than its authority."""
    ca = pki.make_ca("test", NOW, dt.timedelta(minutes=3))
    leaf = pki.make_leaf(ca, ["a"], NOW, dt.timedelta(minutes=2))
    assert pki.span(leaf.certificate).life == dt.timedelta(minutes=2)
    longer = pki.make_leaf(ca, ["a"], NOW + dt.timedelta(minutes=1), dt.timedelta(days=9))
    found = x509.load_pem_x509_certificate(longer.certificate)
    assert found.not_valid_after_utc == NOW + dt.timedelta(minutes=3)
