"""How images are built: commands, pip's settings, and when nothing has to be done."""

import json
import tarfile
from pathlib import Path

import pytest

from tests.kind_helper import archive, engines, images


def test_pip_settings_of_the_environment_win() -> None:
    """Settings of files and environment are merged; those of other commands are left out."""
    listing = (
        ":env:.cert='/ca.crt'\n:env:.config-file='/x'\nglobal.cert='/old'\n"
        "global.timeout='9'\ninstall.timeout='60'\nfreeze.timeout='10'\n"
    )
    assert engines.pip_settings(listing) == {"cert": "/ca.crt", "timeout": "60"}


def test_a_build_reads_files_of_this_machine_elsewhere(tmp_path: Path) -> None:
    """Files that pip's settings name are mounted under neutral names; addresses stay."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    settings = {"find-links": f"{wheels} https://wheels.example", "timeout": "9"}
    moved, targets = engines.inside(settings)
    assert targets == {str(wheels): "/run/usage-build/0"}
    assert moved["find-links"] == "/run/usage-build/0\nhttps://wheels.example"
    assert str(tmp_path) not in engines.pip_file(moved)


@pytest.mark.parametrize("engine", ["docker", "podman", "buildah"])
def test_every_engine_gets_base_name_and_file(engine: str) -> None:
    """The three engines are told the same: Containerfile, name, base image."""
    command = engines.build_command(engine, Path("/c"), "localhost/x:1", "base:1", ["--volume=a"])
    assert "--build-arg=BASE_IMAGE=base:1" in command
    assert "--tag=localhost/x:1" in command
    assert "--file=/c" in command
    assert ("--volume=a" in command) == (engine != "docker")


def test_without_a_base_the_containerfile_decides() -> None:
    """Where images can be pulled, the Containerfile's own default stands."""
    command = engines.build_command("docker", Path("/c"), "localhost/x:1", None, [])
    assert not any("BASE_IMAGE" in word for word in command)


def test_the_key_follows_contents_and_ignores_bytecode(tmp_path: Path) -> None:
    """A changed file means a new build; compiled files do not."""
    (tmp_path / "p" / "__pycache__").mkdir(parents=True)
    source = tmp_path / "p" / "a.py"
    source.write_text("1")
    first = images.inputs_key([tmp_path / "p"], "x:1", None)
    (tmp_path / "p" / "__pycache__" / "a.pyc").write_text("1")
    assert images.inputs_key([tmp_path / "p"], "x:1", None) == first
    assert images.inputs_key([tmp_path / "p"], "x:2", None) != first
    source.write_text("2")
    assert images.inputs_key([tmp_path / "p"], "x:1", None) != first


def test_small_images_are_whole_archives(tmp_path: Path) -> None:
    """A one-layer image names its layer and its tag, and is the same each time."""
    contents = []
    for attempt in ("a", "b"):
        layer, file = tmp_path / f"{attempt}.layer", tmp_path / f"{attempt}.tar"
        archive.write_layer(layer, {"bin/tool": b"x"}, {"bin/sh": "bin/tool"}, ("tmp",))
        archive.write_image(file, "localhost/x:1", layer, {"Cmd": ["/bin/sh"]})
        contents.append(file.read_bytes())
        assert not layer.exists()
    assert contents[0] == contents[1]
    with tarfile.open(tmp_path / "a.tar") as tar:
        member = tar.extractfile("manifest.json")
        assert member is not None
        manifest = json.load(member)
        assert manifest[0]["RepoTags"] == ["localhost/x:1"]
        assert {manifest[0]["Config"], *manifest[0]["Layers"]} < set(tar.getnames())
