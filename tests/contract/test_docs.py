"""What the documents say is what the code does."""

import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.contract.conftest import Collector
from usage_collector import settings
from usage_collector.cli import COMMANDS
from usage_operator.conditions import REASONS

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md", *DOCS.glob("*.md")]


def _rows(page: str, heading: str) -> list[list[str]]:
    """The cells of the tables below a heading."""
    text = (DOCS / page).read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_setting_is_documented_with_its_default() -> None:
    """The table of settings has each variable of the collector, and no other."""
    told = {
        name: row[1].strip("`")
        for row in _rows("interface.md", "Settings")
        for name in re.findall(r"`([A-Z_]+)`", row[0])
    }
    known = {variable.name: variable.default for variable in settings.VARIABLES}
    assert told.keys() == known.keys()
    for name, default in known.items():
        if default:
            assert told[name] == default, name


def test_every_route_is_documented(collector: Collector) -> None:
    """Each path of the API description stands in the interface's document."""
    text = (DOCS / "interface.md").read_text()
    paths = collector.anyone.get("/openapi.json")
    if paths.status_code == 401:
        paths = collector.read.get("/openapi.json")
    for path in paths.json()["paths"]:
        assert path.replace("{period}", "2026-10") in text, path


def test_every_setting_of_the_operator_is_documented() -> None:
    """The operations' table has each flag of `usage-operator run`, by its variable."""
    command = [sys.executable, "-m", "usage_operator", "run", "--help"]
    wide = {**os.environ, "COLUMNS": "200"}
    usage = subprocess.run(command, capture_output=True, text=True, check=True, env=wide).stdout
    variables = set(re.findall(r"\[(USAGE_OPERATOR_[A-Z_]+)\]", usage))
    told = set(re.findall(r"USAGE_OPERATOR_[A-Z_]+", (DOCS / "operations.md").read_text()))
    assert variables == told


def test_every_reason_has_a_remedy() -> None:
    """Each reason of a condition stands in the operations' table."""
    told = {
        reason
        for row in _rows("operations.md", "Looking")
        for reason in re.findall(r"`(\w+)`", row[0])
    }
    reasons = {reason for group in REASONS.values() for reason in group}
    assert reasons <= told, reasons - told


def test_every_right_is_justified() -> None:
    """The table of rights has each rule of the roles, with exactly its verbs, and no other."""
    rules = []
    for file in ("role.yaml", "leader.yaml"):
        for role in yaml.safe_load_all((ROOT / "deploy" / "base" / file).read_text()):
            for rule in role.get("rules", []):
                (group,) = rule["apiGroups"]
                first, *more = rule["resources"]
                names = [f"{group}/{first}" if group else first, *more]
                rules.append((names, rule["verbs"]))
    told = [
        (re.findall(r"`([^`]+)`", row[0]), row[1].split(", "))
        for row in _rows("operations.md", "Rights")[2:]
    ]
    assert told == rules
    assert all(row[2] for row in _rows("operations.md", "Rights"))


def test_every_command_is_documented() -> None:
    """Each subcommand is named in a document."""
    text = "".join(page.read_text() for page in PAGES)
    for command in COMMANDS:
        assert f"usage-collector {command}" in text, command


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Relative links point to files and headings that exist."""
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text()):
        file, _, heading = target.partition("#")
        path = (page.parent / file).resolve() if file else page
        assert path.exists(), target
        if heading:
            titles = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
            assert heading in anchors, target


def test_the_check_without_us_works(collector: Collector, tmp_path: Path) -> None:
    """The ten lines in the formats' document tell a package from an altered one."""
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "formats.md").read_text(), re.DOTALL)
    script = tmp_path / "check.py"
    script.write_text(blocks[-1])
    event = json.dumps({"event": "SESSION_STATUS", "session_id": "docs", "text": "a\u00e9"})
    assert collector.ingest.post("/v1/log", content=event.encode()).status_code == 201
    package = tmp_path / "package.json.gz"
    package.write_bytes(collector.read.get("/v1/export").content)
    done = subprocess.run(
        [sys.executable, script, package], capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith("unaltered"), done.stderr
    plain = collector.read.get("/v1/export", headers={"Accept": "application/json"}).content
    package.write_bytes(gzip.compress(plain.replace(b'"docs"', b'"cods"')))
    altered = subprocess.run([sys.executable, script, package], capture_output=True, check=False)
    assert altered.returncode != 0
