"""Asking all collectors at once what they hold."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from usage_collector.errors import NotFound, PeerUnavailable, UsageError
from usage_collector.monthly import plan
from usage_collector.monthly.fetching import Unproved
from usage_collector.packages.manifest import Gap
from usage_collector.peers import Peer, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from usage_collector.monthly.parts import Asking
    from usage_collector.peers import Status
    from usage_collector.periods import Period

_AT_ONCE = 8


def ask_all(stack: ExitStack, asking: Asking) -> tuple[list[tuple[Peer, Status]], list[Gap]]:
    """The collectors that answered, each once, in the order of their names; a gap for the others.

    Their connections last as long as the stack.
    """
    peers = [
        stack.enter_context(Peer(url, token=asking.token, tls=asking.tls)) for url in asking.peers
    ]
    answered: dict[str, Status] = {}
    gaps = []
    with at_once() as pool:
        for peer, asked in [(peer, pool.submit(peer.status)) for peer in peers]:
            try:
                answered[peer.url] = asked.result()
            except UsageError as error:
                asking.say(f"{peer.url}: {error}")
                gaps.append(gap_of(peer.url, error))
    left_out = plan.left_out(answered)
    for url, gap in left_out.items():
        asking.say(f"{url} leads to {answered[url].collector} again" if gap is None else str(gap))
        gaps += [gap] if gap else []
    usable = [
        (peer, answered[peer.url])
        for peer in peers
        if peer.url in answered and peer.url not in left_out
    ]
    return sorted(usable, key=lambda one: one[1].collector), gaps


@contextmanager
def at_once() -> Iterator[ThreadPoolExecutor]:
    """Threads to ask with; when interrupted, nobody waits for what they wait for."""
    pool = ThreadPoolExecutor(_AT_ONCE)
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def nobody(silent: Sequence[Gap]) -> PeerUnavailable:
    """That no collector could be asked, and why not."""
    why = "; ".join(map(str, silent))
    return PeerUnavailable(f"no collector answered: {why}", "check --peers and --token-file")


def gap_of(source: str, error: UsageError) -> Gap:
    """The same trouble has the same words on every run, so that a re-run gives the same bytes."""
    told = isinstance(error, Refused | Unproved | NotFound)
    return Gap(source, error.detail if told else plan.SILENT)


def exported_to(asking: Asking) -> Period | None:
    """The last period up to which no collector that answers owes any.

    `PeerUnavailable` when none answers.
    """
    with ExitStack() as stack:
        answered, silent = ask_all(stack, asking)
        if not answered:
            raise nobody(silent)
        return plan.exported_to([status for _, status in answered])
