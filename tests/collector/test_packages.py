"""The package format: written, read back byte for byte, refused when it is anything else."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import io
import json
from base64 import urlsafe_b64decode

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.collector.made import KEYS, Ledger, event, ledger, window
from usage_collector.errors import Damaged, InvalidInput
from usage_collector.packages import (
    Chain,
    Contents,
    Keys,
    Malformed,
    Package,
    file_name,
    genesis,
    gzipped,
    key_id,
    link,
    places,
    read_public_keys,
    read_secret,
    runs,
    write,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
EVENTS = st.lists(
    st.builds(
        lambda value, indent: json.dumps(value, indent=indent, ensure_ascii=indent is None).encode(
            errors="surrogatepass"
        ),
        st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), JSON, max_size=4),
        st.sampled_from([None, 1]),
    ),
    min_size=1,
    max_size=12,
)


def decoded(text: str) -> bytes:
    """Base64url without padding, as any standard tool reads it."""
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_anyone_can_check_a_package_with_standard_tools() -> None:
    """HS512 covers the payload's exact bytes, the proof signs their SHA-512."""
    plain = ledger(3).plain(1, 3)
    envelope = json.loads(plain)
    payload = plain[plain.index(b'"payload":') + 10 : plain.index(b',"signature":')]
    assert list(envelope) == ["header", "payload", "signature", "proof"]
    assert envelope["header"] == {
        "alg": "HS512",
        "kid": hashlib.sha256(KEYS.signing).hexdigest()[:16],
        "typ": "usage-export",
        "v": 1,
    }
    signature = hmac.new(KEYS.signing, payload, hashlib.sha512).digest()
    assert decoded(envelope["signature"]) == signature
    proof = envelope["proof"]
    assert proof["alg"] == "Ed25519"
    assert proof["kid"] == hashlib.sha256(decoded(proof["key"])).hexdigest()[:16]
    public = Ed25519PublicKey.from_public_bytes(decoded(proof["key"]))
    public.verify(decoded(proof["signature"]), hashlib.sha512(payload).digest())


def test_the_payload_says_where_its_events_stand() -> None:
    """Members come in the documented order, with the chain's marks at every hundredth position."""
    made = ledger(250)
    payload = json.loads(made.plain(41, 250))["payload"]
    assert list(payload) == [
        "typ",
        "collector",
        "zone",
        "ledger",
        "period",
        "since",
        "until",
        "count",
        "chain",
        "events",
    ]
    hashes = [value.hex() for value in made.hashes]
    assert payload["chain"] == {
        "first": 41,
        "last": 250,
        "before": hashes[40],
        "after": hashes[250],
        "marks": [hashes[100], hashes[200]],
    }
    assert payload["events"] == [json.loads(raw) for raw in made.events[40:]]


def test_the_chain_begins_with_the_ledger() -> None:
    """h(0) is the SHA-256 of the ledger's id, h(n) of h(n-1) and the event's SHA-256."""
    first = hashlib.sha256(b"{}").digest()
    assert (
        link(genesis("L"), first) == hashlib.sha256(hashlib.sha256(b"L").digest() + first).digest()
    )


@given(EVENTS, st.integers(1, 1000), st.booleans(), st.integers(1, 200))
@settings(max_examples=60, deadline=None)
def test_events_come_back_byte_for_byte(
    events: list[bytes], step: int, packed: bool, last_step: int
) -> None:
    """Any JSON objects are read as written, however the file arrives in pieces."""
    made = Ledger(events)
    plain = made.plain(1, len(events))
    data = b"".join(gzipped([plain])) if packed else plain

    class Dripping(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(size or 0, step + last_step))

    package = Package(Dripping(data), {KEYS.signing_kid: KEYS.signing})
    assert list(package.events()) == events
    seal = package.close()
    assert (seal.secret_ok, seal.proof_ok) == (True, True)
    assert seal.sha256 == hashlib.sha256(data).hexdigest()
    assert seal.public == KEYS.public
    assert package.contents.chain
    assert package.contents.chain.after == made.hashes[-1]


@given(st.lists(st.tuples(st.sampled_from("AB"), st.integers(1, 6))))
def test_runs_keep_every_place_in_order(positions: list[tuple[str, int]]) -> None:
    """Stretches of positions say the same as the single positions."""
    assert list(places(runs(positions))) == positions


def test_a_window_lists_the_positions_of_its_events() -> None:
    """A package of a window has no ledger and no chain, and says where each event stands."""
    made = ledger(9)
    plain = window(made, [7, 8, 9, 2, 3])
    payload = json.loads(plain)["payload"]
    assert "ledger" not in payload
    assert "chain" not in payload
    assert payload["positions"] == [{"ledger": made.id, "runs": [[7, 9], [2, 3]]}]
    package = Package(io.BytesIO(plain), {})
    assert list(package.events()) == [made.events[n - 1] for n in (7, 8, 9, 2, 3)]
    assert package.close().secret_ok is None


def test_an_empty_window_is_a_package() -> None:
    """A window without events can be written, named and read."""
    contents = Contents("c", "", None, None, "2026-10-01T00:00:00Z", None, 0, None, ())
    package = Package(io.BytesIO(b"".join(write(contents, [], KEYS))), {})
    assert list(package.events()) == []
    assert package.close().proof_ok
    assert file_name(contents) == "usage-c-20261001T000000Z-end.json.gz"


def test_files_are_named_after_what_they_hold() -> None:
    """Collector, ledger and positions make the name; nothing in it can leave the folder."""
    made = ledger(3)
    assert file_name(made.contents(2, 3)) == "usage-speech-eu-1a-0-0b6f1c9e-2-3.json.gz"
    odd = Ledger(made.events, collector="../../etc/x y")
    assert "/" not in file_name(odd.contents(1, 2))


