"""Kubernetes quantities ("1Gi", "500m") as exact numbers.

Source: the serialisation format in k8s.io/apimachinery/pkg/api/resource.
"""

from __future__ import annotations

import re
from decimal import Decimal

_FORM = re.compile(r"^([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))([A-Za-z]{1,2}|[eE][+-]?[0-9]+)?$")
_DECIMAL = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18, "p": -12}
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}


def parse(text: str | int | float) -> Decimal:
    """Give the quantity in its base unit (bytes, cores); ValueError if it is none."""
    match = _FORM.match(str(text))
    if match is None:
        raise ValueError(f"{text!r} is no quantity: write a number with a unit, such as 1Gi")
    number, unit = Decimal(match[1]), match[2] or ""
    if unit in _BINARY:
        return number * Decimal(1024 ** _BINARY[unit])
    if unit in _DECIMAL:
        return number.scaleb(_DECIMAL[unit])
    if unit:
        if unit[0] not in "eE" or len(unit) == 1:
            raise ValueError(f"{text!r} is no quantity: {unit!r} is no unit, write 1Gi, say")
        return number.scaleb(int(unit[1:]))
    return number


def same(one: object, other: object) -> bool:
    """Tell whether both are quantities of the same size, however they are written."""
    try:
        return parse(str(one)) == parse(str(other))
    except ValueError:
        return False
