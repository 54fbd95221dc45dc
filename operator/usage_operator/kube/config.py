"""How to reach the API server: a kubeconfig, or the service account of the operator's pod."""

from __future__ import annotations

import base64
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from usage_operator import errors

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, slots=True)
class Access:
    """Address and credentials; certificates are PEM."""

    server: str
    namespace: str
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    token: str | None = None
    token_file: Path | None = None
    insecure: bool = False

    def bearer(self) -> str | None:
        """Give the token of this moment: a service account's is renewed in its file."""
        return self.token_file.read_text().strip() if self.token_file else self.token

    def context(self) -> ssl.SSLContext | None:
        """Build the TLS context; None for plain HTTP."""
        if not self.server.startswith("https:"):
            return None
        context = ssl.create_default_context(cadata=self.ca)
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.certificate and self.key:
            # OpenSSL reads key pairs from files only.
            with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
                file.write(f"{self.certificate}\n{self.key}\n")
                file.flush()
                context.load_cert_chain(file.name)
        return context


def in_cluster(host: str, port: str, folder: Path = ACCOUNT) -> Access:
    """Use the service account that Kubernetes mounts into the pod."""
    try:
        namespace = (folder / "namespace").read_text().strip()
        ca = (folder / "ca.crt").read_text()
    except OSError as error:
        raise errors.InvalidSettings(
            f"no service account at {folder}", "mount one, or set KUBECONFIG"
        ) from error
    address = f"[{host}]" if ":" in host else host
    return Access(f"https://{address}:{port}", namespace, ca=ca, token_file=folder / "token")


def _named(config: dict[str, Any], kind: str, name: str, path: Path) -> dict[str, Any]:
    for entry in config.get(f"{kind}s") or []:
        if entry.get("name") == name:
            return dict(entry.get(kind) or {})
    raise errors.InvalidSettings(
        f"{path} has no {kind} named {name!r}", "choose another context, or mend the file"
    )


def _pem(entry: dict[str, Any], name: str, folder: Path) -> str | None:
    if data := entry.get(f"{name}-data"):
        return base64.b64decode(data).decode()
    if file := entry.get(name):
        return (folder / str(file)).read_text()
    return None


def from_file(path: Path, context: str | None = None) -> Access:
    """Read a kubeconfig; InvalidSettings says what is wrong with it."""
    try:
        config = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise errors.InvalidSettings(
            f"the kubeconfig {path} cannot be read ({error})", "give the path of a readable one"
        ) from error
    if not isinstance(config, dict):
        raise errors.InvalidSettings(f"{path} is no kubeconfig", "give the path of one")
    chosen = _named(config, "context", context or config.get("current-context", ""), path)
    cluster = _named(config, "cluster", chosen.get("cluster", ""), path)
    user = _named(config, "user", chosen.get("user", ""), path)
    if "exec" in user or "auth-provider" in user:
        raise errors.InvalidSettings(
            f"user {chosen.get('user')!r} of {path} logs in through a plug-in",
            "use one with a certificate or a token",
        )
    folder = path.parent
    return Access(
        server=cluster["server"].rstrip("/"),
        namespace=chosen.get("namespace") or "default",
        ca=_pem(cluster, "certificate-authority", folder),
        certificate=_pem(user, "client-certificate", folder),
        key=_pem(user, "client-key", folder),
        token=user.get("token"),
        token_file=folder / user["tokenFile"] if user.get("tokenFile") else None,
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
    )