def test_the_same_package_has_the_same_bytes() -> None:
    """Compression adds neither time nor name, so that a file can be made again."""
    plain = ledger(300).plain(1, 300)
    packed = b"".join(gzipped([plain]))
    assert packed == b"".join(gzipped([plain]))
    assert gzip.decompress(packed) == plain
    assert packed[4:8] == bytes(4)


@pytest.mark.parametrize("wrong", ["count", "after", "mark"])
def test_events_that_are_not_those_of_the_chain_are_never_signed(wrong: str) -> None:
    """The writer follows count, chain and marks itself, and gives up without a signature."""
    made = ledger(120)
    contents = made.contents(1, 120)
    events = list(made.events)
    if wrong == "count":
        events.pop()
    elif wrong == "after":
        events[110] = event("other")
    else:
        events[10] = event("other")
    pieces: list[bytes] = []
    with pytest.raises(Damaged):
        pieces.extend(write(contents, events, KEYS))
    assert b'"signature"' not in b"".join(pieces)


def read_all(data: bytes) -> list[bytes]:
    """A package's events, with everything around them checked for its form."""
    package = Package(io.BytesIO(data), {})
    events = list(package.events())
    package.close()
    return events


def hostile() -> list[tuple[str, bytes]]:
    """Packages that are none, each in its own way."""
    plain = ledger(120).plain(1, 120)
    huge = b'"first":1,"last":9000000000000000000'
    return [
        ("empty", b""),
        ("no json", b"hello"),
        ("another type", plain.replace(b'"typ":"usage-export","v"', b'"typ":"usage-bill","v"')),
        ("another version", plain.replace(b'"v":1', b'"v":2')),
        ("another algorithm", plain.replace(b"HS512", b"none_")),
        ("cut short", plain[:-300]),
        ("cut in an event", plain[:2000]),
        ("something after it", plain + b" "),
        ("white space", plain.replace(b',"count"', b', "count"')),
        ("members swapped", plain.replace(b'"collector":', b'"kollector":')),
        ("a text as count", plain.replace(b'"count":120', b'"count":"120"')),
        ("another count", plain.replace(b'"count":120', b'"count":119')),
        ("a huge range", plain.replace(b'"first":1,"last":120', huge)),
        ("too few marks", plain.replace(b'"marks":["', b'"marks":[],"x":["')),
        ("no hash", plain.replace(b'"after":"', b'"after":"zz')),
        ("an event that never ends", plain[: plain.index(b'"events":[') + 10] + b'{"a":"' * 9),
        ("endless depth", plain[: plain.index(b'"events":[') + 10] + b'{"a":' * 100_000),
        ("no gzip", b"\x1f\x8b" + b"x" * 100),
        ("a broken gzip", b"".join(gzipped([plain]))[:-9]),
        ("a tail after gzip", b"".join(gzipped([plain])) + b"tail"),
    ]


@pytest.mark.parametrize(("name", "data"), hostile(), ids=[name for name, _ in hostile()])
def test_hostile_files_are_refused(name: str, data: bytes) -> None:
    """Whatever leaves the format ends in a clear error, never in another one."""
    with pytest.raises(Malformed, match=r"byte|this is no|type|header|count|positions"):
        read_all(data)


def test_a_bomb_of_one_event_is_refused_early() -> None:
    """An event larger than any request can hold stops the reader before it is read whole."""
    plain = ledger(1).plain(1, 1)
    start = plain.index(b'"events":[') + 10
    body = plain[:start] + b'{"a":"' + b"x" * 64_000_000
    packed = io.BytesIO(b"".join(gzipped([body])))
    package = Package(packed, {})
    with pytest.raises(Malformed, match="an event is wanted"):
        list(package.events())


def test_keys_are_read_from_their_files(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """A secret loses one final newline, a proof key is Ed25519 in PEM, both have key ids."""
    (tmp_path / "hs512.key").write_bytes(b"k" * 64 + b"\n")
    private = Ed25519PrivateKey.generate()
    (tmp_path / "proof.pem").write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    keys = Keys.load(tmp_path / "hs512.key", tmp_path / "proof.pem")
    assert keys.signing == b"k" * 64
    assert keys.public == private.public_key().public_bytes_raw()
    assert keys.proof_kid == key_id(keys.public)
    assert "kkkk" not in repr(keys)
    pem = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (tmp_path / "public.pem").write_bytes(pem + pem)
    assert read_public_keys(tmp_path / "public.pem") == [keys.public, keys.public]


def test_unusable_keys_say_how_to_make_one(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """A short secret, a missing file and another kind of key are refused with the remedy."""
    short = tmp_path / "short.key"
    short.write_bytes(b"short\n")
    with pytest.raises(InvalidInput, match="openssl rand"):
        read_secret(short)
    with pytest.raises(InvalidInput, match="cannot be read"):
        Keys.load(tmp_path / "none", tmp_path / "none")
    short.write_bytes(b"k" * 40)
    with pytest.raises(InvalidInput, match="openssl genpkey"):
        Keys.load(short, short)
    with pytest.raises(InvalidInput, match="no public key"):
        read_public_keys(short)


def test_a_chain_says_what_it_is() -> None:
    """A chain of the wrong number of marks is a mistake of the caller, found at once."""
    made = ledger(120)
    chain = Chain(1, 120, made.hashes[0], made.hashes[120], [])
    contents = Contents("c", "", made.id, None, None, None, 120, chain, None)
    with pytest.raises(ValueError, match="zip"):
        list(write(contents, made.events, KEYS))
