"""The files of a cut: consecutive, complete, and within their limits as written."""

from __future__ import annotations

import os

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.collector.samples import event
from usage_collector.export import files
from usage_collector.export.windows import weighed
from usage_collector.ledger import BATCH_JOB, Limits, Load
from usage_collector.packages import Contents, Keys, Run, gzipped, write

_ITEMS = st.lists(
    st.tuples(st.integers(2, 400), st.sampled_from([None, BATCH_JOB, 0, 5_000, 7_200_000])),
    max_size=80,
).map(lambda found: [files.Item(b"x" * size, weight) for size, weight in found])


@settings(deadline=None)
@given(_ITEMS, st.integers(1, 10), st.floats(0.5, 5), st.floats(0.004, 0.02))
def test_every_event_is_in_exactly_one_file_within_the_limits(
    items: list[files.Item], jobs: int, hours: float, megabytes: float
) -> None:
    """Files follow each other without a gap; a file over a limit is a single event."""
    limits = Limits(megabytes, jobs, hours)
    stretches = list(files.split(items, limits))
    assert sum(stretch.events for stretch in stretches) == len(items)
    position = 0
    for stretch in stretches:
        held = items[position : position + stretch.events]
        assert stretch.load == sum((weighed(item.weight) for item in held), Load())
        within = stretch.load.jobs <= jobs and stretch.load.hours <= hours
        assert within or stretch.events == 1
        position += stretch.events
    assert list(files.split(items, limits)) == stretches


def test_files_are_within_their_megabytes_as_written() -> None:
    """The gzip file of each stretch is at most as large as asked, and not much smaller."""
    raws = [event(i, container_id=os.urandom(40).hex()) for i in range(9000)]
    limits = Limits(0.3, 10**6, 10**6)
    stretches = list(files.split([files.Item(raw, None) for raw in raws], limits))
    assert len(stretches) == 3
    position = 0
    sizes = []
    for stretch in stretches:
        held = raws[position : position + stretch.events]
        contents = Contents(
            "c", "z", None, None, None, None, len(held), None, [Run("l", ((1, len(held)),))]
        )
        sizes.append(sum(map(len, gzipped(write(contents, held, _keys())))))
        position += stretch.events
    assert max(sizes) <= 300_000
    assert min(sizes[:-1]) >= 240_000


def _keys() -> Keys:
    return Keys(b"k" * 64, Ed25519PrivateKey.generate())
