"""All objects of one resource, in the order in which they are applied."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from usage_operator import naming
from usage_operator.manifests import (
    accounts,
    claims,
    disruption,
    export,
    peers,
    secrets,
    service,
    statefulset,
)

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping, Sequence

    from usage_operator.manifests.metadata import Context, Manifest


@dataclass(frozen=True, slots=True)
class Known:
    """What exists already and has a say in what is desired.

    ``secrets`` holds the data of generated Secrets by name, ``collectors`` the replicas that
    should run in each zone, leaving ones included, ``claims`` the size that each existing claim
    asks for, and ``trusted`` the certificates of authorities that the user's Secrets bring.
    """

    collectors: Mapping[str, int]
    secrets: Mapping[str, secrets.Data] = field(default_factory=dict)
    claims: Mapping[str, str] = field(default_factory=dict)
    trusted: Sequence[bytes] = ()


def _material(context: Context, known: Known, now: dt.datetime) -> list[Manifest]:
    """Build keys, tokens and certificates, and what publishes them."""
    names, spec = context.names, context.spec
    made: list[Manifest] = []
    if spec.signing.secret_name is None:
        made.append(secrets.keys(context, known.secrets.get(names.keys, {})))
    if spec.reporting.tokens.secret_name is None:
        made.append(secrets.tokens(context, known.secrets.get(names.tokens, {})))
    authority = secrets.authority(context, known.secrets.get(names.ca_key, {}), now)
    ca = secrets.decode(authority)
    made.append(authority)
    if spec.ingest.tls.secret_name is None:
        existing = known.secrets.get(names.tls, {})
        zones = list(known.collectors)
        made.append(secrets.certificate(context, existing, ca, zones, now))
    return [*made, secrets.bundle(context, ca, list(known.trusted))]


def _claims(context: Context, known: Known) -> list[Manifest]:
    made = []
    for zone in context.spec.zones:
        for ordinal in range(known.collectors.get(zone.name, zone.replicas)):
            requested = known.claims.get(context.names.claim(zone.name, ordinal))
            if requested is not None:
                made.append(claims.build(context, zone, ordinal, requested))
    return made


def build(context: Context, known: Known, now: dt.datetime) -> list[Manifest]:
    """Build everything that should exist; a zone that left the spec keeps its Service only.

    Its StatefulSet is not built any more: it runs on as it is. UnusableSecret when generated
    key material was damaged.
    """
    volume = export.claim(context)
    return [
        accounts.build(context, naming.COLLECTOR),
        accounts.build(context, naming.EXPORT),
        *_material(context, known, now),
        peers.build(context, known.collectors),
        *(service.headless(context, zone) for zone in known.collectors),
        service.ingest(context),
        service.reporting(context),
        disruption.build(context),
        *_claims(context, known),
        *(
            statefulset.build(context, zone, known.collectors.get(zone.name, zone.replicas))
            for zone in context.spec.zones
        ),
        *([volume] if volume else []),
        export.cronjob(context),
    ]
