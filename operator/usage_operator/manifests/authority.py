"""The certificate authority's life: a successor is published first, signs later, and then is alone.

Its Secret holds ``ca.crt`` and ``ca.key``; besides, for a while, ``next.crt`` and ``next.key``
(clients are told to trust it, nothing is signed with it yet), or ``previous.crt`` and ``switched``
(clients still trust it, for collectors may not have taken up what its successor signed since).
"""

from __future__ import annotations

import datetime as dt

from usage_operator.manifests import pki

Data = dict[str, bytes]

MOST_SPREAD = dt.timedelta(days=7)
"""How long clients have to learn of a new authority: kubelets need minutes, people days."""
CERTIFICATES = ("ca.crt", "next.crt", "previous.crt")


def spread(life: dt.timedelta) -> dt.timedelta:
    """Give how long a new authority is published before it signs, and an old one afterwards."""
    return min(MOST_SPREAD, life / 6)


def made(name: str, now: dt.datetime, life: dt.timedelta) -> Data:
    """Make the first authority."""
    pair = pki.make_ca(name, now, life)
    return {"ca.crt": pair.certificate, "ca.key": pair.key}


def problem(data: Data) -> str | None:
    """Tell why what is there is no authority; one that has expired is."""
    found = pki.loaded(pki.Pair(data.get("ca.crt", b""), data.get("ca.key", b"")))
    return found if isinstance(found, str) else None


def _successor(data: Data) -> pki.Span | None:
    """Give when the next authority lives; None: there is none that could sign."""
    found = pki.loaded(pki.Pair(data.get("next.crt", b""), data.get("next.key", b"")))
    return None if isinstance(found, str) else pki.span(data["next.crt"])


def advance(data: Data, name: str, now: dt.datetime, life: dt.timedelta) -> Data:
    """Take the next step of the authority's life, if it is time; ``life`` is a new one's.

    A successor is made when a third of its life is left, or when it has already expired.
    """
    current = pki.span(data["ca.crt"])
    successor = _successor(data)
    kept = {key: value for key, value in data.items() if not key.startswith("next.")}
    if successor is None:
        if now >= current.end - current.life / 3:
            pair = pki.make_ca(name, now, life)
            following = {"next.crt": pair.certificate, "next.key": pair.key}
            grown = kept | following
            return grown if now < current.end else _switched(grown, now)
        if now >= _switch(kept) + spread(current.life):
            return {key: data[key] for key in ("ca.crt", "ca.key")}
        return kept
    if now >= min(successor.made + spread(successor.life), current.end):
        return _switched(data, now)
    return data


def _switch(data: Data) -> dt.datetime:
    """Give when the successor began to sign; long ago if that is not known."""
    try:
        return dt.datetime.fromisoformat(data.get("switched", b"").decode())
    except ValueError:
        return dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def _switched(data: Data, now: dt.datetime) -> Data:
    """Let the successor sign from now on."""
    return {
        "ca.crt": data["next.crt"],
        "ca.key": data["next.key"],
        "previous.crt": data["ca.crt"],
        "switched": now.isoformat().encode(),
    }


def trusted(data: Data) -> list[bytes]:
    """Give the certificates that clients are to trust, the one that signs first."""
    return [data[key] for key in CERTIFICATES if data.get(key)]
