"""The register of customers on disk, and as collectors tell it each other."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

import msgspec

from usage_collector import files
from usage_collector.usage.customers import Customer, Register

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from usage_collector.usage.customers import Details

_log = logging.getLogger(__name__)

_decode = msgspec.json.Decoder(list[Customer]).decode


class Registry:
    """Keeps ``customers.json`` in that folder; changes are durable when they return.

    A file that cannot be read is set aside, and the register learnt from the other collectors.
    """

    def __init__(self, folder: Path, collector: str, now: Callable[[], int]) -> None:
        self._path = folder / "customers.json"
        self.collector = collector
        self._now = now
        self._lock = threading.Lock()
        self.register = self._read()

    def put(self, id_: str, details: Details) -> Customer:
        """Register or change a customer; see `Register.put`."""
        with self._lock:
            made = self.register.put(id_, details, self._now(), self.collector)
            self._keep(self.register.joined([made]))
        return made

    def merge(self, id_: str, into: str) -> Customer:
        """Let a customer take another's place; see `Register.merge`."""
        with self._lock:
            made = self.register.merge(id_, into, self._now(), self.collector)
            self._keep(self.register.joined([made]))
        return made

    def join(self, others: Sequence[Customer]) -> None:
        """Take in what another collector knows."""
        with self._lock:
            joined = self.register.joined(others)
            if joined is not self.register:
                self._keep(joined)

    def news(self, digest: str) -> list[Customer]:
        """All records for somebody with that digest; none where it is ours."""
        register = self.register
        return [] if digest == register.digest else list(register.customers.values())

    def _keep(self, register: Register) -> None:
        body = msgspec.json.encode(list(register.customers.values()))
        files.keep(self._path, body, "the customers")
        self.register = register

    def _read(self) -> Register:
        try:
            return Register(_decode(self._path.read_bytes()))
        except FileNotFoundError:
            return Register()
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            aside = self._path.with_suffix(".damaged")
            _log.error("%s cannot be read (%s) and is kept as %s", self._path, error, aside.name)
            self._path.rename(aside)
            return Register()
