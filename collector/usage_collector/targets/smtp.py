"""People's mailboxes, by way of a mail server (RFC 5321, RFC 8314 for TLS)."""

from __future__ import annotations

import re
import smtplib
import ssl
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from usage_collector.errors import DeliveryFailed, InvalidInput
from usage_collector.targets import letters
from usage_collector.targets import options as given

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from email.message import EmailMessage
    from pathlib import Path

    from usage_collector.targets.parcel import Parcel

_OPTIONS = frozenset({"from", "host", "port", "tls", "credentials", "ca-file", "megabytes"})
_PORTS = {"starttls": 587, "implicit": 465, "none": 25}
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+")
_TIMEOUT = 60.0
_MB = 1_000_000
_BODY = 64 * 1024
"""Bytes kept for the headers, the text and the HTML of a message."""
_ACCEPTED = (250, 251)


@dataclass(frozen=True, slots=True)
class Server:
    """How to reach and to convince the mail server."""

    host: str
    port: int
    tls: str
    context: ssl.SSLContext
    username: str | None = None
    password: str | None = field(default=None, repr=False)


class Mail:
    """Sends to fixed recipients; it cannot show what they got, receipts must."""

    def __init__(self, to: Sequence[str], sender: str, server: Server, limit: int) -> None:
        self._to = to
        self._sender = sender
        self._server = server
        self._limit = limit

    @property
    def name(self) -> str:
        """Its recipients."""
        return f"mailto:{','.join(self._to)}"

    def where(self, folder: str) -> str:  # noqa: ARG002
        """Its recipients: a mailbox has no folders."""
        return self.name

    def held(self, folder: str) -> Mapping[str, str] | None:  # noqa: ARG002
        """Nobody can tell."""
        return None

    def fetch(self, folder: str, name: str) -> bytes | None:  # noqa: ARG002
        """Nobody can tell."""
        return None

    def deliver(self, parcel: Parcel) -> list[str]:
        """Sends what receipts do not know of, as few messages as hold it, and notes each."""
        missing = parcel.missing()
        if not missing:
            return []
        sent: list[str] = []
        with self._told("cannot be reached"), self._connected() as smtp:
            room = min(self._limit, _size(smtp) or self._limit) - _BODY
            batches = letters.batches(parcel, room)
            for number, batch in enumerate(batches, 1):
                files = [path for path in batch if path in missing]
                if files:
                    self._send(smtp, parcel, files, (number, len(batches)))
                    parcel.note(files)
                    sent += [path.name for path in files]
        return sent

    def _send(
        self, smtp: smtplib.SMTP, parcel: Parcel, files: Sequence[Path], number: tuple[int, int]
    ) -> None:
        subject = letters.numbered(parcel.letter.subject, *number)
        message = letters.written(parcel.letter, subject, self._sender, self._to, files)
        message_id = letters.identity(self.name, parcel.folder, files, self._sender)
        self._post(smtp, message, message_id)

    def _post(self, smtp: smtplib.SMTP, message: EmailMessage, message_id: str) -> None:
        """All recipients or none: a message that only some got would be sent twice to them."""
        body = letters.dated(message, datetime.now(UTC), message_id)
        options = [f"size={len(body)}"] if smtp.has_extn("size") else []
        self._accepted(smtp.mail(self._sender, options), f"sender {self._sender}")
        answers = [(one, *smtp.rcpt(one)) for one in self._to]
        refused = [one for one in answers if one[1] not in _ACCEPTED]
        if refused:
            for_good = any(code >= 500 for _, code, _ in refused)
            words = "; ".join(f"{one}: {code} {_text(said)}" for one, code, said in refused)
            raise DeliveryFailed(
                f"{self.name}: the mail server refuses {words}",
                f"{'correct the address' if for_good else 'run it again later'}; "
                "nobody was sent anything",
            )
        try:
            self._accepted(smtp.data(body), "the message")
        except (smtplib.SMTPServerDisconnected, OSError) as error:
            raise DeliveryFailed(
                f"{self.name}: the mail server's answer was lost ({error})",
                f"the next run sends the message again, as {message_id}",
            ) from error

    def _accepted(self, answer: tuple[int, bytes], what: str) -> None:
        code, said = answer
        if code not in _ACCEPTED:
            raise DeliveryFailed(
                f"{self.name}: the mail server refuses {what}: {code} {_text(said)}", _hint(code)
            )

    @contextmanager
    def _connected(self) -> Iterator[smtplib.SMTP]:
        server = self._server
        if server.tls == "implicit":
            smtp: smtplib.SMTP = smtplib.SMTP_SSL(
                server.host, server.port, timeout=_TIMEOUT, context=server.context
            )
        else:
            smtp = smtplib.SMTP(server.host, server.port, timeout=_TIMEOUT)
        try:
            if server.tls == "starttls":
                smtp.starttls(context=server.context)
            smtp.ehlo_or_helo_if_needed()
            if server.username and server.password:
                smtp.login(server.username, server.password)
            yield smtp
        finally:
            # What it answers to a farewell takes nothing back that it said before.
            with suppress(smtplib.SMTPException, OSError):
                smtp.quit()
            smtp.close()

    @contextmanager
    def _told(self, otherwise: str) -> Iterator[None]:
        place = f"mail server {self._server.host}:{self._server.port}"
        try:
            yield
        except smtplib.SMTPAuthenticationError as error:
            raise DeliveryFailed(
                f"{self.name}: {place} refuses the credentials: "
                f"{error.smtp_code} {_text(error.smtp_error)}",
                "check USAGE_SMTP_USERNAME and USAGE_SMTP_PASSWORD",
            ) from None
        except smtplib.SMTPNotSupportedError as error:
            raise DeliveryFailed(
                f"{self.name}: {place}: {error}", "choose another tls (starttls, implicit, none)"
            ) from None
        except ssl.SSLCertVerificationError as error:
            raise DeliveryFailed(
                f"{self.name}: the certificate of {place} is not trusted: {error.verify_message}",
                "renew it, or give its CA (ca-file)",
            ) from None
        except smtplib.SMTPResponseException as error:
            raise DeliveryFailed(
                f"{self.name}: {place}: {error.smtp_code} {_text(error.smtp_error)}",
                _hint(error.smtp_code),
            ) from None
        except (smtplib.SMTPException, OSError) as error:
            raise DeliveryFailed(
                f"{self.name}: {place} {otherwise}: {error}", "check host, port and tls"
            ) from None


