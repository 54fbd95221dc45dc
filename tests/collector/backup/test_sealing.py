"""Encrypted files."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from usage_collector.backup.sealing import PIECE, Key, Unsealed
from usage_collector.errors import Damaged, InvalidInput

if TYPE_CHECKING:
    from pathlib import Path

KEY, OTHER = Key(b"k" * 32), Key(b"o" * 32)
SIZES = st.sampled_from([0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 3 * PIECE + 7])


def sealed(plain: bytes) -> bytes:
    """An encrypted file."""
    return b"".join(KEY.seal(io.BytesIO(plain)))


def opened(data: bytes, key: Key = KEY) -> bytes:
    """What it holds."""
    file = Unsealed(key.opened(io.BytesIO(data), "it"))
    return b"".join(iter(lambda: file.read(1000), b""))


@given(SIZES)
@settings(max_examples=20, deadline=None)
def test_what_was_sealed_is_opened(size: int) -> None:
    """Of any length, it comes back as it was, and never stands in the file."""
    plain = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    data = sealed(plain)
    assert opened(data) == plain
    assert size < 32 or plain[:32] not in data
    assert data != sealed(plain)


@given(SIZES, st.data())
@settings(max_examples=60, deadline=None)
def test_any_change_is_noticed(size: int, data: st.DataObject) -> None:
    """A changed byte, a cut, something added or pieces that were swapped do not open."""
    file = sealed(b"x" * size)
    place = data.draw(st.integers(16, len(file) - 1))
    flipped = bytes([file[place] ^ 1])
    wrong = [file[:place] + flipped + file[place + 1 :], file[:place], file + b"\0"]
    if size > 2 * PIECE:
        step = PIECE + 16
        wrong.append(file[:32] + file[32 + step : 32 + 2 * step] + file[32 : 32 + step]
                     + file[32 + 2 * step :])  # fmt: skip
    for one in wrong:
        with pytest.raises(Damaged):
            opened(one)


def test_the_wrong_key_is_told_from_damage() -> None:
    """Another key is named, so that nobody takes the backup for broken."""
    with pytest.raises(InvalidInput, match=KEY.id):
        opened(sealed(b"x"), OTHER)
    with pytest.raises(Damaged, match="no encrypted"):
        opened(b"\x1f\x8b something else altogether, and long enough")


def test_short_and_missing_key_files_are_refused(tmp_path: Path) -> None:
    """The message names the file and how to make a good one."""
    short = tmp_path / "key"
    short.write_bytes(b"k" * 31 + b"\n")
    with pytest.raises(InvalidInput, match=r"31 bytes.*openssl"):
        Key.load(short)
    with pytest.raises(InvalidInput, match="No such file"):
        Key.load(tmp_path / "none")
    short.write_bytes(b"k" * 32 + b"\n")
    assert Key.load(short).id == KEY.id
