"""What a period leaves to the next one: sessions still alive at the cut, and jobs not known yet.

Nothing more may ever come of such a session: then the next period estimates it by what stands here.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - decoders read it
from typing import Annotated, Self

import msgspec

from usage_collector.events import Outcome
from usage_collector.periods import microseconds, moment
from usage_collector.sessions import OLDEST, SECOND, Place, Use

_Seconds = Annotated[float, msgspec.Meta(ge=0, le=OLDEST / SECOND)]


class Carried(msgspec.Struct, frozen=True):
    """A session's last status, as a line of a manifest; ``id`` in hex."""

    id: str
    collector: str
    ledger: str
    position: int
    time: Annotated[datetime, msgspec.Meta(tz=True)] | None
    seconds: _Seconds
    speech_seconds: _Seconds
    warm_up: bool
    mode: str
    type: str
    language: str
    operating_point: str
    customer: str
    zone: str
    format: str

    @classmethod
    def of(cls, use: Use) -> Self:
        """The line of this status, whose duration must be known."""
        return cls(
            id=use.identity.hex(),
            collector=use.place.collector,
            ledger=use.place.ledger,
            position=use.place.position,
            time=None if use.time is None else moment(use.time),
            seconds=(use.duration or 0) / SECOND,
            speech_seconds=use.speech / SECOND,
            warm_up=use.warm_up,
            mode=use.mode,
            type=use.type,
            language=use.language,
            operating_point=use.operating_point,
            customer=use.customer,
            zone=use.zone,
            format=use.format,
        )

    @property
    def use(self) -> Use:
        """The status again; ValueError where the id is no hex."""
        return Use(
            identity=bytes.fromhex(self.id),
            transport=b"",
            place=Place(self.collector, self.ledger, self.position),
            kind=Outcome.STATUS,
            time=None if self.time is None else microseconds(self.time),
            duration=round(self.seconds * SECOND),
            speech=round(self.speech_seconds * SECOND),
            implausible=False,
            warm_up=self.warm_up,
            mode=self.mode,
            type=self.type,
            language=self.language,
            operating_point=self.operating_point,
            customer=self.customer,
            zone=self.zone,
            format=self.format,
        )


class Pending(msgspec.Struct, frozen=True):
    """A job that was announced, of unknown duration, as a line of a manifest; ``id`` in hex."""

    id: str
    collector: str
    ledger: str
    position: int
    customer: str

    @classmethod
    def of(cls, use: Use) -> Self:
        """The line of this announcement."""
        place = use.place
        return cls(use.identity.hex(), place.collector, place.ledger, place.position, use.customer)

    @property
    def use(self) -> Use:
        """The announcement again; ValueError where the id is no hex."""
        return Use(
            identity=bytes.fromhex(self.id),
            transport=b"",
            place=Place(self.collector, self.ledger, self.position),
            kind=Outcome.ANNOUNCED,
            time=None,
            duration=None,
            speech=0,
            implausible=False,
            warm_up=False,
            mode="",
            type="",
            language="",
            operating_point="",
            customer=self.customer,
            zone="",
            format="",
        )
