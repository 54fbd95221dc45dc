"""Checks of single values, the same as the schema's rules and those that no schema can make."""

from __future__ import annotations

import datetime as dt
import ipaddress
import re
import zoneinfo
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator

from usage_operator import naming, quantities, schedules

if TYPE_CHECKING:
    from collections.abc import Sequence

_LABEL = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
_HOST = re.compile(r"(\*\.)?{0}(\.{0})*".format("[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?"))
_TIME = re.compile(r"^([01][0-9]|2[0-3]):[0-5][0-9]$")


def _quantity(text: str) -> str:
    if quantities.parse(text) <= 0:
        raise ValueError(f"{text!r} must be above zero: write a size such as 1Gi")
    return text


def _amount(value: str | int) -> str | int:
    quantities.parse(value)
    return value


def _host_name(text: str) -> str:
    try:
        ipaddress.ip_address(text.partition("%")[0])
        good = "%" not in text
    except ValueError:
        good = bool(_HOST.fullmatch(text))
    if not good:
        raise ValueError(
            f"{text!r} is neither a DNS name nor an IP address: write usage.example.org, without "
            "scheme, port or a dot at the end, and other letters as xn--"
        )
    return text


def _time_of_day(text: str) -> str:
    if not _TIME.match(text):
        raise ValueError(f"{text!r} is no time of day: write HH:MM, such as 06:00")
    return text


def _web_address(text: str) -> str:
    try:
        parts = urlsplit(text)
        good = bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise ValueError(f"{text!r} is no address: write https://HOST:PORT/PATH")
    return text


def _time_zone(text: str) -> str:
    try:
        zoneinfo.ZoneInfo(text)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(
            f"{text!r} is no time zone: write an IANA name such as Etc/UTC or Europe/Berlin"
        ) from error
    return text


def _schedule(text: str) -> str:
    if flaw := schedules.unreadable(text):
        raise ValueError(
            f"{text!r} is no schedule ({flaw}): write minute, hour, day of the month, month and "
            "day of the week, such as 0 6 * * *, or a word such as @daily"
        )
    return text


def _country(text: str) -> str:
    import holidays  # takes a third of a second, and few ask for it

    if text not in holidays.list_supported_countries(include_aliases=False):
        raise ValueError(
            f"the public holidays of {text!r} are not known: write an ISO 3166-1 code such as DE, "
            "or list the days in holidays.dates"
        )
    return text


def _date(text: str) -> str:
    try:
        dt.date.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no day: write YYYY-MM-DD, such as 2026-12-24") from error
    return text


def _export_day(value: int | str) -> int | str:
    if value == "LastWorkingDay" or (isinstance(value, int) and 1 <= value <= 28):
        return value
    raise ValueError(f"{value!r} is neither LastWorkingDay nor a number from 1 to 28")


def _zone_name(text: str) -> str:
    if not _LABEL.match(text) or len(text) > 40:
        raise ValueError(
            f"{text!r} must be at most 40 lower-case letters, digits and '-': rename the zone, "
            "and point nodeSelector at its nodes"
        )
    if text in naming.RESERVED_ZONES:
        raise ValueError(
            f"{text!r} is reserved for the operator's own objects: rename the zone, and point "
            "nodeSelector at its nodes"
        )
    return text


def _unique_zones(zones: Sequence[Any]) -> Sequence[Any]:
    if not zones:
        raise ValueError("is empty: name at least one zone, such as eu-1a")
    seen: set[str] = set()
    for zone in zones:
        if zone.name in seen:
            raise ValueError(f"zone {zone.name!r} stands there twice: name each zone once")
        seen.add(zone.name)
    return zones


quantity = AfterValidator(_quantity)
amount = AfterValidator(_amount)
web_address = AfterValidator(_web_address)
host_name = AfterValidator(_host_name)
time_of_day = AfterValidator(_time_of_day)
time_zone = AfterValidator(_time_zone)
schedule = AfterValidator(_schedule)
country = AfterValidator(_country)
date = AfterValidator(_date)
export_day = AfterValidator(_export_day)
zone_name = AfterValidator(_zone_name)
unique_zones = AfterValidator(_unique_zones)
