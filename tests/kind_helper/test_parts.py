"""The pinned parts: what is built, under which key, and by which command."""

import re
from pathlib import Path

import pytest

from tests.kind_helper import binaries, debian, kind, paths, toolchain, versions
from tests.kind_helper.versions import Part

KUBELET = next(part for part in versions.PARTS if part.name == "kubelet")
HELM = next(part for part in versions.PARTS if part.name == "helm")


@pytest.mark.parametrize(
    ("module", "required"),
    [
        ("kubernetes", f"k8s.io/kubernetes v{versions.KUBERNETES}"),
        ("etcd", f"go.etcd.io/etcd/server/v3 v{versions.ETCD}"),
    ],
)
def test_modules_pin_the_same_versions(module: str, required: str) -> None:
    """The go.mod files and the versions' file name the same releases."""
    folder = paths.HERE / "modules" / module
    text = (folder / "go.mod").read_text()
    assert re.search(rf"^\s*(require )?{re.escape(required)}( // indirect)?$", text, re.MULTILINE)
    assert (folder / "go.sum").stat().st_size > 0
    for part in versions.PARTS:
        if part.module == module:
            assert f"\t{part.package}\n" in text or f"tool {part.package}\n" in text


def test_every_staging_module_is_replaced_by_its_twin() -> None:
    """All modules of the Kubernetes release come from the same release."""
    text = (paths.HERE / "modules" / "kubernetes" / "go.mod").read_text()
    twin = "v0." + versions.KUBERNETES.partition(".")[2]
    replaced = re.findall(r"^\s+(k8s\.io/\S+) => (\S+) (\S+)$", text, re.MULTILINE)
    assert len(replaced) > 25
    assert all(old == new and version == twin for old, new, version in replaced)


def test_the_key_changes_with_what_is_built() -> None:
    """Another version, machine or dependency is another folder in the cache."""
    newer = Part(KUBELET.name, "1.34.5", KUBELET.package, 1, KUBELET.module)
    keys = {
        binaries.cache_key(KUBELET, "x86_64", [b"mod", b"sum"]),
        binaries.cache_key(KUBELET, "aarch64", [b"mod", b"sum"]),
        binaries.cache_key(KUBELET, "x86_64", [b"mod", b"other"]),
        binaries.cache_key(newer, "x86_64", [b"mod", b"sum"]),
    }
    assert len(keys) == 4


def test_the_parts_of_one_module_share_a_folder() -> None:
    """The Kubernetes programs stand beside each other, so that one PATH entry is enough."""
    assert binaries.program("kubelet").parent == binaries.program("kubectl").parent


def test_modules_are_built_and_published_commands_installed() -> None:
    """Parts with a go.mod of ours are built from it, others installed at their version."""
    out = Path("/out/kubelet")
    built = binaries.build_command(Path("/go"), KUBELET, out)
    assert built[:3] == ["/go", "build", "-mod=readonly"]
    assert built[-3:] == ["-o", "/out/kubelet", "k8s.io/kubernetes/cmd/kubelet"]
    assert any("gitVersion=v1.34.4" in word for word in built)
    installed = binaries.build_command(Path("/go"), HELM, Path("/out/helm"))
    assert installed[1] == "install"
    assert installed[-1] == f"helm.sh/helm/v3/cmd/helm@v{versions.HELM}"


def test_only_what_is_missing_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program in the cache is not built again."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    program = binaries.program("helm")
    assert HELM in binaries.missing()
    program.parent.mkdir(parents=True)
    program.touch()
    assert HELM not in binaries.missing()


@pytest.mark.parametrize(
    ("text", "enough"),
    [
        ("go version go1.26.8 linux/amd64", True),
        ("go version go1.24.9 linux/amd64", True),
        ("go version go1.24 linux/amd64", False),
        ("go version go1.19.8 linux/amd64", False),
        ("go version devel", False),
        ("", False),
    ],
)
def test_go_must_be_new_enough(text: str, enough: bool) -> None:
    """A Go that cannot build all parts is passed over."""
    assert toolchain.new_enough(text) is enough


def test_go_takes_the_users_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's GOPROXY is used, the user's GOBIN is not filled."""
    monkeypatch.setenv("GOPROXY", "https://proxy.example")
    monkeypatch.setenv("GOBIN", "/home/kim/bin")
    environment = toolchain.environment(Path("/go/bin/go"))
    assert environment["GOPROXY"] == "https://proxy.example"
    assert "GOBIN" not in environment
    assert environment["CGO_ENABLED"] == "0"


def test_packages_removed_but_configured_are_missing() -> None:
    """Only packages that are really installed count."""
    listing = "runc installed\ncontainerd config-files\nruncible installed\n"
    assert debian.not_installed(["runc", "containerd", "gcc"], listing) == ["containerd", "gcc"]


def test_kind_gets_a_worker_in_each_zone() -> None:
    """kind's configuration has a control plane and three labelled workers."""
    nodes = kind.config()["nodes"]
    assert [node["role"] for node in nodes] == ["control-plane", "worker", "worker", "worker"]
    zones = [node["labels"]["topology.kubernetes.io/zone"] for node in nodes[1:]]
    assert zones == ["eu-1a", "eu-1b", "eu-1c"]
    assert kind.node_names("usage")["eu-1b"] == "usage-kind-usage-worker2"
    assert kind.node_names("usage")["eu-1a"] == "usage-kind-usage-worker"


def test_kind_writes_a_kubeconfig_of_its_own() -> None:
    """The user's kubeconfig and other clusters are left alone."""
    command = kind.create_command(Path("/kind"), "usage", Path("/state/usage.kubeconfig"))
    assert command[command.index("--kubeconfig") + 1] == "/state/usage.kubeconfig"
    assert command[command.index("--name") + 1] == "usage-kind-usage"
    assert kind.environment("podman", {"A": "1"}) == {
        "A": "1",
        "KIND_EXPERIMENTAL_PROVIDER": "podman",
    }
