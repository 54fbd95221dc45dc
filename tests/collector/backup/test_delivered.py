"""What was delivered, in a backup: kept with it, compared by its proof, and brought back."""

from __future__ import annotations

import gzip
import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.collector.backup.test_backup import backup, index, load, lose, restore
from tests.collector.processes import Collector, collectors, command, make_keys
from usage_collector.packages import Keys, manifest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    """One collector with 130 jobs."""
    with collectors(tmp_path, 1) as [one]:
        load(one, 130, seed=1)
        yield one


def export(collector: Collector, folder: Path) -> str:
    """Exports the month that it is; its name."""
    month, keys = f"{datetime.now(UTC):%Y-%m}", make_keys(folder)
    order = ("export-month", "--period", month, "--to", folder / "exports", "--json")
    done = command(*order, "--peers", collector.address, environment=keys)
    assert done.code == 0, done.err
    return month


def unpacked(data: bytes) -> bytes:
    """A file as people read it."""
    return gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data


@pytest.mark.parametrize("keyed", [False, True])
def test_what_was_delivered_is_compared_and_comes_back(
    collector: Collector, tmp_path: Path, keyed: bool
) -> None:
    """A proof makes each delivered file again; its manifest is with the collector afterwards.

    The keys that signed and sealed all that are in no file of the backup.
    """
    folder, key = tmp_path / "backups", tmp_path / "key"
    key.write_bytes(b"k" * 32)
    more = ("--key-file", key) if keyed else ()
    month = export(collector, tmp_path)
    load(collector, 30, seed=2)
    done = backup(collector, folder, "--verify", *more)
    verified = done.facts["collectors"][0]["verified"]
    assert (done.code, verified["ok"], verified["delivered_files"]) == (0, True, 1), done.err
    (kept,) = index(collector, folder)["manifests"]
    plain = (folder / collector.name / kept["file"]).read_bytes()
    stored = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    private = (tmp_path / "proof.pem").read_bytes().splitlines()[1]
    for secret in (b"k" * 32, private):
        assert not [one for one in map(unpacked, stored) if secret in one]
    assert plain.startswith(b"USAGEBK1" if keyed else b'{"header":')
    again = backup(collector, folder, *more)
    assert index(collector, folder)["manifests"] == [kept], again.err
    url = f"http://{collector.address}/v1/periods/{month}/manifest"
    before = httpx.get(url).content
    lose(collector)
    assert httpx.get(url).status_code == 404
    assert restore(collector, folder, *more).code == 0
    assert httpx.get(url).content == before


def test_a_backup_that_is_not_what_was_delivered_is_found(
    collector: Collector, tmp_path: Path
) -> None:
    """Another content, or positions that it lacks: the file is named; so is a forged manifest."""
    folder = tmp_path / "backups"
    month = export(collector, tmp_path)
    path = tmp_path / "exports" / month / "manifest.json"
    body = json.loads(path.read_bytes())["payload"]
    (line,) = body["files"]
    body["files"] += [line | {"name": "altered", "payload_sha256": "0" * 64}]
    body["files"] += [line | {"name": "longer", "last": line["last"] + 1}]
    keys = Keys.load(tmp_path / "hs512.key", tmp_path / "proof.pem")
    ours = manifest.signed(body, keys)
    forged = manifest.signed(body, replace(keys, proof=Ed25519PrivateKey.generate()))
    url = f"http://{collector.address}/v1/periods/{month}/manifest"
    for content, wrong in ((ours, 2), (forged, 3)):
        assert httpx.put(url, content=gzip.compress(content)).status_code == 204
        shutil.rmtree(folder, ignore_errors=True)
        proven = backup(collector, folder, "--verify")
        assert proven.code == 1
        found = proven.facts["collectors"][0]["verified"]["findings"]
        assert len(found) == wrong
        assert "altered was delivered with another content" in " ".join(found)
        assert "longer was delivered, and cannot be made" in " ".join(found)
