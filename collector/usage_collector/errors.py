"""What can go wrong, as a small tree. Every error says what to do about it."""

from __future__ import annotations


class UsageError(Exception):
    """Something the caller can act on.

    ``detail`` says what is wrong and where; ``hint`` says what to do about it.
    """

    def __init__(self, detail: str, hint: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.detail}: {self.hint}" if self.hint else self.detail


class InvalidInput(UsageError):
    """A value given from outside cannot be used; the detail names the field."""


class UnsupportedEncoding(InvalidInput):
    """A request body is encoded in a way that is not understood."""


class TooLarge(UsageError):
    """More was sent or asked for than one request may hold.

    ``windows`` lists windows that do fit, as ``{since, until, count}``, where that is known.
    """

    def __init__(
        self, detail: str, hint: str = "", windows: list[dict[str, object]] | None = None
    ) -> None:
        super().__init__(detail, hint)
        self.windows = windows or []


class TooSlow(UsageError):
    """What was announced did not arrive in time; sending it again may work."""


class NotFound(UsageError):
    """What was asked for is not kept here."""


class Conflict(UsageError):
    """The request contradicts what was fixed before."""


class Unauthenticated(UsageError):
    """No token, or one that is not known."""


class UnknownSender(Unauthenticated):
    """A notification does not carry the secret header that it is known by."""


class Forbidden(UsageError):
    """A known caller without the role that this needs."""


class TooMany(UsageError):
    """More requests than a client may send; after ``seconds`` the next one is welcome."""

    def __init__(self, detail: str, hint: str, seconds: float) -> None:
        super().__init__(detail, hint)
        self.seconds = seconds


class StorageUnavailable(UsageError):
    """Nothing can be made durable at the moment; trying again later may work."""


class Damaged(UsageError):
    """Stored bytes are not what was written."""


class PeerUnavailable(UsageError):
    """Another collector gave no usable answer."""


class VendorUnavailable(UsageError):
    """A vendor gave no usable answer.

    ``seconds``: when it wants to be asked again, where it said so. ``refused``: it will hardly
    answer otherwise before somebody does something. ``general``: it would say the same whatever
    it is asked for.
    """

    def __init__(
        self,
        detail: str,
        hint: str,
        *,
        seconds: float | None = None,
        refused: bool = False,
        general: bool = False,
    ) -> None:
        super().__init__(detail, hint)
        self.seconds = seconds
        self.refused = refused
        self.general = general


class DeliveryFailed(UsageError):
    """A destination did not take a file."""
