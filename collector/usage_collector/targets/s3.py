"""A bucket of anything that speaks S3.

Settings and requests: https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html
"""

from __future__ import annotations

import hashlib
import html
import re
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import S3Store

from usage_collector.errors import DeliveryFailed, InvalidInput
from usage_collector.targets import options as given
from usage_collector.targets.parcel import sha256

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from obstore.store import ClientConfig, S3Config

    from usage_collector.targets.parcel import Parcel

_OPTIONS = frozenset(
    {"endpoint", "region", "path-style", "credentials", "ca-file", "sse", "sse-kms-key-id"}
)
_SSE = ("AES256", "aws:kms", "aws:kms:dsse")
_HASH = "sha256"
"""The object's metadata field with what was uploaded, in hex."""
_ONE_PUT = 64 * 1024 * 1024
"""Bytes up to which a file is uploaded in one request, which alone can refuse to overwrite."""
_CHUNK = 1024 * 1024
_MESSAGE = re.compile(r"<Message>(.*?)</Message>", re.DOTALL)
_CODE = re.compile(r"<Code>(.*?)</Code>", re.DOTALL)
_CERTIFICATE = re.compile(r"InvalidCertificate\(\s*(\w+?)(?:Context)?\b")
"""In what the client tells of an error: the name that its TLS library, rustls, has for it."""
_NO_ANSWER = re.compile(r"HTTP error: ([^\n]*)")
_CAUSE = re.compile(r'\b(?:message|error): "([^"]+)"')
"""In the same: what the operating system said, where it said anything."""
_RETRY = {"max_retries": 3, "retry_timeout": timedelta(seconds=60)}
_HINTS = {
    "InvalidAccessKeyId": "check AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "check AWS_SECRET_ACCESS_KEY",
    "AccessDenied": "let these credentials list, read and write under this prefix",
    "NoSuchBucket": "make the bucket, or name another",
    "QuotaExceeded": "make room in the bucket, or raise its quota",
    "InsufficientStorage": "make room at the destination",
    "ExpiredToken": "renew AWS_SESSION_TOKEN",
    **dict.fromkeys(
        ("BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "IncompleteBody"),
        "it changed on the way: run it again; if it stays so, check what is between",
    ),
}


class Bucket:
    """Delivers into a bucket: an object for each file, `PREFIX/PERIOD/NAME`."""

    def __init__(self, name: str, prefix: str, store: S3Store) -> None:
        self._name = name
        self._prefix = prefix
        self._store = store

    @property
    def name(self) -> str:
        """Its address, without anything secret."""
        return self._name

    def where(self, folder: str) -> str:
        """The folder's address."""
        return f"{self._name.split('?')[0].rstrip('/')}/{folder}"

    def held(self, folder: str) -> dict[str, str]:
        """The objects in that folder with their SHA-256, as it was noted when they were made."""
        found = {}
        with self._told():
            start = self._key(folder, "")
            for page in obstore.list(self._store, prefix=start.rstrip("/")):
                for one in page:
                    rest = one["path"].removeprefix(start)
                    if rest and "/" not in rest and one["path"] != rest:
                        found[rest] = self._noted(one["path"]) or self._read(one["path"])
        return found

    def fetch(self, folder: str, name: str) -> bytes | None:
        """An object's content."""
        with self._told():
            try:
                return bytes(obstore.get(self._store, self._key(folder, name)).bytes())
            except FileNotFoundError:
                return None

    def deliver(self, parcel: Parcel) -> list[str]:
        """Uploads what is not there, and reads each back: only then is it delivered."""
        with self._told():
            return [
                path.name
                for path in parcel.files
                if self._place(path, self._key(parcel.folder, path.name))
            ]

    def _place(self, path: Path, key: str) -> bool:
        """Whether the object was made; `DeliveryFailed` for another content of that name."""
        digest = sha256(path)
        if self._is_there(key, digest):
            return False
        small = path.stat().st_size <= _ONE_PUT
        try:
            obstore.put(
                self._store,
                key,
                path,
                attributes={_HASH: digest, "Content-Type": _content_type(path.name)},
                mode="create" if small else "overwrite",
                use_multipart=not small,
            )
        except AlreadyExistsError:
            # Another run was faster, or the answer to an earlier attempt was lost.
            return not self._is_there(key, digest)
        if self._read(key) != digest:
            obstore.delete(self._store, key)
            raise DeliveryFailed(
                f"{self._name}: {key} did not arrive as it was sent, and was removed again",
                "run it again; if it stays so, check the storage",
            )
        return True

    def _is_there(self, key: str, digest: str) -> bool:
        try:
            found = self._read(key)
        except FileNotFoundError:
            return False
        if found != digest:
            raise DeliveryFailed(
                f"{self._name}: {key} is another file than the one to be delivered",
                "nothing is ever overwritten; move it away if it does not belong there",
            )
        return True

    def _read(self, key: str) -> str:
        digest = hashlib.sha256()
        for chunk in obstore.get(self._store, key).stream(min_chunk_size=_CHUNK):
            digest.update(chunk)
        return digest.hexdigest()

    def _noted(self, key: str) -> str | None:
        return obstore.get(self._store, key, options={"head": True}).attributes.get(_HASH)

    def _key(self, folder: str, name: str) -> str:
        return "/".join(part for part in (self._prefix, folder) if part) + f"/{name}"

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (BaseError, OSError, ValueError) as error:
            raise failure(self._name, str(error)) from None


def _content_type(name: str) -> str:
    kinds = {"gz": "application/gzip", "json": "application/json", "csv": "text/csv"}
    return kinds.get(name.rsplit(".", 1)[-1], "text/html")


def failure(name: str, said: str) -> DeliveryFailed:
    """The server's own words out of all that the client tells of them."""
    code, message = _CODE.search(said), _MESSAGE.search(said)
    if code:
        words = f"{code[1]}: {html.unescape(message[1]).rstrip('.')}" if message else code[1]
        hint = _HINTS.get(code[1], "check the bucket and the credentials")
        return DeliveryFailed(f"{name}: {words}", hint)
    line = " ".join(said.split("\n\nDebug source:")[0].split())
    if wrong := _CERTIFICATE.search(said):
        words = re.sub(r"\B(?=[A-Z])", " ", wrong[1]).lower()
        return DeliveryFailed(
            f"{name}: its certificate is not trusted: {words}", "renew it, or give its CA (ca-file)"
        )
    if silent := _NO_ANSWER.search(said):
        cause = _CAUSE.search(said) or silent
        return DeliveryFailed(
            f"{name}: no answer: {cause[1].strip()}",
            "check the endpoint; the next run goes on from here",
        )
    return DeliveryFailed(f"{name}: {line[:400]}", "check endpoint, bucket and credentials")


def bucket(text: str, environment: Mapping[str, str]) -> Bucket:
    """The destination of that text; see `client`."""
    return Bucket(*client(text, environment))


def client(text: str, environment: Mapping[str, str]) -> tuple[str, str, S3Store]:
    """`s3://BUCKET/PREFIX?endpoint=…&region=…&path-style=true&sse=…`; `InvalidInput` otherwise.

    Credentials come from the files `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and
    `AWS_SESSION_TOKEN` of the folder `credentials`, or from the variables of these names; without
    any, from the machine's or pod's own identity where there is one.
    """
    parts = given.split(text)
    if not parts.hostname or parts.username or parts.port or parts.fragment:
        raise InvalidInput(
            f"destination {text.split('?')[0]!r} names no bucket", "write s3://BUCKET/PREFIX"
        )
    options = given.parse(text, parts.query, _OPTIONS)
    endpoint = options.get("endpoint", environment.get("AWS_ENDPOINT_URL", "")).rstrip("/")
    if endpoint:
        _check_endpoint(text, endpoint)
    name = f"s3://{parts.netloc}{parts.path.rstrip('/')}"
    store = S3Store(
        parts.netloc,
        config=_config(text, options, environment, endpoint),
        client_options=_client(options, endpoint),
        retry_config=_RETRY,  # type: ignore[arg-type]
    )
    shown = f"{name}?endpoint={endpoint}" if endpoint else name
    return shown, parts.path.strip("/"), store


def _check_endpoint(text: str, endpoint: str) -> None:
    parts = given.split(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise InvalidInput(
            f"endpoint of destination {text.split('?')[0]!r} is {endpoint!r}",
            "write https://HOST or https://HOST:PORT",
        )


def _config(
    text: str, options: Mapping[str, str], environment: Mapping[str, str], endpoint: str
) -> S3Config:
    path_style = options.get("path-style", "true" if endpoint else "false")
    given.chosen(text, "path-style", path_style, ("true", "false"))
    config: S3Config = {
        "region": options.get("region") or environment.get("AWS_REGION") or "us-east-1",
        "virtual_hosted_style_request": path_style == "false",
        "checksum_algorithm": "SHA256",
    }
    if endpoint:
        named = path_style == "true"
        config["endpoint"] = endpoint if named else _with_bucket(endpoint, urlsplit(text).netloc)
    if sse := options.get("sse"):
        config["server_side_encryption"] = given.chosen(text, "sse", sse, _SSE)
    if key := options.get("sse-kms-key-id"):
        config["sse_kms_key_id"] = key
    access = given.secret(options, environment, "AWS_ACCESS_KEY_ID")
    secret = given.secret(options, environment, "AWS_SECRET_ACCESS_KEY")
    if (access is None) != (secret is None) or ("credentials" in options and access is None):
        raise InvalidInput(
            f"destination {text.split('?')[0]!r} lacks credentials",
            "give both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        )
    if access and secret:
        config["access_key_id"], config["secret_access_key"] = access, secret
        if token := given.secret(options, environment, "AWS_SESSION_TOKEN"):
            config["session_token"] = token
    return config


def _with_bucket(endpoint: str, bucket: str) -> str:
    """The endpoint with the bucket's name before the host's, which the client leaves to us."""
    scheme, _, host = endpoint.partition("://")
    return endpoint if host.startswith(f"{bucket}.") else f"{scheme}://{bucket}.{host}"


def _client(options: Mapping[str, str], endpoint: str) -> ClientConfig:
    client: ClientConfig = {
        "timeout": timedelta(minutes=10),
        "connect_timeout": timedelta(seconds=10),
        "allow_http": endpoint.startswith("http://"),
    }
    if trusted := given.ca(options):
        client["root_certificate"] = trusted
    return client
