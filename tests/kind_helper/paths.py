"""Where the helper keeps things: a cache that may be lost, and state that `down` removes."""

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
STATE_ROOT = Path("/var/lib/usage-kind")
"""The state of local clusters, a folder each; only root makes them."""


def cache() -> Path:
    """The user's cache folder (XDG) for what takes long to make: programs, base image."""
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root) / "usage-operator"


def user_state() -> Path:
    """The user's state folder (XDG) for kubeconfigs of clusters that need no root."""
    root = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(root) / "usage-operator"
