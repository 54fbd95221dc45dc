"""One node: what its containerd, kubelet and kube-proxy are configured with, and their start."""

import json
from pathlib import Path
from typing import Any

from tests.kind_helper import archive
from tests.kind_helper.local.control_plane import DOMAIN
from tests.kind_helper.local.layout import Layout

_CNI_PROGRAMS = "/usr/lib/cni"


def containerd_config(layout: Layout, zone: str) -> str:
    """containerd's configuration, with every path of its own inside the node's folder."""
    folder = layout.node_folder(zone)
    return f"""\
version = 2
root = "{folder}/containerd/root"
state = "{folder}/containerd/state"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
  "io.containerd.internal.v1.opt",
  "io.containerd.tracing.processor.v1.otlp",
]

[grpc]
  address = "{layout.containerd_socket(zone)}"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{archive.PAUSE}"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  disable_tcp_service = true

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "{_CNI_PROGRAMS}"
  conf_dir = "{folder}/cni"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  SystemdCgroup = false
  Root = "{folder}/containerd/runc"
"""


def cni_config(layout: Layout, zone: str) -> dict[str, Any]:
    """The pod network of a node: a bridge with the zone's range, and host ports."""
    ranges = [[{"subnet": str(layout.pods_of(zone))}]]
    return {
        "cniVersion": "0.4.0",
        "name": layout.namespace(zone),
        "plugins": [
            {
                "type": "bridge",
                "bridge": "pods",
                "isGateway": True,
                "ipMasq": False,
                "hairpinMode": True,
                "ipam": {
                    "type": "host-local",
                    "dataDir": str(layout.node_folder(zone) / "addresses"),
                    "ranges": ranges,
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }


def kubelet_config(layout: Layout, zone: str) -> dict[str, Any]:
    """The kubelet's configuration."""
    folder = layout.node_folder(zone)
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": str(layout.node_address(zone)),
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(layout.state / "pki" / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(layout.state / "pki" / f"kubelet-{zone}.crt"),
        "tlsPrivateKeyFile": str(layout.state / "pki" / f"kubelet-{zone}.key"),
        "clusterDNS": [str(layout.control_plane_address)],
        "clusterDomain": DOMAIN,
        "resolvConf": str(layout.state / "resolv.conf"),
        "containerRuntimeEndpoint": f"unix://{layout.containerd_socket(zone)}",
        # With one root for all, the kubelets would remove each other's pods.
        "cgroupRoot": f"{layout.cgroup}/{zone}",
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": False,
        "failSwapOn": False,
        "maxOpenFiles": 20000,
        "podLogsDir": str(folder / "pod-logs"),
        "volumePluginDir": str(folder / "volume-plugins"),
        # The three nodes share a disk that others use too: its state is no reason to evict.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {
            "imagefs.available": "0%",
            "nodefs.available": "0%",
            "nodefs.inodesFree": "0%",
        },
    }


def kubelet_flags(layout: Layout, zone: str) -> list[str]:
    """The kubelet's arguments."""
    folder = layout.node_folder(zone)
    labels = f"topology.kubernetes.io/zone={zone},topology.kubernetes.io/region=eu-1"
    return [
        f"--config={folder / 'kubelet.json'}",
        f"--kubeconfig={layout.state / f'kubelet-{zone}.kubeconfig'}",
        f"--root-dir={folder / 'kubelet'}",
        f"--cert-dir={folder / 'kubelet-pki'}",
        f"--hostname-override={layout.node(zone)}",
        f"--node-ip={layout.node_address(zone)}",
        f"--node-labels={labels}",
    ]


def proxy_config(layout: Layout, zone: str) -> dict[str, Any]:
    """kube-proxy's configuration; connection tracking limits belong to the machine: left alone."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "bindAddress": str(layout.node_address(zone)),
        "hostnameOverride": layout.node(zone),
        "clientConnection": {"kubeconfig": str(layout.state / "kube-proxy.kubeconfig")},
        # What comes from elsewhere (the host, the API server) must return by the same node.
        "clusterCIDR": str(layout.pods_network),
        "detectLocalMode": "ClusterCIDR",
        # A pod that became ready is used at once; by default up to a second later.
        "iptables": {"minSyncPeriod": "0s"},
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
            "udpTimeout": "0s",
            "udpStreamTimeout": "0s",
        },
    }


def write_configs(layout: Layout, zone: str) -> None:
    """Write the node's configuration files."""
    folder = layout.node_folder(zone)
    (folder / "cni").mkdir(parents=True, exist_ok=True)
    (folder / "pod-logs").mkdir(exist_ok=True)
    (folder / "containerd.toml").write_text(containerd_config(layout, zone))
    _write_json(folder / "cni" / "10-pods.conflist", cni_config(layout, zone))
    _write_json(folder / "kubelet.json", kubelet_config(layout, zone))
    _write_json(folder / "kube-proxy.json", proxy_config(layout, zone))


def _write_json(file: Path, content: dict[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=1))
