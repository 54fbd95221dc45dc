"""Files as emails: how many, what is in each, and what identifies it. Pure.

Sizes are those of messages as they are sent: attachments in base64, headers counted.
"""

from __future__ import annotations

import hashlib
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from typing import TYPE_CHECKING

from usage_collector.errors import DeliveryFailed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from usage_collector.targets.parcel import Letter, Parcel

_LINE_IN, _LINE_OUT = 57, 78
"""Bytes that a line of base64 stands for, and its own with the line's end (RFC 2045)."""
_PART_HEADERS = 400
_KINDS = {"gz": "application/gzip", "json": "application/json", "csv": "text/csv"}


def weight(size: int, name: str) -> int:
    """Bytes that a file of that size takes as an attachment, at most."""
    return -(-size // _LINE_IN) * _LINE_OUT + _PART_HEADERS + 3 * len(name)


def batches(parcel: Parcel, room: int) -> list[list[Path]]:
    """The files of each message, in order, by how much fits in ``room`` bytes.

    What came with earlier revisions takes no part. The same parcel always gives the same batches,
    whatever of them has arrived, so that messages keep their numbers. `DeliveryFailed` names a
    file that fits in none.
    """
    if room <= 0:
        raise DeliveryFailed(
            "the mail server takes messages that have no room for attachments",
            "let it take larger ones, or deliver to a bucket or by HTTPS",
        )
    found: list[list[Path]] = []
    left = 0
    for path in parcel.files:
        if path.name in parcel.settled:
            continue
        need = weight(path.stat().st_size, path.name)
        if need > room:
            raise DeliveryFailed(
                f"{path.name} takes {need} bytes as an attachment, where a message has room for "
                f"{room}",
                "make smaller files (--megabytes), or deliver to a bucket or by HTTPS too",
            )
        if need > left or not found:
            found.append([])
            left = room
        found[-1].append(path)
        left -= need
    return found


def identity(destination: str, folder: str, files: Sequence[Path], sender: str) -> str:
    """The Message-ID of these very files for these recipients: the same when sent again."""
    digest = hashlib.sha256(f"{destination}\n{folder}\n".encode())
    for path in files:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest() + path.name.encode())
    domain = sender.rpartition("@")[2]
    return f"<usage-{folder}-{digest.hexdigest()[:32]}@{domain}>"


def numbered(subject: str, number: int, total: int) -> str:
    """The subject of one message of several."""
    return f"{subject} ({number}/{total})" if total > 1 else subject


def written(
    letter: Letter, subject: str, sender: str, to: Sequence[str], files: Sequence[Path]
) -> EmailMessage:
    """The message without its date and Message-ID: text, HTML, attachments."""
    message = EmailMessage(policy=SMTP)
    message["Subject"] = subject
    message["From"] = Address(addr_spec=sender)
    message["To"] = [Address(addr_spec=one) for one in to]
    message["Auto-Submitted"] = "auto-generated"
    listed = "\n".join(f"  {path.name}" for path in files)
    message.set_content(f"{letter.text}\nAttached:\n{listed}\n", cte="quoted-printable")
    message.add_alternative(letter.html, subtype="html", cte="quoted-printable")
    for path in files:
        kind = _KINDS.get(path.name.rsplit(".", 1)[-1], "text/html")
        main, _, sub = kind.partition("/")
        message.add_attachment(path.read_bytes(), maintype=main, subtype=sub, filename=path.name)
    return message


def dated(message: EmailMessage, now: datetime, message_id: str) -> bytes:
    """The message as it is sent."""
    message["Date"] = now
    message["Message-ID"] = message_id
    return message.as_bytes()
