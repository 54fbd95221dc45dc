"""What is asked of usage, customers and limits is answered, or refused by the parameter's name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.contract.conftest import Collector

USAGE, INVOICES = "/v2/usage", "/v1/customers/-/usage"
COVERAGE, SERIES, LATEST = "/v1/coverage", "/v1/usage/series", "/v1/usage/latest"
_DAYS = (USAGE, INVOICES, COVERAGE, SERIES)
_BAD = [
    *((path, "since", "2026-02-30") for path in _DAYS),
    *((path, "since", "") for path in _DAYS),
    *((path, "until", "2026-10-01T00:00:00Z") for path in _DAYS),
    *((path, "until", "٢٠٢٦-10-01") for path in _DAYS),
    (USAGE, "group_by", "colour"),
    (USAGE, "group_by", "zone,"),
    (USAGE, "group_by", "zone,zone"),
    (USAGE, "group_by", "dimension:"),
    (USAGE, "group_by", "zone,project_id"),
    (USAGE, "group_by", "dimension:a,dimension:%61"),
    (USAGE, "group_by", ",".join(f"dimension:{n}" for n in range(17))),
    (USAGE, "customer", "nobody-has-this-id"),
    (USAGE, "customer", ""),
    (USAGE, "format", "xml"),
    (INVOICES, "format", "xml"),
    (SERIES, "by", "colour"),
    (SERIES, "top", "0"),
    (LATEST, "count", "many"),
]


@pytest.mark.parametrize(("path", "name", "value"), _BAD)
def test_a_bad_parameter_is_refused_by_name(
    collector: Collector, path: str, name: str, value: str
) -> None:
    """400, which parameter it is, and what it may be."""
    answer = collector.read.get(path, params={name: value})
    said = answer.json()
    assert answer.status_code == 400, said
    assert (said["code"], said["error"]) == (400, "Bad Request")
    assert said["detail"].startswith(name)
    assert any(word in said["detail"] for word in (": use ", ": write ", ": name ")), said


@pytest.mark.parametrize("path", _DAYS)
def test_a_window_that_is_turned_around_is_refused(collector: Collector, path: str) -> None:
    """It is no window without usage."""
    days = {"since": "2026-10-02", "until": "2026-10-01"}
    answer = collector.read.get(path, params=days)
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("since 2026-10-02 is after until 2026-10-01")


def test_a_customer_that_nobody_registered_is_no_empty_bill(collector: Collector) -> None:
    """Asked for as an argument it is a bad one; itself it is not there."""
    answer = collector.read.get("/v1/customers/nobody-has-this-id/usage")
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("customer: 'nobody-has-this-id' is not registered")
    assert collector.read.get("/v1/customers/nobody-has-this-id").status_code == 404


def test_each_parameter_is_described(collector: Collector) -> None:
    """The description lists it, with what it may be where that can be said."""
    paths = collector.read.get("/openapi.json").json()["paths"]
    for path, name, _ in _BAD:
        described = paths[path.replace("/-/", "/{customer}/")]["get"]
        listed = {one["name"]: one["schema"] for one in described["parameters"]}
        assert name in listed, (path, name)
        assert {"400", "401", "403"} <= described["responses"].keys()
    usage = {one["name"]: one["schema"] for one in paths[USAGE]["get"]["parameters"]}
    assert usage["since"]["format"] == "date"
    assert usage["format"]["enum"] == ["json", "csv"]
    assert "operating_point" in usage["group_by"]["pattern"]
    assert re.search(usage["group_by"]["pattern"], "zone,dimension:project id,day")
    assert not re.search(usage["group_by"]["pattern"], "zone,dimension:")


def test_who_may_not_is_told_so(collector: Collector) -> None:
    """401 without a token, 403 where the role is not enough, each with the documented body."""
    for path in (*_DAYS, LATEST, "/v1/customers", "/v1/limits"):
        answer = collector.anyone.get(path)
        assert answer.status_code == 401, path
        assert set(answer.json()) == {"code", "error", "detail"}
    refused = collector.read.put("/v1/customers/x", json={"name": "X"})
    assert (refused.status_code, refused.json()["error"]) == (403, "Forbidden")
