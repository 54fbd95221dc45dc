"""Plans, quotas and alerts as a file says them, read again when it changes.

The file is JSON, and every member may be left out::

    {"name": "metering/speech", "gets_per_second": 50, "posts_per_second": 10,
     "plans": {"startup": {"monthly_hours": 100, "concurrent_sessions": 5}},
     "quotas": {"acme": {"plan": "startup", "monthly_hours": 120}},
     "thresholds": [50, 80, 100],
     "webhooks": [{"url": "https://example.org/alerts", "header_file": "…", "ca_file": "…"}]}
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec

from usage_collector import files
from usage_collector.errors import InvalidInput
from usage_collector.targets.hook import Hook

if TYPE_CHECKING:
    from usage_collector.usage.customers import Register

_log = logging.getLogger(__name__)

_Hours = Annotated[float, msgspec.Meta(ge=0, le=1e9)] | None
_Sessions = Annotated[int, msgspec.Meta(ge=0, le=10**9)] | None
_Rate = Annotated[float, msgspec.Meta(ge=0, le=1e6)] | None
_Percent = Annotated[float, msgspec.Meta(gt=0, le=1000)]
_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=253)]


class Quota(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Hours a month and sessions at once; None: as many as they like."""

    monthly_hours: _Hours = None
    concurrent_sessions: _Sessions = None


class Given(Quota, frozen=True, forbid_unknown_fields=True):
    """A customer's quota; what it leaves out is that of its plan, and of the register."""

    plan: str = ""


class Webhook(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where alerts are sent; ``header_file`` holds one line, NAME: VALUE.

    ``insecure`` lets it be http.
    """

    url: _Text
    header_file: str | None = None
    ca_file: str | None = None
    insecure: bool = False

    def hook(self) -> Hook:
        """What sends to it; `InvalidInput` where the address cannot be used."""
        header, ca = (Path(one) if one else None for one in (self.header_file, self.ca_file))
        return Hook(self.url, header, ca, insecure=self.insecure)


PLANS = {"free": Quota(4, 2), "paid": Quota(6000, 20), "enterprise": Quota()}
"""As documented for the real-time service: an enterprise's quota is its own."""
NO_QUOTA = Quota()


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a file says; ``thresholds`` are in % of a quota.

    ``name`` tells fleets apart whose alerts go to one receiver. The rates are requests a second of
    each token; None: as the settings say.
    """

    name: Annotated[str, msgspec.Meta(max_length=253)] = ""
    gets_per_second: _Rate = None
    posts_per_second: _Rate = None
    plans: dict[_Text, Quota] = {}
    quotas: dict[_Text, Given] = {}
    thresholds: Annotated[tuple[_Percent, ...], msgspec.Meta(min_length=1, max_length=16)] = (
        80,
        100,
    )
    webhooks: Annotated[list[Webhook], msgspec.Meta(max_length=8)] = []

    @property
    def parts(self) -> tuple[float, ...]:
        """The thresholds as parts of a quota, the lowest first."""
        return tuple(sorted({percent / 100 for percent in self.thresholds}))

    def plan(self, name: str) -> Quota:
        """What a plan allows; one that is not known, or none, anything."""
        return self.plans.get(name) or PLANS.get(name, NO_QUOTA)

    def check_plan(self, name: str) -> None:
        """`InvalidInput` unless there is such a plan."""
        if name and name not in self.plans and name not in PLANS:
            known = ", ".join(sorted({*self.plans, *PLANS}))
            raise InvalidInput(f"plan: {name[:63]!r} is no plan", f"use one of {known}, or none")

    def quota(self, id_: str, register: Register) -> tuple[str, Quota]:
        """The plan and the quota of a customer: what this file says goes before the register."""
        given = self.quotas.get(id_) or Given()
        known = register.customers.get(id_)
        plan = given.plan or (known.details.plan if known else "")
        allowed = self.plan(plan)
        own = [(given.monthly_hours, given.concurrent_sessions)]
        if known:
            own.append((known.details.monthly_hours, known.details.concurrent_sessions))
        own.append((allowed.monthly_hours, allowed.concurrent_sessions))
        hours = next((hours for hours, _ in own if hours is not None), None)
        sessions = next((sessions for _, sessions in own if sessions is not None), None)
        return plan, Quota(hours, sessions)


NONE = Policy()
_decode = msgspec.json.Decoder(Policy).decode


class PolicyFile:
    """Keeps the newest policy that could be read; without a file, one that says nothing.

    Raises:
        InvalidInput: the file cannot be used; names the member.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.policy = NONE
        self.hooks: dict[str, Hook] = {}
        self._stamp = files.fingerprint([path])
        if path:
            self._load(path)

    def refresh(self) -> None:
        """Take over a file that changed; `InvalidInput` leaves everything as it was."""
        stamp = files.fingerprint([self._path])
        if self._path and stamp != self._stamp:
            self._stamp = stamp
            self._load(self._path)
            _log.info("limits were read again")

    def _load(self, path: Path) -> None:
        policy = _read(path)
        self.hooks = {one.url: one.hook() for one in policy.webhooks}
        self.policy = policy


def _read(path: Path) -> Policy:
    try:
        policy = _decode(path.read_bytes())
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidInput(
            f"limits file {path} cannot be used: {error}", "see Limits in docs/usage.md"
        ) from None
    for id_, given in policy.quotas.items():
        try:
            policy.check_plan(given.plan)
        except InvalidInput as error:
            raise InvalidInput(
                f"limits file {path}, quotas.{id_}: {error.detail}", error.hint
            ) from None
    return policy
