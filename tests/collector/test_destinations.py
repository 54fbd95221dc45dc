"""Delivering to a real S3 server and a real mail server, and how their trouble is told."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.collector.debian import lacking
from tests.collector.places import KEYS, LOGIN, Mailbox, certificate, mail_server, s3_server
from usage_collector.errors import DeliveryFailed, InvalidInput
from usage_collector.targets import Letter, Parcel, destination, sha256

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

# The S3 server's program is built by the first test that needs it, once on each machine.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[str]:
    """The address of an S3 server's bucket; `tmp_path/s3/months` holds its objects."""
    with s3_server(tmp_path / "s3") as url:
        yield f"s3://months/usage?endpoint={url}"


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Five packages of 60 kB and a manifest."""
    made = [tmp_path / f"{number}.json.gz" for number in range(5)]
    for path in made:
        path.write_bytes(os.urandom(60_000))
    (tmp_path / "manifest.json").write_bytes(b"{}")
    return [*made, tmp_path / "manifest.json"]


def parcel(files: list[Path], **more: Any) -> Parcel:
    """These files as October."""
    letter = Letter("Usage 2026-10", "12 hours", "<p>12 hours</p>")
    return Parcel(folder="2026-10", files=files, letter=letter, **more)


def test_a_bucket_gets_each_file_once_and_shows_it(
    bucket: str, tmp_path: Path, files: list[Path]
) -> None:
    """What is there is not sent again, reads back as it was, and is never overwritten."""
    place = destination(bucket, KEYS)
    assert place.held("2026-10") == {}
    assert place.deliver(parcel(files)) == [path.name for path in files]
    assert place.deliver(parcel(files)) == []
    assert (tmp_path / "s3/months/usage/2026-10/0.json.gz").read_bytes() == files[0].read_bytes()
    assert place.fetch("2026-10", "manifest.json") == b"{}"
    assert place.fetch("2026-10", "nothing") is None
    assert set(place.held("2026-10") or ()) == {path.name for path in files}
    files[-1].write_bytes(b"{other}")
    with pytest.raises(DeliveryFailed, match="another file"):
        place.deliver(parcel(files))
    assert place.fetch("2026-10", "manifest.json") == b"{}"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "SignatureDoesNotMatch.*check AWS_SECRET_ACCESS_KEY"),
        ({"AWS_ACCESS_KEY_ID": "nobody"}, "No user exists"),
    ],
)
def test_a_bucket_says_what_is_wrong_with_credentials(
    bucket: str, files: list[Path], change: dict[str, str], told: str
) -> None:
    """In the server's own words, with what to do, and without the secret."""
    with pytest.raises(DeliveryFailed, match=told) as failed:
        destination(bucket, KEYS | change).deliver(parcel(files))
    assert "secret-of-s3" not in str(failed.value)


