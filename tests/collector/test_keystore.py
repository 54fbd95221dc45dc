"""Keys made once and kept; old public keys stay known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from usage_collector.keystore import Keystore, expiry
from usage_collector.packages import read_public_keys

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 10, 1, tzinfo=UTC)


def test_keys_are_made_once(tmp_path: Path) -> None:
    """A second start finds the keys of the first, for this user alone."""
    first, second = (Keystore(tmp_path, None, None).keys() for _ in range(2))
    assert first.signing == second.signing
    assert first.public == second.public
    assert (tmp_path / "proof.pem").stat().st_mode & 0o777 == 0o600


def test_old_proof_keys_are_served_after_the_current_one(tmp_path: Path) -> None:
    """After a rotation both keys are there, the current one first."""
    given = tmp_path / "given.pem"
    other = Keystore(tmp_path / "other", None, None)
    given.write_bytes((tmp_path / "other" / "proof.pem").read_bytes())
    store = Keystore(tmp_path / "own", None, given)
    before = store.keys().public
    Keystore(tmp_path / "third", None, None)
    given.write_bytes((tmp_path / "third" / "proof.pem").read_bytes())
    store.refresh()
    served = tmp_path / "served.pem"
    served.write_bytes(store.proof_keys())
    assert read_public_keys(served) == [store.keys().public, before]
    assert before == other.keys().public != store.keys().public


def test_a_certificate_is_kept_until_it_nears_its_end(tmp_path: Path) -> None:
    """The same certificate comes back, and a new one before it expires."""
    store = Keystore(tmp_path, None, None)
    pair = store.certificate("host", NOW)
    made = pair.certificate.read_bytes()
    assert store.certificate("host", NOW + timedelta(days=100)).certificate.read_bytes() == made
    later = expiry(pair.certificate) - timedelta(days=10)
    assert store.certificate("host", later).certificate.read_bytes() != made
