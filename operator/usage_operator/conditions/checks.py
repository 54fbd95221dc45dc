"""The conditions, each an ordered list of questions: the first that applies answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from usage_operator.conditions.facts import Facts, Trouble, ZoneFacts

State = Literal["True", "False", "Unknown"]


class Verdict(NamedTuple):
    """What a condition says."""

    status: State
    reason: str
    message: str


REASONS = {
    "Ready": (
        *("Serving", "Paused", "InvalidSpec", "SecretMissing", "SecretInvalid"),
        *("ClientCAMissing", "ClientCAInvalid", "CertificatePending"),
        *("StorageClassMissing", "NameTaken", "ApplyFailed", "Applying", "RollingOut"),
        *("WaitingForWindow", "PodsNotReady", "ProxiesNotReady", "Unreachable"),
    ),
    "Progressing": (
        *("Settled", "Blocked", "Applying", "RollingOut", "Waiting", "WaitingForWindow"),
        *("Leaving", "Paused"),
    ),
    "Degraded": (
        *("AsExpected", "RolloutStuck", "ZonesNotReady", "ProxiesNotReady"),
        *("SecretMissing", "SecretInvalid", "StorageClassMissing"),
        *("LedgerDamaged", "VolumeFilling", "VolumeLost", "StorageClassDiffers", "DiscardInUse"),
    ),
    "BackedUp": (
        *("BackedUp", "Restored", "SameZone", "ShipperBehind", "BackupFailed", "BackupOverdue"),
        *("BackupPending", "NoBackup", "SecretMissing", "SecretInvalid", "StorageClassMissing"),
    ),
    "BackupVerified": (
        "Verified",
        "VerifyFailed",
        "VerifyOverdue",
        "VerifyPending",
        "VerifyOff",
        "NoBackup",
    ),
    "Restored": (
        *("Restored", "RestoredWithLoss", "RestorePlanned", "Restoring", "RestoreFailed"),
        "RestoreRefused",
    ),
    "Exported": (
        *("Exported", "NothingDue", "NotYet", "Running"),
        *("ExportIncomplete", "DeliveryFailed", "ExportFailed", "ExportOverdue"),
        *("SecretMissing", "SecretInvalid", "StorageClassMissing"),
    ),
}
"""Every reason that a condition can have; the documentation explains each."""


def _short(zones: Iterable[ZoneFacts]) -> list[ZoneFacts]:
    return [zone for zone in zones if zone.ready < zone.replicas]


def _say(zones: Iterable[ZoneFacts]) -> str:
    return "; ".join(
        f"zone {zone.name} has {zone.ready} of {_count(zone.replicas, 'collector')} ready"
        + (f" ({zone.why})" if zone.why else "")
        for zone in zones
    )


def _merge(troubles: Iterable[Trouble]) -> Verdict:
    found = list(troubles)
    return Verdict("False", found[0].reason, "; ".join(one.message for one in found))


def _proxies(facts: Facts) -> str | None:
    there = facts.proxies
    if there is None or there.ready >= there.wanted:
        return None
    goes = "" if there.ready else "; until one is, the Service leads to the collectors themselves"
    return f"{there.ready} of {_count(there.wanted, 'proxy', 'proxies')} ready{goes}"


def _closed(facts: Facts) -> Verdict | None:
    """Judge whether what is rolled out does not serve as it should."""
    if short := _short(facts.zones):
        return Verdict("False", "PodsNotReady", _say(short))
    if words := _proxies(facts):
        return Verdict("False", "ProxiesNotReady", words)
    if facts.unreachable:
        return Verdict("False", "Unreachable", facts.unreachable)
    return None


def ready(facts: Facts) -> Verdict:
    """Judge whether what is wanted is rolled out, serving and reachable."""
    if facts.blocked:
        return Verdict("False", *facts.blocked)
    if facts.troubles:
        return _merge(facts.troubles)
    if facts.written and not facts.paused:
        return Verdict("False", "Applying", f"{_count(facts.written, 'object')} written just now")
    rolling = [zone.name for zone in facts.zones if zone.rolling]
    if facts.window and not rolling:
        return Verdict("False", "WaitingForWindow", "; ".join(facts.waiting))
    if rolling or facts.waiting:
        about = [f"zone {name} is rolling out" for name in rolling] + list(facts.waiting)
        return Verdict("False", "RollingOut", "; ".join([*about, *_short_notes(facts)]))
    if not facts.zones:
        return Verdict("False", "Applying", "no collector has been made yet")
    if closed := _closed(facts):
        return closed
    if facts.paused:
        return Verdict("True", "Paused", "collectors serve; spec.paused holds back every change")
    total, zones = sum(zone.replicas for zone in facts.zones), len(facts.zones)
    words = f"{_count(total, 'collector')} in {_count(zones, 'zone')}"
    return Verdict("True", "Serving", f"{words} serve{'s' if total == 1 else ''}")


def _count(number: int, what: str, many: str = "") -> str:
    return f"{number} {what if number == 1 else many or what + 's'}"


def _short_notes(facts: Facts) -> list[str]:
    return [_say([zone]) for zone in _short(facts.zones)]


def progressing(facts: Facts) -> Verdict:
    """Judge whether something is under way that ends by itself, or by a word of the user."""
    if facts.paused:
        return Verdict("False", "Paused", "spec.paused is true: nothing is changed")
    if facts.blocked or facts.troubles:
        return Verdict("False", "Blocked", (facts.blocked or facts.troubles[0]).message)
    if facts.written:
        return Verdict("True", "Applying", f"{_count(facts.written, 'object')} written just now")
    if any(zone.rolling for zone in facts.zones):
        names = ", ".join(zone.name for zone in facts.zones if zone.rolling)
        return Verdict("True", "RollingOut", "; ".join([f"rolling out: {names}", *facts.waiting]))
    if facts.waiting:
        reason = "WaitingForWindow" if facts.window else "Waiting"
        return Verdict("True", reason, "; ".join(facts.waiting))
    if short := [zone for zone in _short(facts.zones) if zone.settling]:
        return Verdict("True", "RollingOut", _say(short))
    if left := [zone for zone in facts.zones if zone.leaving]:
        return Verdict("True", "Leaving", _leaving(left, facts))
    return Verdict("False", "Settled", "everything is as the spec wants it")


def _leaving(zones: Iterable[ZoneFacts], facts: Facts) -> str:
    zones = list(zones)
    words = []
    for zone in zones:
        whole = zone.leaving >= zone.replicas
        ordinals = range(zone.replicas - zone.leaving, zone.replicas)
        words += [zone.name] if whole else [f"{zone.name}/{ordinal}" for ordinal in ordinals]
    waits = "; ".join(zone.waits for zone in zones if zone.waits)
    due = f"; the next export is due at {facts.next_export[1]}" if facts.next_export else ""
    return (
        f"{', '.join(words)} left the spec, and go when all they hold is exported"
        + (f" ({waits}{due})" if waits else "")
        + ": to keep them put them back into the spec, to give up what was not exported annotate "
        f"the resource with usage-operator.io/discard={','.join(words)}"
    )


def _concerns(facts: Facts) -> Iterator[tuple[str, str]]:
    """Give what needs a person, as reason and message: what is urgent first."""
    late = [zone for zone in _short(facts.zones) if not zone.settling]
    if stuck := [zone for zone in late if zone.rolling]:
        goes = "; the other zones are left as they are until the spec is corrected"
        yield "RolloutStuck", _say(stuck) + goes
    elif late:
        yield "ZonesNotReady", _say(late)
    if (words := _proxies(facts)) and facts.proxies and not facts.proxies.settling:
        yield "ProxiesNotReady", words
    if facts.filling:
        hint = ": raise spec.storage.size, volumes grow without a restart"
        yield "VolumeFilling", "; ".join(facts.filling) + hint
    if facts.lost:
        yield "VolumeLost", "; ".join(facts.lost)
    if facts.damaged:
        hint = (
            ": what is damaged was set aside, a new ledger takes events; the runbook "
            "UsageLedgerDamaged says how to restore what it lacks"
        )
        yield "LedgerDamaged", "; ".join(facts.damaged) + hint
    if spared := (*facts.export_troubles, *facts.backup_troubles, *facts.alert_troubles):
        goes = "; collectors take events meanwhile"
        yield spared[0].reason, "; ".join(one.message for one in spared) + goes
    if facts.differing:
        yield "StorageClassDiffers", "; ".join(facts.differing)
    if facts.idle_discards:
        names = ", ".join(facts.idle_discards)
        goes = "take it out, or the next removal discards without asking"
        yield (
            "DiscardInUse",
            f"the annotation usage-operator.io/discard names {names}, which the spec wants: {goes}",
        )


def degraded(facts: Facts) -> Verdict:
    """Judge whether something needs a person, although the rest may serve.

    The reason is that of the most urgent, the message names all: some stand for long.
    """
    found = list(_concerns(facts))
    if not found:
        return Verdict("False", "AsExpected", "no zone needs attention")
    return Verdict("True", found[0][0], ". ".join(message for _, message in found))