def test_a_bucket_that_is_not_there_is_named(bucket: str) -> None:
    """And how to mend it."""
    with pytest.raises(DeliveryFailed, match=r"NoSuchBucket.*make the bucket"):
        destination(bucket.replace("months", "others"), KEYS).held("2026-10")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[None]:
    """The S3 server keeps its objects on a file system of 128 KiB."""
    disk = tmp_path / "s3"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(disk)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        lacking(f"no file system can be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.usefixtures("small_disk")
def test_a_full_bucket_is_told_and_completed_later(
    request: pytest.FixtureRequest, tmp_path: Path, files: list[Path]
) -> None:
    """What fits is there whole, the rest comes with the next run."""
    place = destination(request.getfixturevalue("bucket"), KEYS)
    with pytest.raises(DeliveryFailed, match=r"No space left on device.*: make room"):
        place.deliver(parcel(files))
    there = place.held("2026-10") or {}
    assert 0 < len(there) < len(files)
    subprocess.run(["mount", "-o", "remount,size=2m", tmp_path / "s3"], check=True)
    assert place.deliver(parcel(files)) == [each.name for each in files[len(there) :]]


@pytest.fixture
def mailbox(tmp_path: Path) -> Iterator[tuple[Mailbox, str]]:
    """A mail server with STARTTLS, a password and a limit of 260 kB; its mailbox and options."""
    box = Mailbox()
    with mail_server(certificate(tmp_path, "good"), box, data_size_limit=260_000) as options:
        yield box, options


def test_mail_takes_as_many_messages_as_needed_and_notes_each(
    mailbox: tuple[Mailbox, str], files: list[Path]
) -> None:
    """Over STARTTLS with a password; numbered, each file once; what was noted is not sent again."""
    box, options = mailbox
    noted: dict[str, str] = {}
    place = destination(f"mailto:a@example.org?{options}", LOGIN)
    place.deliver(parcel(files, note=lambda paths: noted.update((p.name, "") for p in paths)))
    assert [one["Subject"] for one in box.got] == [f"Usage 2026-10 ({n}/3)" for n in (1, 2, 3)]
    names = [part.get_filename() for one in box.got for part in one.walk() if part.get_filename()]
    assert names == [path.name for path in files] == list(noted)
    assert all(len(one.as_bytes()) <= 260_000 for one in box.got)
    for one in box.got:
        text, html = (one.get_payload()[0].get_payload()[n] for n in (0, 1))
        assert (text.get_content_type(), html.get_content_type()) == ("text/plain", "text/html")
        assert text.get_payload(decode=True).startswith(b"12 hours")
        assert b"<p>12 hours</p>" in html.get_payload(decode=True)
    first = box.got[0]["Message-ID"]
    place.deliver(parcel(files))
    assert box.got[3]["Message-ID"] == first


def test_mail_says_what_is_wrong(mailbox: tuple[Mailbox, str], files: list[Path]) -> None:
    """Password, recipient, certificate: the server's own words, and nobody is sent anything."""
    box, options = mailbox
    wrong = LOGIN | {"USAGE_SMTP_PASSWORD": "wrong"}
    with pytest.raises(DeliveryFailed, match=r"refuses the credentials: 535"):
        destination(f"mailto:a@example.org?{options}", wrong).deliver(parcel(files))
    both = f"mailto:a@example.org,gone@example.org?{options}"
    with pytest.raises(DeliveryFailed, match=r"gone@example.org: 550 no such user"):
        destination(both, LOGIN).deliver(parcel(files))
    strange = f"mailto:a@example.org?{options.split('&ca-file')[0]}"
    with pytest.raises(DeliveryFailed, match=r"certificate .* is not trusted"):
        destination(strange, LOGIN).deliver(parcel(files))
    assert box.got == []


class Busy(Mailbox):
    """A mail server that puts off one recipient, and has no kind word at the end."""

    async def handle_RCPT(  # noqa: N802
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        if address == "later@example.org":
            return "450 4.2.0 greylisted"
        return await super().handle_RCPT(server, session, envelope, address, options)

    async def handle_QUIT(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        return "421 too busy to say goodbye"


def test_what_a_mail_server_says_at_the_end_takes_nothing_back(
    tmp_path: Path, files: list[Path]
) -> None:
    """What it took is delivered; who is put off is no wrong address."""
    box = Busy()
    with mail_server(certificate(tmp_path, "good"), box) as options:
        both = f"mailto:a@example.org,later@example.org?{options}"
        with pytest.raises(DeliveryFailed, match=r"450 4\.2\.0 greylisted: run it again later"):
            destination(both, LOGIN).deliver(parcel(files))
        assert box.got == []
        sent = destination(f"mailto:a@example.org?{options}", LOGIN).deliver(parcel(files))
    assert sent == [name for name, _ in box.files()] == [path.name for path in files]


class Full(Mailbox):
    """A mailbox with room for so many messages."""

    room = 1

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        if len(self.got) == self.room:
            return "552 5.2.2 mailbox full"
        return await super().handle_DATA(server, session, envelope)


def test_a_full_mailbox_is_told_and_gets_the_rest_later(tmp_path: Path, files: list[Path]) -> None:
    """In the server's words; what it took is noted, and only the others come once there is room."""
    box = Full()
    noted: dict[str, str] = {}

    def note(paths: Sequence[Path]) -> None:
        noted.update((path.name, sha256(path)) for path in paths)

    with mail_server(certificate(tmp_path, "good"), box, data_size_limit=260_000) as options:
        place = destination(f"mailto:a@example.org?{options}", LOGIN)
        told = r"refuses the message: 552 5\.2\.2 mailbox full: let the mailbox .* take more"
        with pytest.raises(DeliveryFailed, match=told):
            place.deliver(parcel(files, note=note))
        assert list(noted) == [name for name, _ in box.files()]
        assert 0 < len(noted) < len(files)
        box.room = 9
        place.deliver(parcel(files, note=note, known=dict(noted)))
    assert [name for name, _ in box.files()] == [path.name for path in files] == list(noted)


@pytest.mark.filterwarnings("ignore:Requiring AUTH")
@pytest.mark.parametrize("implicit", [False, True])
def test_an_expired_certificate_of_a_mail_server_is_named(
    tmp_path: Path, files: list[Path], *, implicit: bool
) -> None:
    """In the words of TLS, with what to do; no password is sent, and no mail."""
    box, pem = Mailbox(), certificate(tmp_path, "old", days_ago=30)
    with mail_server(pem, box, implicit=implicit) as options:
        place = destination(f"mailto:a@example.org?{options}", LOGIN)
        with pytest.raises(DeliveryFailed, match="not trusted: certificate has expired: renew it"):
            place.deliver(parcel(files))
    assert box.got == []


@pytest.mark.filterwarnings("ignore:Requiring AUTH")
def test_a_lost_answer_sends_one_message_once_more(tmp_path: Path, files: list[Path]) -> None:
    """Over implicit TLS: the one that is in doubt comes again under its identity, no other."""
    box = Mailbox(lost=2)
    noted: dict[str, str] = {}

    def note(paths: Sequence[Path]) -> None:
        noted.update((path.name, sha256(path)) for path in paths)

    pem = certificate(tmp_path, "good")
    with mail_server(pem, box, implicit=True, data_size_limit=260_000) as options:
        place = destination(f"mailto:a@example.org?{options}", LOGIN)
        with pytest.raises(DeliveryFailed, match=r"answer was lost.*next run sends") as failed:
            place.deliver(parcel(files, note=note))
        assert len(noted) == 2
        place.deliver(parcel(files, note=note, known=dict(noted)))
        assert place.deliver(parcel(files, note=note, known=dict(noted))) == []
    sent = [one["Message-ID"] for one in box.got]
    assert sent[1] == sent[2]
    assert sent[1] in str(failed.value)
    assert [one["Subject"][-6:] for one in box.got] == [" (1/3)", " (2/3)", " (2/3)", " (3/3)"]
    assert noted == {path.name: sha256(path) for path in files}


@pytest.mark.parametrize(
    ("limit", "told"),
    [
        (30_000, "have no room for attachments: let it take larger ones"),
        (120_000, r"0\.json\.gz takes \d+ bytes .* room for 54464: make smaller files"),
    ],
)
def test_a_mail_server_that_takes_too_little_is_told(
    tmp_path: Path, files: list[Path], limit: int, told: str
) -> None:
    """Before anything is sent, with what to do."""
    box = Mailbox()
    with mail_server(certificate(tmp_path, "good"), box, data_size_limit=limit) as options:
        place = destination(f"mailto:a@example.org?{options}", LOGIN)
        with pytest.raises(DeliveryFailed, match=told):
            place.deliver(parcel(files))
    assert box.got == []


@pytest.mark.parametrize(
    "text",
    [
        *("s3://", "s3://b?colour=red", "mailto:?host=h", "mailto:a@b.org", "mailto:a@b.org?host="),
        *("https://user:word@host/", "https://host/#method=patch", "http://host/"),
    ],
)
def test_what_cannot_be_a_destination_is_refused_at_once(text: str) -> None:
    """Before anything is done, without a password in what is said."""
    with pytest.raises(InvalidInput) as refused:
        destination(text, {})
    assert "word" not in str(refused.value).replace("password", "")
