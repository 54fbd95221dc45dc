"""Who is billed: customers, and which events are theirs.

A record is replaced as a whole by a later one of the same customer, so that collectors which tell
each other theirs come to the same register in any order. Nothing is ever removed from it.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Annotated

import msgspec

from usage_collector.errors import Conflict, InvalidInput, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_CUSTOMERS = 10_000
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
_Names = Annotated[list[_Name], msgspec.Meta(max_length=1000)]
_Id = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]


class Details(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What people say of a customer.

    Events are its where their `customer_id` is its id or one of ``customer_ids``, or, where that
    names nobody, where their `contract_id` is one of ``contracts``. ``plan`` says what it may use,
    and the figures do in its place.
    """

    name: _Name
    customer_ids: _Names = []
    contracts: _Names = []
    archived: bool = False
    plan: Annotated[str, msgspec.Meta(max_length=253)] = ""
    monthly_hours: Annotated[float, msgspec.Meta(ge=0, le=1e9)] | None = None
    concurrent_sessions: Annotated[int, msgspec.Meta(ge=0, le=10**9)] | None = None


class Customer(msgspec.Struct, frozen=True):
    """A customer as the register keeps it; ``changed`` is when (µs) and ``by`` at which collector.

    ``merged_into`` is the customer that has taken its place.
    """

    id: _Id
    details: Details
    changed: int
    by: str
    merged_into: str | None = None

    @property
    def version(self) -> tuple[int, str, bytes]:
        """The greater one replaces the other, whoever hears of them in which order."""
        return self.changed, self.by, _encode(self)


_encode = msgspec.json.Encoder(order="deterministic").encode
_details = msgspec.json.Decoder(Details).decode


def read_details(body: bytes) -> Details:
    """What was sent of a customer; `InvalidInput` names the field."""
    try:
        return _details(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(
            f"the customer cannot be read: {error}",
            'send {"name": "…", "customer_ids": ["…"], "contracts": ["…"], "archived": false}',
        ) from None


class Register:
    """All customers, as they are known at one moment."""

    def __init__(self, customers: Iterable[Customer] = ()) -> None:
        self.customers = {customer.id: customer for customer in customers}
        self._by_field: dict[str, str] = {}
        self._by_contract: dict[str, str] = {}
        # Two collectors may have given a name away at once; then the first id has it everywhere.
        for customer in sorted(self.customers.values(), key=lambda one: one.id, reverse=True):
            self._by_field.update(dict.fromkeys(customer.details.customer_ids, customer.id))
            self._by_contract.update(dict.fromkeys(customer.details.contracts, customer.id))
        self._by_field.update({id_: id_ for id_ in self.customers})

    @property
    def digest(self) -> str:
        """The same for the same records, and for no others."""
        records = [_encode(self.customers[id_]) for id_ in sorted(self.customers)]
        return hashlib.sha256(b"\n".join(records)).hexdigest()[:32]

    def of(self, field: str, contract: str) -> Customer | None:
        """Whose an event with this `customer_id` and `contract_id` is; None: nobody's we know."""
        id_ = self._by_field.get(field) or self._by_contract.get(contract)
        path: list[str] = []
        while id_ is not None and id_ not in path:
            path.append(id_)
            customer = self.customers[id_]
            if customer.merged_into not in self.customers:
                return customer
            id_ = customer.merged_into
        # A circle, which two merges at two collectors may make: the first id in it stands for all.
        return None if id_ is None else self.customers[min(path[path.index(id_) :])]

    def asked(self, id_: str) -> Customer:
        """The customer with that id, or the one that has taken its place.

        Raises:
            InvalidInput: there is none.
        """
        if id_ not in self.customers:
            raise InvalidInput(
                f"customer: {id_[:63]!r} is not registered", "use an id of GET /v1/customers"
            )
        return self.of(id_, "") or self.customers[id_]

    def get(self, id_: str) -> Customer:
        """The customer with that id; `NotFound` when there is none."""
        if id_ not in self.customers:
            raise NotFound(f"there is no customer {id_[:63]!r}", "see GET /v1/customers")
        return self.customers[id_]

    def put(self, id_: str, details: Details, now: int, by: str) -> Customer:
        """The record of a new or changed customer.

        Raises:
            InvalidInput: the id cannot be one.
            Conflict: a customer id or contract is another's, or there are too many.
        """
        for name in details.customer_ids:
            self._free(id_, "customer id", name, self._by_field.get(name))
        for name in details.contracts:
            self._free(id_, "contract", name, self._by_contract.get(name))
        self._free(id_, "customer id", id_, self._by_field.get(id_))
        old = self.customers.get(id_)
        # A pattern's end is before a last line break, too; what is kept already stays readable.
        if old is None and id_.endswith("\n"):
            raise _no_id(id_)
        if old is None and len(self.customers) >= MAX_CUSTOMERS:
            raise Conflict(f"there are {MAX_CUSTOMERS} customers already", "merge some")
        made = Customer(id_, details, now, by, old.merged_into if old else None)
        return self._later(made, old)

    def merge(self, id_: str, into: str, now: int, by: str) -> Customer:
        """The record of a customer whose place another takes; itself again: merged no longer.

        Raises:
            NotFound: there is no such customer.
            InvalidInput: there is no such other one.
            Conflict: that other one is itself merged into this one.
        """
        old = self.get(id_)
        if into not in self.customers:
            hint = "use an id of GET /v1/customers"
            raise InvalidInput(f"into: {into[:63]!r} is not registered", hint)
        target = self.customers[into]
        if into != id_:
            seen = {into}
            while target.merged_into in self.customers and target.merged_into not in seen:
                target = self.customers[target.merged_into]
                seen.add(target.id)
            if id_ in seen:
                raise Conflict(f"{into} is merged into {id_} itself", "undo that first")
        merged_into = None if into == id_ else into
        return self._later(Customer(id_, old.details, now, by, merged_into), old)

    def joined(self, others: Iterable[Customer]) -> Register:
        """With the records of another collector; this one itself when they say nothing new."""
        found = dict(self.customers)
        for other in others:
            known = found.get(other.id)
            if known is None or other.version > known.version:
                found[other.id] = other
        return self if found == self.customers else Register(found.values())

    def _free(self, id_: str, what: str, name: str, owner: str | None) -> None:
        if owner is not None and owner != id_:
            raise Conflict(f"{what} {name!r} is that of {owner}", "take it from there, or merge")

    @staticmethod
    def _later(made: Customer, old: Customer | None) -> Customer:
        """The same, later than what it replaces even where the clock went back."""
        try:
            made = msgspec.convert(msgspec.to_builtins(made), Customer)
        except msgspec.ValidationError:
            raise _no_id(made.id) from None
        if old is None or made.changed > old.changed:
            return made
        return msgspec.structs.replace(made, changed=old.changed + 1)


def _no_id(id_: str) -> InvalidInput:
    return InvalidInput(
        f"customer {id_[:63]!r} is no id",
        "use up to 63 letters, digits, dots, dashes and underscores",
    )


NOBODY = Register()