def _size(smtp: smtplib.SMTP) -> int | None:
    """The largest message that the server says it takes (RFC 1870); 0 means that it has none."""
    text = smtp.esmtp_features.get("size", "")
    return int(text) or None if text.isdigit() else None


def _text(said: bytes | str) -> str:
    text = said.decode(errors="replace") if isinstance(said, bytes) else said
    return " ".join(text.split())


_NO_ROOM = frozenset({452, 552})


def _hint(code: int) -> str:
    if code in _NO_ROOM:
        return "let the mailbox or the server take more, or send less at once (megabytes=)"
    return "run it again later" if code < 500 else "ask whoever runs the mail server"


def mail(text: str, environment: Mapping[str, str]) -> Mail:
    """`mailto:A@B,C@D?from=…&host=…&port=…&tls=starttls|implicit|none`; `InvalidInput` otherwise.

    What is not given comes from `USAGE_SMTP_HOST` and so on; user and password only from there, or
    from the files `USAGE_SMTP_USERNAME` and `USAGE_SMTP_PASSWORD` of the folder `credentials`.
    """
    parts = urlsplit(text)
    to = [unquote(one).strip() for one in parts.path.split(",") if one.strip()]
    options = given.parse(text, parts.query, _OPTIONS)
    for one in to or [""]:
        _check_address(text, "recipient", one)
    host = options.get("host") or given.secret(options, environment, "USAGE_SMTP_HOST")
    if not host:
        raise InvalidInput(
            f"destination {text!r} names no mail server", "add host=… or set USAGE_SMTP_HOST"
        )
    given.split(f"smtp://{host}")
    tls = options.get("tls") or environment.get("USAGE_SMTP_TLS") or "starttls"
    given.chosen(text, "tls", tls, tuple(_PORTS))
    user = given.secret(options, environment, "USAGE_SMTP_USERNAME")
    password = given.secret(options, environment, "USAGE_SMTP_PASSWORD")
    if (user is None) != (password is None):
        raise InvalidInput(
            f"destination {text!r} has only half of its credentials",
            "give both USAGE_SMTP_USERNAME and USAGE_SMTP_PASSWORD, or neither",
        )
    if user and tls == "none":
        raise InvalidInput(
            f"destination {text!r} would send the password in the clear", "use tls=starttls"
        )
    sender = options.get("from") or environment.get("USAGE_SMTP_FROM") or f"usage@{host}"
    _check_address(text, "from", sender)
    port = _number(text, "port", options.get("port") or environment.get("USAGE_SMTP_PORT"))
    context = ssl.create_default_context(cadata=given.ca(options))
    server = Server(host, port or _PORTS[tls], tls, context, user, password)
    limit = _number(text, "megabytes", options.get("megabytes"), 1000) or 25
    return Mail(to, sender, server, limit * _MB)


def _check_address(text: str, what: str, address: str) -> None:
    if not _ADDRESS.fullmatch(address):
        raise InvalidInput(
            f"{what} of destination {text!r} is {address!r}", "write addresses as NAME@HOST"
        )


def _number(text: str, name: str, value: str | None, most: int = 65535) -> int | None:
    if not value:
        return None
    if not (value.isascii() and value.isdigit() and 1 <= int(value) <= most):
        raise InvalidInput(
            f"{name} of destination {text!r} is {value!r}", f"use a number from 1 to {most}"
        )
    return int(value)
