"""What `make demo` shows."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.system import ROOT, System
from tests.kind_helper.cluster import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]


def test_the_demo_proves_what_it_claims(loaded: Cluster, tmp_path: Path) -> None:
    """The demo runs without a question, ends with 0, and every claim of its list holds."""
    flags = ["--namespace=e2e-demo", f"--folder={tmp_path / 'demo'}"]
    command = [sys.executable, "-m", "tests.e2e.demo", *flags]
    try:
        done = subprocess.run(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    finally:
        System(loaded, "e2e-demo").remove()
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("✓") == 5
    assert "✗" not in done.stdout
    assert (tmp_path / "demo" / "proof-key.pem").exists()
