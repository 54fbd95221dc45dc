"""How large messages are as they are sent."""

from __future__ import annotations

import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.collector.places import LOGIN, Mailbox, certificate, mail_server
from usage_collector.report import as_letter
from usage_collector.targets import Letter, Parcel, destination, letters

NOW = datetime(2026, 10, 30, tzinfo=UTC)
BODY = 64 * 1024
"""What a message may take beside its attachments."""
LETTER = Letter("Usage 2026-10", "12 hours", "<p>12 hours</p>")
_NAMES = st.text("abcdefgh0123456789-", min_size=1, max_size=150)


@given(st.dictionaries(_NAMES, st.integers(0, 30_000), max_size=8), st.integers(0, 20_000))
@settings(max_examples=50, deadline=None)
def test_messages_hold_what_fits_and_no_more(sizes: dict[str, int], more: int) -> None:
    """Every file once and in order; as sent no message is larger than it may be."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{name}.gz" for name in sizes]
        for path, size in zip(files, sizes.values(), strict=True):
            path.write_bytes(os.urandom(size))
        room = max((letters.weight(p.stat().st_size, p.name) for p in files), default=1) + more
        batches = letters.batches(Parcel(folder="2026-10", files=files, letter=LETTER), room)
        assert [path for batch in batches for path in batch] == files
        for batch in batches:
            message = letters.written(LETTER, "Usage (1/9)", "u@x.org", ["a@x.org"], batch)
            assert len(letters.dated(message, NOW, f"<{'i' * 60}@x.org>")) <= room + BODY


def test_many_gaps_leave_room_for_attachments() -> None:
    """A letter names the first of them, and how many more there are."""
    gaps = [{"collector": f"c-{n}", "reason": "x" * 300} for n in range(1000)]
    subject, text, html = as_letter({"period": "2026-10", "revision": 1, "gaps": gaps}, "kid")
    message = letters.written(Letter(subject, text, html), subject, "u@x.org", ["a@x.org"], [])
    assert len(message.as_bytes()) < BODY
    assert "c-0: " in text
    assert "980 more" in text
    assert "980 more" in html


@pytest.mark.timeout(300)
def test_a_package_of_18_mb_is_an_attachment_of_25(tmp_path: Path) -> None:
    """A server that takes more gets messages of 25 MB at most, each package in one piece."""
    files = [tmp_path / f"{number}.json.gz" for number in range(3)]
    for path, size in zip(files, (18_000_000, 500_000, 100), strict=True):
        path.write_bytes(os.urandom(size))
    box = Mailbox()
    with mail_server(certificate(tmp_path, "good"), box) as options:
        place = destination(f"mailto:a@example.org?{options}", LOGIN)
        place.deliver(Parcel(folder="2026-10", files=files, letter=LETTER))
    sizes = [len(one.as_bytes()) for one in box.got]
    assert 24_000_000 < sizes[0] <= 25_000_000
    assert [one["Subject"] for one in box.got] == ["Usage 2026-10 (1/2)", "Usage 2026-10 (2/2)"]
    assert [name for name, _ in box.files()] == [path.name for path in files]
    assert dict(box.files()) == {path.name: path.read_bytes() for path in files}
