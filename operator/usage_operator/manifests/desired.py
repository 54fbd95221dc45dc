"""All objects of one resource, in the order in which they are applied."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from usage_operator import naming
from usage_operator.manifests import (
    accounts,
    backup,
    certificate,
    claims,
    disruption,
    export,
    limits,
    monitoring,
    network,
    peers,
    proxy,
    restore,
    secrets,
    service,
    shipper,
    statefulset,
    webhooks,
)

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping, Sequence

    from usage_operator.manifests.metadata import Context, Manifest


@dataclass(frozen=True, slots=True)
class Known:
    """What exists already and has a say in what is desired.

    ``secrets`` holds the data of generated Secrets by name, ``collectors`` the replicas that
    should run in each zone, leaving ones included, ``claims`` the claims of collectors that
    exist, ``templates`` the claim templates of the StatefulSets of zones that left the spec,
    ``labelled`` whether every pod says if it is to get events, ``proxied`` whether a proxy can
    take them, ``restores`` what is to come back, and ``trusted`` the certificates of authorities
    that the user's Secrets bring.
    """

    collectors: Mapping[str, int]
    secrets: Mapping[str, secrets.Data] = field(default_factory=dict)
    claims: Sequence[claims.Claim] = ()
    templates: Mapping[str, Sequence[Manifest]] = field(default_factory=dict)
    labelled: bool = True
    proxied: bool = False
    restores: Sequence[restore.Wanted] = ()
    trusted: Sequence[bytes] = ()


def _material(context: Context, known: Known, now: dt.datetime) -> list[Manifest]:
    """Build keys, tokens and certificates, and what publishes them."""
    names, spec = context.names, context.spec
    made: list[Manifest] = []
    if spec.signing.secret_name is None:
        made.append(secrets.keys(context, known.secrets.get(names.keys, {})))
    if spec.reporting.tokens.secret_name is None:
        made.append(secrets.tokens(context, known.secrets.get(names.tokens, {})))
    made.append(secrets.ca(context, known.secrets.get(names.ca_key, {}), now))
    ca = secrets.decode(made[-1])
    zones, tls = list(known.collectors), spec.ingest.tls
    if asked := certificate.build(context, secrets.server_names(context, zones)):
        made.append(asked)
    elif tls.secret_name is None:
        existing = known.secrets.get(names.tls, {})
        made.append(secrets.certificate(context, existing, ca, zones, now))
    made += webhooks.material(context, known.secrets.get(names.webhooks_tls, {}), ca, now)
    return [*made, secrets.bundle(context, ca, list(known.trusted))]


def _claims(context: Context, known: Known) -> list[Manifest]:
    """Build the claims of what runs as the spec wants them, and mark those of what is gone."""
    zones = {zone.name: zone for zone in context.spec.zones}
    made = []
    for claim in known.claims:
        if claim.ordinal >= known.collectors.get(claim.zone, 0):
            if claim.bound:
                made.append(claims.discarded(context, claim))
        elif zone := zones.get(claim.zone):
            made.append(claims.build(context, zone, claim))
    return made


def _leaving(context: Context, known: Known) -> list[Manifest]:
    """Build the StatefulSets of zones that left the spec, as long as collectors run there.

    Their volumes may hold what was not billed; they say what the zone was.
    """
    wanted = {zone.name for zone in context.spec.zones}
    first: dict[str, claims.Claim] = {}
    for claim in known.claims:
        if claim.bound and claim.zone not in wanted and claim.zone in known.collectors:
            first.setdefault(claim.zone, claim)
    made = []
    for name, claim in first.items():
        replicas = known.collectors[name]
        one = statefulset.build(context, claims.zone(claim, replicas), replicas)
        if name in known.templates:
            # What the claims were made from cannot be changed, and need not be.
            one["spec"]["volumeClaimTemplates"] = known.templates[name]
        made.append(one)
    return made


def build(context: Context, known: Known, now: dt.datetime) -> list[Manifest]:
    """Build everything that should exist. UnusableSecret when generated keys were damaged."""
    volume = export.claim(context)
    backs_up = context.spec.backup or context.spec.restore
    return [
        accounts.build(context, naming.COLLECTOR),
        accounts.build(context, naming.EXPORT),
        *([accounts.build(context, naming.BACKUP)] if backs_up else []),
        *_material(context, known, now),
        peers.build(context, known.collectors, known.claims),
        *limits.build(context),
        *(service.headless(context, zone) for zone in known.collectors),
        *proxy.build(context),
        service.ingest(context, labelled=known.labelled, proxied=known.proxied),
        service.reporting(context),
        *webhooks.service(context, labelled=known.labelled),
        disruption.build(context, known.collectors),
        *network.build(context),
        *monitoring.build(context),
        *_claims(context, known),
        *(
            statefulset.build(context, zone, known.collectors.get(zone.name, zone.replicas))
            for zone in context.spec.zones
        ),
        *_leaving(context, known),
        *([volume] if volume else []),
        *backup.build(context, known.collectors),
        *shipper.build(context, known.collectors),
        export.cronjob(context),
        *(restore.job(context, one, known.collectors) for one in known.restores),
    ]
