"""CEL rules of the schema: each message names the field and says what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from usage_operator import naming

if TYPE_CHECKING:
    from pydantic.config import JsonDict

Rule = dict[str, str]


def schema(rules: list[Rule]) -> JsonDict:
    """Give the rules as what pydantic adds to a model's schema."""
    return {"x-kubernetes-validations": [dict(rule) for rule in rules]}


def _rule(rule: str, message: str) -> Rule:
    return {"rule": rule, "message": message}


_RESERVED = ", ".join(f"'{name}'" for name in sorted(naming.RESERVED_ZONES))
_LABEL = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"

SIZE = [
    _rule(
        "isQuantity(self) && quantity(self).isGreaterThan(quantity('0'))",
        "size must be a quantity above zero: write a number with a unit, such as 1Gi",
    )
]
AMOUNT = [
    _rule(
        "type(self) == int || isQuantity(self)",
        "resources must be quantities: write a number with a unit, such as 500m or 256Mi",
    )
]
TIME = [
    _rule(
        "self.matches('^([01][0-9]|2[0-3]):[0-5][0-9]$')",
        "at must be a time of day from 00:00 to 23:59: write HH:MM, such as 06:00",
    )
]
ZONE = [
    _rule(
        "self.matches('^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$')",
        "timeZone must be an IANA name: write one such as Etc/UTC or Europe/Berlin",
    )
]
SCHEDULE = [
    _rule(
        "self.matches('^(@(hourly|daily|weekly|monthly|yearly)|[^ ]+( +[^ ]+){4})$')",
        "schedule must be minute, hour, day of the month, month and day of the week, or a word: "
        "write one such as 0 6 * * * or @daily",
    )
]
COUNTRY = [
    _rule(
        "self.matches('^[A-Z]{2}$')",
        "country must be an ISO 3166-1 code of two capital letters: write one such as DE",
    )
]
DATE = [
    _rule(
        "self.matches('^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$')",
        "dates must hold days as YYYY-MM-DD: write one such as 2026-12-24",
    )
]
DAY = [
    _rule(
        "type(self) == int ? (self >= 1 && self <= 28) : self == 'LastWorkingDay'",
        "day must be LastWorkingDay, or a number from 1 to 28 (of the following month)",
    )
]
HOST_NAME = [
    _rule(
        "self.matches('^([*][.])?[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?$') "
        "|| self.matches('^[0-9A-Fa-f]*:[0-9A-Fa-f:.]*$')",
        "dnsNames must hold DNS names or IP addresses: write usage.example.org, without scheme, "
        "port or a dot at the end, and other letters as xn--",
    )
]
ZONE_NAME = [
    _rule(
        f"self.matches('{_LABEL}')",
        "zone name must be lower-case letters, digits and '-', beginning and ending with a letter "
        "or digit: rename the zone, and point nodeSelector at its nodes",
    ),
    _rule(
        f"!(self in [{_RESERVED}])",
        "zone name is reserved for the operator's own objects: rename the zone, and point "
        "nodeSelector at its nodes",
    ),
]
ZONES = [
    _rule("size(self) > 0", "zones must not be empty: name at least one zone, such as eu-1a"),
    _rule(
        "self.all(a, self.exists_one(b, b.name == a.name))",
        "zones must have different names: name each zone once, and let its replicas say how many "
        "collectors it has",
    ),
]
TLS = [
    _rule(
        "!has(self.secretName) || dyn(self.secretName) == null || "
        "!has(self.dnsNames) || size(self.dnsNames) == 0",
        "tls.dnsNames and tls.secretName exclude each other: remove one (a certificate of your "
        "own carries its names itself)",
    ),
    _rule(
        "!has(self.secretName) || dyn(self.secretName) == null || "
        "!has(self.issuerRef) || dyn(self.issuerRef) == null",
        "tls.issuerRef and tls.secretName exclude each other: let cert-manager issue a "
        "certificate, or bring your own",
    ),
]
CLIENT_CA = [
    _rule(
        "(has(self.secretName) && dyn(self.secretName) != null) != "
        "(has(self.configMapName) && dyn(self.configMapName) != null)",
        "tls.clientCA needs either secretName or configMapName: name the one that holds the "
        "authority of the clients' certificates",
    )
]
EXPORT_VOLUME = [
    _rule(
        "!has(self.claimName) || dyn(self.claimName) == null || "
        "((!has(self.size) || dyn(self.size) == null) && "
        "(!has(self.storageClassName) || dyn(self.storageClassName) == null))",
        "volume.claimName excludes volume.size and volume.storageClassName: remove either the "
        "claim's name or the other two",
    )
]
_GIVEN = "has(self.{0}) && dyn(self.{0}) != null"
EXPORT_DESTINATION = [
    _rule(
        "["
        + ", ".join(_GIVEN.format(one) for one in ("volume", "s3", "email", "https"))
        + "].exists_one(given, given)",
        "a destination needs exactly one of volume, s3, email and https: give one, and a "
        "destination of its own to each of the others",
    )
]
CA_KEY = [
    _rule(
        f"!({_GIVEN.format('caKey')}) || ({_GIVEN.format('secretName')})",
        "caKey is a key of secretName's Secret: name that Secret, or remove caKey",
    )
]
ALERT_HOOK = [
    _rule(
        "self.url.startsWith('https://') || (has(self.insecure) && self.insecure)",
        "limits.alerts.webhooks[].url must be https: use https, or set insecure",
    )
]
MAIL = [
    _rule(
        f"self.tls != 'none' || !({_GIVEN.format('secretName')})",
        "email.tls none would send the password in the clear: choose starttls or implicit, or "
        "remove email.secretName",
    )
]
EXPORT = [
    _rule(
        # The default of the whole export is checked before those of its fields are filled in.
        "!has(self.destinations) || "
        "self.destinations.filter(d, has(d.volume) && dyn(d.volume) != null).size() <= 1",
        "export.destinations can have one volume: keep one",
    )
]
BACKUP_DESTINATION = [
    _rule(
        "!has(self.s3) || dyn(self.s3) == null || !has(self.volume) || dyn(self.volume) == null",
        "backup.destination.s3 and backup.destination.volume exclude each other: remove one",
    )
]
RESTORE_SOURCE = [
    _rule(
        f"({_GIVEN.format('s3')}) != ({_GIVEN.format('volume')})",
        "restore.from needs exactly one of volume and s3: give the one that holds the backups",
    )
]
TEMPLATE = [
    _rule(
        f"!has(self.labels) || self.labels.all(k, !k.startsWith('app.kubernetes.io/') && "
        f"!k.startsWith('{naming.GROUP}/'))",
        "template.labels must not begin with app.kubernetes.io/ or usage-operator.io/, which "
        "select the pods: use another prefix",
    )
]
_ZONE_SIZE = "(has({z}.size) && dyn({z}.size) != null ? {z}.size : {s}.storage.size)"
_SIZED = (
    "has({0}.volume) && dyn({0}.volume) != null && "
    "has({0}.volume.size) && dyn({0}.volume.size) != null"
)
SPEC = [
    _rule(
        "self.ingest.port != self.reporting.port",
        "ingest.port and reporting.port must differ: choose another port for one of them",
    ),
    _rule(
        "!has(self.webhooks.assemblyai) || dyn(self.webhooks.assemblyai) == null || "
        "!(self.webhooks.port in [self.ingest.port, self.reporting.port])",
        "webhooks.port must differ from ingest.port and reporting.port: choose another port",
    ),
    _rule(
        "self.zones.all(z, oldSelf.zones.all(o, o.name != z.name || quantity("
        + _ZONE_SIZE.format(z="z", s="self")
        + ").compareTo(quantity("
        + _ZONE_SIZE.format(z="o", s="oldSelf")
        + ")) >= 0))",
        "storage.size and zones[].size cannot shrink, volumes only grow: keep the old size or "
        "more (a new zone may have a smaller one)",
    ),
    _rule(
        "self.export.destinations.all(d, !("
        + _SIZED.format("d")
        + ") || oldSelf.export.destinations.all(o, !("
        + _SIZED.format("o")
        + ") || quantity(d.volume.size).compareTo(quantity(o.volume.size)) >= 0))",
        "export.destinations[].volume.size cannot shrink: keep the old size or more",
    ),
    _rule(
        f"!({_GIVEN.format('backup')}) || !has(oldSelf.backup) || dyn(oldSelf.backup) == null || !("
        + _SIZED.format("self.backup.destination")
        + ") || !("
        + _SIZED.format("oldSelf.backup.destination")
        + ") || quantity(self.backup.destination.volume.size).compareTo("
        "quantity(oldSelf.backup.destination.volume.size)) >= 0",
        "backup.destination.volume.size cannot shrink: keep the old size or more",
    ),
]
RESOURCE = [
    _rule(
        f"size(self.metadata.name) <= {naming.MAX_NAME} && "
        "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        f"metadata.name must have at most {naming.MAX_NAME} lower-case letters, digits and '-', "
        "and begin with a letter, since Services are named after it: choose another name",
    ),
    _rule(
        f"self.spec.zones.all(z, size(self.metadata.name) + size(z.name) < {naming.MAX_SET_NAME})",
        "metadata.name and zones[].name together must have less than "
        f"{naming.MAX_SET_NAME} characters, since StatefulSets are named after both: "
        "shorten one of them",
    ),
]
