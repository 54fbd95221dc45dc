"""What can go wrong, as a small tree. Every error says what to do about it."""

from __future__ import annotations


class OperatorError(Exception):
    """Something an operator of the system can act on.

    ``detail`` says what is wrong and where; ``hint`` says what to do about it.
    """

    def __init__(self, detail: str, hint: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.detail}: {self.hint}" if self.hint else self.detail


class InvalidSettings(OperatorError):
    """The operator's own environment or flags cannot be used."""


class InvalidSpec(OperatorError):
    """A resource asks for something that cannot be made; each problem names its field."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class UnusableSecret(OperatorError):
    """A Secret holds something else than it should; it is left as it is."""


class ApiError(OperatorError):
    """The API server gave no usable answer. ``retry_after`` is in seconds, None if not said."""

    def __init__(self, detail: str, hint: str = "", retry_after: float | None = None) -> None:
        super().__init__(detail, hint)
        self.retry_after = retry_after


class ApiUnavailable(ApiError):
    """No answer, or one that says to come back later (429, 5xx, time-outs, cut connections)."""


class Failing(ApiUnavailable):
    """The API server failed over what was sent (500), as where an admission webhook is away."""


class Rejected(ApiError):
    """The API server refuses what was sent as it is (400, 422, and refusals of admission)."""


class Forbidden(ApiError):
    """The operator's service account lacks a right (401, 403)."""


class NotFound(ApiError):
    """The object, or its kind, does not exist."""


class Expired(ApiError):
    """The API server does not know the version asked for any more (410): list anew."""


class NotLeading(ApiError):
    """Another operator may work by now: nothing is written any more."""


class LeaseLost(OperatorError):
    """Another operator works now, or nobody can tell; this one has stopped."""


class WatchLost(OperatorError):
    """Nobody tells of changes of the resources any more; this operator has stopped."""


class Conflict(ApiError):
    """The object is not as it was when it was read; reading again resolves it."""
