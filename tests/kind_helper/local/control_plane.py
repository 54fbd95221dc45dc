"""The control plane of a local cluster: what its components are started with."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.kind_helper import kubeconfig
from tests.kind_helper.local.layout import Layout
from tests.kind_helper.local.pki import Authority

COREDNS_USER = "system:coredns"
DOMAIN = "cluster.local"
_ETCD = "http://127.0.0.1:2379"


def _flags(values: Mapping[str, object]) -> list[str]:
    return [f"--{name}={value}" for name, value in values.items()]


def etcd_flags(layout: Layout) -> list[str]:
    """The store's arguments; it listens on the loopback of the control plane's namespace."""
    peer = "http://127.0.0.1:2380"
    return [
        *_flags({"name": "etcd", "data-dir": layout.state / "etcd"}),
        *_flags({"listen-client-urls": _ETCD, "advertise-client-urls": _ETCD}),
        *_flags({"listen-peer-urls": peer, "initial-advertise-peer-urls": peer}),
        *_flags({"initial-cluster": f"etcd={peer}", "log-level": "warn"}),
        # The bench of the operator makes 200,000 objects; the default of 2 GiB ends before that.
        f"--quota-backend-bytes={8 << 30}",
        # A test cluster does not outlive its machine: waiting for the disk would buy nothing.
        "--unsafe-no-fsync",
    ]


def apiserver_flags(layout: Layout) -> list[str]:
    """The API server's arguments: RBAC, and admission plugins as they are by default."""
    pki = layout.state / "pki"
    return _flags(
        {
            "etcd-servers": _ETCD,
            "advertise-address": layout.control_plane_address,
            "bind-address": layout.control_plane_address,
            "secure-port": 6443,
            "service-cluster-ip-range": layout.services_network,
            "authorization-mode": "Node,RBAC",
            "enable-admission-plugins": "NodeRestriction",
            "allow-privileged": "true",
            "client-ca-file": pki / "ca.crt",
            "tls-cert-file": pki / "apiserver.crt",
            "tls-private-key-file": pki / "apiserver.key",
            "kubelet-client-certificate": pki / "apiserver-kubelet.crt",
            "kubelet-client-key": pki / "apiserver-kubelet.key",
            # Logs and exec would otherwise look node names up, which nothing here resolves.
            "kubelet-preferred-address-types": "InternalIP",
            "service-account-issuer": f"https://kubernetes.default.svc.{DOMAIN}",
            "service-account-key-file": pki / "service-accounts.pub",
            "service-account-signing-key-file": pki / "service-accounts.key",
        }
    )


def controller_manager_flags(layout: Layout) -> list[str]:
    """The controller manager's arguments; the pod ranges are given to the nodes by the helper."""
    pki, config = layout.state / "pki", layout.state / "controller-manager.kubeconfig"
    return _flags(
        {
            "kubeconfig": config,
            "authentication-kubeconfig": config,
            "authorization-kubeconfig": config,
            "bind-address": "127.0.0.1",
            "leader-elect": "false",
            "allocate-node-cidrs": "false",
            "cluster-cidr": layout.pods_network,
            "cluster-signing-cert-file": pki / "ca.crt",
            "cluster-signing-key-file": pki / "ca.key",
            "root-ca-file": pki / "ca.crt",
            "service-account-private-key-file": pki / "service-accounts.key",
            "use-service-account-credentials": "true",
            "kube-api-qps": 100,
            "kube-api-burst": 200,
        }
    )


def scheduler_flags(layout: Layout) -> list[str]:
    """The scheduler's arguments."""
    config = layout.state / "scheduler.kubeconfig"
    return _flags(
        {
            "kubeconfig": config,
            "authentication-kubeconfig": config,
            "authorization-kubeconfig": config,
            "bind-address": "127.0.0.1",
            "leader-elect": "false",
            "kube-api-qps": 100,
            "kube-api-burst": 200,
        }
    )


def corefile(layout: Layout) -> str:
    """CoreDNS's configuration: the cluster's names, and a quick "no such name" for all others."""
    return f"""\
{DOMAIN} in-addr.arpa ip6.arpa {{
    bind {layout.control_plane_address}
    errors
    kubernetes {DOMAIN} in-addr.arpa ip6.arpa {{
        kubeconfig {layout.state / "coredns.kubeconfig"}
        pods insecure
        ttl 5
    }}
}}
. {{
    bind {layout.control_plane_address}
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"""


def issue_certificates(layout: Layout) -> Authority:
    """Make the authority, all certificates of the control plane, and the kubeconfigs."""
    authority = Authority(layout.state / "pki")
    service = "kubernetes.default.svc"
    hosts = ["kubernetes", "kubernetes.default", service, f"{service}.{DOMAIN}"]
    hosts += [str(layout.first_service), str(layout.control_plane_address), "127.0.0.1"]
    authority.issue("apiserver", "kube-apiserver", hosts=hosts)
    authority.issue("apiserver-kubelet", "kube-apiserver-kubelet-client", "system:masters")
    authority.key_pair("service-accounts")
    users = {
        "admin": ("usage-kind-admin", "system:masters"),
        "controller-manager": ("system:kube-controller-manager", None),
        "scheduler": ("system:kube-scheduler", None),
        "kube-proxy": ("system:kube-proxy", "system:node-proxier"),
        "coredns": (COREDNS_USER, None),
    }
    for file, (user, group) in users.items():
        write_kubeconfig(layout, authority, file, user, group)
    return authority


def write_kubeconfig(
    layout: Layout, authority: Authority, file: str, user: str, group: str | None
) -> Path:
    """Issue a client certificate and write the kubeconfig that uses it."""
    certificate, key = authority.issue(file, user, group)
    target = layout.state / f"{file}.kubeconfig"
    content = kubeconfig.document(
        f"usage-kind-{layout.name}", layout.server, authority.certificate, certificate, key
    )
    kubeconfig.write(target, content)
    return target


def coredns_rbac() -> list[dict[str, Any]]:
    """What CoreDNS must be allowed to watch."""
    name = "usage-kind:coredns"
    kind = "rbac.authorization.k8s.io"
    rules = [
        {
            "apiGroups": [""],
            "resources": ["services", "pods", "namespaces"],
            "verbs": ["list", "watch"],
        },
        {
            "apiGroups": ["discovery.k8s.io"],
            "resources": ["endpointslices"],
            "verbs": ["list", "watch"],
        },
    ]
    return [
        {
            "apiVersion": f"{kind}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": name},
            "rules": rules,
        },
        {
            "apiVersion": f"{kind}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": kind, "kind": "ClusterRole", "name": name},
            "subjects": [{"apiGroup": kind, "kind": "User", "name": COREDNS_USER}],
        },
    ]
