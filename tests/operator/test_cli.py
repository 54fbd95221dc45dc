"""The command line."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.operator.support import document
from usage_operator import settings
from usage_operator.spec import crd

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def _environment() -> dict[str, str]:
    unset = {"KUBECONFIG", "KUBERNETES_SERVICE_HOST"}
    return {key: value for key, value in os.environ.items() if key not in unset}


def operator(*words: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a process, without a cluster."""
    return subprocess.run(
        [sys.executable, "-m", "usage_operator", *words],
        capture_output=True,
        text=True,
        env=_environment(),
        check=False,
    )


@contextmanager
def waiting(*words: str) -> Iterator[subprocess.Popen[str]]:
    """The command as a process that goes on."""
    process = subprocess.Popen(
        [sys.executable, "-m", "usage_operator", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=_environment(),
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _config(folder: Path, port: int) -> str:
    """A kubeconfig of an API server on that port of this machine."""
    file = folder / "config"
    cluster = {"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}
    context = {"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "metering"}}
    users = [{"name": "u", "user": {"token": "t"}}]
    value = {"clusters": [cluster], "contexts": [context], "users": users, "current-context": "c"}
    file.write_text(json.dumps(value))
    return str(file)


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


def test_a_plan_says_what_is_held_back(tmp_path: Path) -> None:
    """Nobody is to take what spec.paused holds back for what will be done."""
    file = tmp_path / "speech.yaml"
    file.write_text(yaml.safe_dump(document(paused=True)))
    done = operator("plan", "--empty", str(file))
    assert done.stdout.splitlines()[1].startswith("  paused: nothing of this is done")


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        (yaml.safe_dump(document(colour="red")), 1, "spec.colour"),
        ("kind: Other", 1, "holds no UsageCollector"),
        ("{", 1, "cannot be read"),
        (b"\xff\xfe", 1, "cannot be read"),
        ("kind: UsageCollector\nspec: {zones: [{name: a}]}", 1, "give it a name"),
        ("kind: UsageCollector\nmetadata: {name: x, annotations: 5}", 1, "as a map"),
    ],
)
def test_a_bad_file(tmp_path: Path, text: str | bytes, code: int, words: str) -> None:
    """What is wrong with the file is said, and the exit code is 1."""
    file = tmp_path / "bad.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
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


def test_its_version_is_told() -> None:
    """So that it can be named where something is wrong."""
    assert operator("--version").stdout == f"usage-operator {settings.VERSION}\n"


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_an_operator_that_waits_for_the_api_server_can_be_ended(
    tmp_path: Path, how: signal.Signals
) -> None:
    """By either signal, soon and without a trace, although it never began to work."""
    with socket.socket() as nobody:  # bound, and listens not
        nobody.bind(("127.0.0.1", 0))
        flags = ["--kubeconfig", _config(tmp_path, nobody.getsockname()[1]), "--http-port", "0"]
        with waiting("run", *flags) as process:
            assert process.stderr
            assert "asked again" in process.stderr.readline()
            process.send_signal(how)
            out, err = process.communicate(timeout=60)
    assert (process.returncode, "Traceback" in out + err) == (0, False)


def test_an_interrupted_plan_says_so(tmp_path: Path) -> None:
    """Ctrl-C while the API server says nothing: exit code 130, and no trace."""
    file = tmp_path / "speech.yaml"
    file.write_text(yaml.safe_dump(document()))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        flags = ["--kubeconfig", _config(tmp_path, silent.getsockname()[1])]
        with waiting("plan", *flags, str(file)) as process:
            connection, _ = silent.accept()
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
            connection.close()
    assert (process.returncode, err) == (130, "usage-operator: interrupted\n")
