"""Alerts and the dashboard read metrics that exist, and runbooks are where alerts point to."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from prometheus_client import generate_latest

from tests.collector.samples import event
from tests.contract.promql import told, unknown, used
from usage_collector.web import Lag
from usage_operator import metrics, probe
from usage_operator.manifests import monitoring

if TYPE_CHECKING:
    from tests.contract.conftest import Collector

ROOT = Path(__file__).resolve().parents[2]
OPERATOR = "usage_operator_"


def dashboard() -> dict[str, list[str]]:
    """Each panel's expressions, by title."""
    text = (ROOT / "deploy" / "dashboards" / "usage-collectors.json").read_text()
    return {
        panel["title"]: [target["expr"] for target in panel["targets"]]
        for panel in json.loads(text)["panels"]
    }


def alerts() -> list[dict[str, Any]]:
    """The alerts of the chart."""
    file = ROOT / "charts" / "usage-operator" / "files" / "alerts.yaml"
    found: list[dict[str, Any]] = yaml.safe_load(file.read_text())
    return found


def expressions() -> list[str]:
    """All expressions, those about the operator too."""
    ours = [
        monitoring.expression(alert, "metering", "speech-collector") for alert in monitoring.ALERTS
    ]
    ours += [
        monitoring.expression(alert, "metering", "speech-shipper")
        for alert in monitoring.SHIPPER_ALERTS
    ]
    shown = [expression for panel in dashboard().values() for expression in panel]
    return [*ours, *(str(alert["expr"]) for alert in alerts()), *shown]


def test_what_is_read_of_collectors_is_told_by_them(collector: Collector) -> None:
    """Every metric and label, on a running collector that took and refused something."""
    assert collector.ingest.post("/v1/log", content=event(1)).status_code == 201
    assert collector.ingest.post("/v1/log", content=b"[").status_code == 400
    known = told(collector.anyone.get("/metrics").text)
    known |= told(generate_latest(Lag(["http://c:8000"], 60.0).registry).decode())
    read = [one for one in expressions() if "usage_" in one and OPERATOR not in one]
    assert len(read) > 10
    missing = {one: lacking for one in read if (lacking := unknown(one, known))}
    assert not missing


def test_the_operator_reads_all_of_its_figures_of_a_collector(collector: Collector) -> None:
    """By the names that the collector gives them: one that lost nothing says so."""
    text = collector.anyone.get("/metrics").text
    said = probe.combine([text])
    assert None not in (said.version, said.used, said.volume)
    assert (said.damaged, said.lost) == (0, ())
    assert f'collector="{probe.read(text).collector}"' in text


def test_what_is_read_of_operators_has_its_labels() -> None:
    """Every name is one of the operator's metrics; a running one is asked in the whole way."""
    ours = {
        f"{one._name}{end}": set(one._labelnames)
        for one in vars(metrics).values()
        if hasattr(one, "_labelnames")
        for end in ("", "_total", "_bucket")
    }
    read = [one for one in expressions() if OPERATOR in one]
    assert len(read) > 5
    missing = {one: lacking for one in read if (lacking := unknown(one, ours))}
    assert not missing


def listed(heading: str) -> dict[str, tuple[set[str], str]]:
    """The metrics that the document lists there: labels and meaning."""
    text = (ROOT / "docs" / "metrics.md").read_text().split(f"\n## {heading}\n")[1]
    rows = re.findall(
        r"^\| `(usage_\w+)` \| (.*?) \| (.+) \|$", text.split("\n## ")[0], re.MULTILINE
    )
    return {name: (set(re.findall(r"`(\w+)`", labels)), said) for name, labels, said in rows}


def helped(text: str) -> dict[str, str]:
    """The metrics of ours that a process tells, and what it says of them."""
    found = re.findall(r"^# HELP (usage_\w+) (.*?)\.?$", text, re.MULTILINE)
    return {name: said for name, said in found if not name.endswith("_created")}


def test_every_metric_is_listed(collector: Collector) -> None:
    """With the labels it has and the words that it comes with; nothing else is."""
    assert collector.ingest.post("/v1/log", content=event(2)).status_code == 201
    texts = {
        "Collectors": collector.anyone.get("/metrics").text,
        "Shippers": generate_latest(Lag(["http://c:8000"], 60.0).registry).decode(),
        "The operator": generate_latest().decode(),
    }
    for heading, text in texts.items():
        documented = listed(heading)
        assert {name: said for name, (_, said) in documented.items()} == helped(text)
        for name, labels in told(text).items():
            if name in documented:
                assert documented[name][0] == labels, name
    operators = {name: labels for name, (labels, _) in listed("The operator").items()}
    for one in vars(metrics).values():
        if hasattr(one, "_labelnames"):
            name = one._name if one._name in operators else f"{one._name}_total"
            assert operators[name] == set(one._labelnames)


def test_every_panel_shows_something() -> None:
    """No expression is without a metric, and no title stands twice."""
    panels = dashboard()
    assert len(panels) == 15
    assert all(used(one) for panel in panels.values() for one in panel)


def test_every_alert_has_a_runbook() -> None:
    """Its name is a heading of the operations' document, and a line of the list there."""
    text = (ROOT / "docs" / "operations.md").read_text()
    headings = re.findall(r"^### (Usage\w+)$", text, re.MULTILINE)
    names = [alert.name for alert in monitoring.ALERTS] + [str(one["alert"]) for one in alerts()]
    names += [alert.name for alert in monitoring.SHIPPER_ALERTS]
    assert headings == names
    assert re.findall(r"^\| \[(Usage\w+)\]", text, re.MULTILINE) == names
