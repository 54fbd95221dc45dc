"""The command line."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.operator.support import document
from usage_operator.spec import crd

if TYPE_CHECKING:
    from pathlib import Path


def operator(*words: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a process, without a cluster."""
    unset = {"KUBECONFIG", "KUBERNETES_SERVICE_HOST"}
    environment = {key: value for key, value in os.environ.items() if key not in unset}
    return subprocess.run(
        [sys.executable, "-m", "usage_operator", *words],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )


def test_crd() -> None:
    """The definition is printed as it stands in deploy."""
    done = operator("crd")
    assert (done.returncode, done.stdout) == (0, crd.text())


def test_plan_for_an_empty_cluster(tmp_path: Path) -> None:
    """Every step is printed with its reason, without a cluster."""
    file = tmp_path / "speech.yaml"
    file.write_text(yaml.safe_dump(document()))
    done = operator("plan", "--empty", str(file))
    assert done.returncode == 0, done.stderr
    assert "metering/speech:" in done.stdout
    assert "create StatefulSet speech-eu-1a: it is missing" in done.stdout


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        (yaml.safe_dump(document(colour="red")), 1, "spec.colour"),
        ("kind: Other", 1, "holds no UsageCollector"),
        ("{", 1, "cannot be read"),
    ],
)
def test_a_bad_file(tmp_path: Path, text: str, code: int, words: str) -> None:
    """What is wrong with the file is said, and the exit code is 1."""
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    done = operator("plan", "--empty", str(file))
    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_cluster() -> None:
    """Whoever starts it outside of a cluster is told what to set; the exit code is 2."""
    done = operator("run")
    assert done.returncode == 2
    assert "KUBECONFIG" in done.stderr
    assert "Traceback" not in done.stderr
