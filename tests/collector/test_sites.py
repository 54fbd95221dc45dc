"""Delivering to a real web server over TLS, and how its trouble is told."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from tests.collector.places import Server, certificate, web_server
from usage_collector.errors import DeliveryFailed, InvalidInput
from usage_collector.targets import Parcel, destination

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HEADER = "Authorization: Bearer secret-of-https"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """One with a good certificate."""
    with web_server(certificate(tmp_path, "good")) as made:
        yield made


@pytest.fixture
def expired(tmp_path: Path) -> Iterator[Server]:
    """One whose certificate was good last month."""
    with web_server(certificate(tmp_path, "old", days_ago=30)) as made:
        yield made


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """A package and a manifest."""
    (tmp_path / "a.json.gz").write_bytes(b"package" * 100_000)
    (tmp_path / "manifest.json").write_bytes(b"{}")
    return [tmp_path / "a.json.gz", tmp_path / "manifest.json"]


def parcel(files: list[Path], **more: Any) -> Parcel:
    """These files as October."""
    return Parcel(folder="2026-10", files=files, **more)


def hashed(path: Path) -> str:
    """Its SHA-256."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_files_are_put_under_their_names(server: Server, files: list[Path]) -> None:
    """With the header, a digest, the query as given; each is noted when it was taken."""
    noted: list[str] = []
    place = destination(server.address, {"USAGE_HTTPS_HEADER": HEADER})
    told = place.deliver(parcel(files, note=lambda paths: noted.extend(p.name for p in paths)))
    assert told == noted == [path.name for path in files]
    assert server.kept == {f"/in/2026-10/{path.name}": path.read_bytes() for path in files}
    method, path, headers = server.seen[0]
    assert (method, path) == ("PUT", "/in/2026-10/a.json.gz?area=1")
    assert headers["Authorization"] == "Bearer secret-of-https"
    assert headers["Content-Length"] == "700000"
    assert headers["Repr-Digest"].startswith("sha-256=:")
    assert "secret" not in place.name
    assert "area" not in place.name


def test_files_are_posted_as_forms(server: Server, files: list[Path], tmp_path: Path) -> None:
    """With period and SHA-256 beside the file; the header may come from a folder of secrets."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/USAGE_HTTPS_HEADER").write_text(f"{HEADER}\n")
    address = f"{server.address}&method=post&credentials={tmp_path / 'secrets'}"
    place = destination(address, {"USAGE_HTTPS_HEADER": "X-Other: of another destination"})
    assert place.deliver(parcel(files)) == [path.name for path in files]
    assert server.kept == {path.name: path.read_bytes() for path in files}
    assert server.form == {"period": "2026-10", "sha256": hashed(files[1])}
    assert [(method, path) for method, path, _ in server.seen] == [("POST", "/in?area=1")] * 2
    assert server.seen[0][2]["Authorization"] == "Bearer secret-of-https"
    assert "X-Other" not in server.seen[0][2]


def test_what_receipts_know_is_not_sent_again(server: Server, files: list[Path]) -> None:
    """Not even asked for; another content under a known name is refused."""
    place = destination(server.address, {})
    known = {files[0].name: hashed(files[0])}
    assert place.deliver(parcel(files, known=known)) == ["manifest.json"]
    assert [path for _, path, _ in server.seen] == ["/in/2026-10/manifest.json?area=1"]
    with pytest.raises(DeliveryFailed, match=r"another a\.json\.gz was sent before"):
        place.deliver(parcel(files, known={files[0].name: "0" * 64}))


def test_a_lost_answer_is_made_good_without_overwriting(server: Server, files: list[Path]) -> None:
    """A server that has the very file is content; one that has another is an error."""
    place = destination(server.address, {})
    place.deliver(parcel(files))
    keys = [headers["Idempotency-Key"] for _, _, headers in server.seen]
    assert place.deliver(parcel(files)) == [path.name for path in files]
    again = [headers["Idempotency-Key"] for method, _, headers in server.seen if method == "PUT"]
    assert again == keys * 2
    server.kept["/in/2026-10/manifest.json"] = b"{other}"
    with pytest.raises(DeliveryFailed, match="is another file than the one to be delivered"):
        place.deliver(parcel(files))
    assert server.kept["/in/2026-10/manifest.json"] == b"{other}"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((401, {}, "no such token"), "answered 401 .*no such token: check the header"),
        ((403, {}, ""), "answered 403 .*: check the header"),
        ((404, {}, ""), "answered 404 .*: check the address"),
        ((413, {}, ""), "answered 413 .*: let the server take larger files"),
        ((500, {}, "out of\norder"), "answered 500 .*out of order: ask whoever"),
        ((507, {}, "quota used"), "answered 507 .*quota used: make room"),
        ((307, {"Location": "https://elsewhere.example/x"}, ""), "redirect to elsewhere.example"),
    ],
)
def test_a_refusal_is_told_in_the_servers_words(
    server: Server, files: list[Path], answer: tuple[int, dict[str, str], str], told: str
) -> None:
    """With what to do, without the secret; nothing is noted, and the header goes nowhere else."""
    status, headers, text = answer
    server.answer = lambda: web.Response(status=status, headers=headers, text=text)
    noted: list[Path] = []
    place = destination(server.address, {"USAGE_HTTPS_HEADER": HEADER})
    with pytest.raises(DeliveryFailed, match=told) as failed:
        place.deliver(parcel(files, note=noted.extend))
    assert "secret-of-https" not in str(failed.value)
    assert noted == []
    assert len(server.seen) == 1


def test_only_the_named_authority_is_trusted(
    server: Server, expired: Server, files: list[Path], tmp_path: Path
) -> None:
    """An expired certificate and a stranger's are refused, each in the words of TLS."""
    place = destination(expired.address, {})
    with pytest.raises(DeliveryFailed, match="is not trusted: certificate has expired: renew"):
        place.deliver(parcel(files))
    strange = server.address.replace("good.pem", "old.pem")
    with pytest.raises(DeliveryFailed, match="is not trusted: self-signed certificate"):
        destination(strange, {}).deliver(parcel(files))
    assert server.seen == expired.seen == []


def test_nobody_there_is_told(files: list[Path]) -> None:
    """With the address, and without the query."""
    place = destination("https://127.0.0.1:1/in?sig=secret", {})
    with pytest.raises(DeliveryFailed, match=r"127\.0\.0\.1:1/in cannot be reached") as failed:
        place.deliver(parcel(files))
    assert "secret" not in str(failed.value)


def test_a_header_that_is_none_is_refused_at_once() -> None:
    """Without showing it."""
    with pytest.raises(InvalidInput, match="write one line: NAME: VALUE") as refused:
        destination("https://localhost/", {"USAGE_HTTPS_HEADER": "just-a-secret"})
    assert "just-a-secret" not in str(refused.value)
