"""Kubeconfig documents as plain data."""

import base64
from pathlib import Path
from typing import Any

import yaml


def _data(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()


def document(
    name: str, server: str, authority: Path, certificate: Path, key: Path
) -> dict[str, Any]:
    """A kubeconfig with one context for one user; the files' contents go into it."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": name,
                "cluster": {"server": server, "certificate-authority-data": _data(authority)},
            }
        ],
        "users": [
            {
                "name": name,
                "user": {
                    "client-certificate-data": _data(certificate),
                    "client-key-data": _data(key),
                },
            }
        ],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }


def write(file: Path, content: dict[str, Any]) -> None:
    """Write a kubeconfig that only its owner can read."""
    file.touch(mode=0o600)
    file.write_text(yaml.safe_dump(content, sort_keys=False))
