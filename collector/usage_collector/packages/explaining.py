"""How to check one file with nothing but standard tools: a script for that very file.

For whoever trusts neither us nor our program: gzip, OpenSSL 3 (`pkeyutl`, Ed25519) and Python's
standard library, each of which can be replaced by another.
"""

from __future__ import annotations

import shlex
from base64 import b64encode
from typing import TYPE_CHECKING

from usage_collector.packages import manifest as manifests
from usage_collector.packages.reading import Package
from usage_collector.words import many

if TYPE_CHECKING:
    from pathlib import Path

    from usage_collector.packages.reading import Seal

_SPKI = bytes.fromhex("302a300506032b6570032100")
"""What stands before the 32 bytes of an Ed25519 key in DER (RFC 8410)."""

_SIGNATURE = """\
# {name}: is it as the holder of key {kid} signed it? As shell, in an empty folder:
{unpack} {path} > plain
tail -c +{start} plain | head -c {length} > payload       # the signed bytes, from {{ to }}
openssl dgst -sha512 -binary payload > digest
echo {key} | base64 -d > key.der                          # the key in the file …
tail -c 32 key.der | sha256sum | cut -c 1-16              # … and its id: is it the one you know?
echo {signature} | base64 -d > signature
openssl pkeyutl -verify -pubin -inkey key.der -keyform DER -rawin -in digest -sigfile signature
sha256sum {path}                                          # the manifest lists {sha256}
"""
_CHAIN = """
# The hash chain through its {events}, as the next package goes on and the last one ended:
python3 - <<'END'
import hashlib, json
text = open("payload", "rb").read().decode()
chain, at = json.loads(text)["chain"], text.index('"events":[') + 10
link, events = bytes.fromhex(chain["before"]), 0
while text[at] != "]":
    end = json.JSONDecoder().raw_decode(text, at)[1]
    link = hashlib.sha256(link + hashlib.sha256(text[at:end].encode()).digest()).digest()
    at, events = end + (text[end] == ","), events + 1
print(events, "events,", "the chain holds" if link.hex() == chain["after"] else "ALTERED")
END
"""


def explain(path: Path) -> str:
    """The script for a package or a manifest; `Malformed` where it is neither.

    What the file claims is not judged here: that is what the script is for.
    """
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if manifests.revision_of(path.name):
            chained, count, seal = False, 0, manifests.read(file, {}).seal
        else:
            package = Package(file, {})
            for _ in package.events():
                pass
            seal = package.close()
            chained, count = bool(package.contents.chain), package.contents.count
    script = _signature(path, seal, packed=packed)
    return script + _CHAIN.format(events=many(count, "event")) if chained else script


def _signature(path: Path, seal: Seal, *, packed: bool) -> str:
    start, end = seal.span
    return _SIGNATURE.format(
        name=path.name,
        kid=seal.proof_kid,
        unpack="gzip -dc" if packed else "cat",
        path=shlex.quote(str(path.resolve())),
        start=start + 1,
        length=end - start,
        key=b64encode(_SPKI + seal.public).decode(),
        signature=b64encode(seal.signature).decode(),
        sha256=seal.sha256,
    )
