"""Which way to a cluster is taken, and what is said where there is none."""

from pathlib import Path

import pytest

from tests.kind_helper import choose, context, engines, fixtures
from tests.kind_helper.choose import Machine
from tests.kind_helper.errors import KindHelperError, Unavailable

BARE = Machine(engine=None, root=True, linux=True, debian=True)


def test_an_engine_that_answers_means_kind() -> None:
    """kind is taken wherever docker or podman really answers."""
    assert choose.choose(Machine("podman", root=False, linux=True, debian=False)) == "kind"


def test_root_on_debian_means_local_nodes() -> None:
    """Without an engine, root on Debian gets local nodes."""
    assert choose.choose(BARE) == "local"


def test_the_wish_wins_over_the_engine() -> None:
    """Local nodes can be had beside a running engine."""
    assert choose.choose(Machine("docker", root=True, linux=True, debian=True), "local") == "local"


@pytest.mark.parametrize(
    ("machine", "reason"),
    [
        (Machine(None, root=False, linux=True, debian=True), "need root"),
        (Machine(None, root=True, linux=True, debian=False), "Debian"),
        (Machine(None, root=True, linux=False, debian=False), "Linux"),
    ],
)
def test_no_way_is_said_in_one_line(machine: Machine, reason: str) -> None:
    """Where there is no way, the reason is one line that names every way."""
    with pytest.raises(Unavailable) as caught:
        choose.choose(machine)
    assert reason in caught.value.message
    assert choose.CONTEXT_VARIABLE in caught.value.message
    assert "\n" not in caught.value.message


def test_a_wish_that_cannot_be_met_is_refused() -> None:
    """Asking for kind without an engine is an error, not another kind of cluster."""
    with pytest.raises(Unavailable, match="neither docker nor podman answers"):
        choose.choose(BARE, "kind")


def test_the_context_comes_from_its_variable_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The context of USAGE_TEST_CONTEXT is used; the current context never is."""
    monkeypatch.setenv(choose.CONTEXT_VARIABLE, "staging")
    found = choose.provider()
    assert isinstance(found, context.Context)
    assert found.context == "staging"
    monkeypatch.delenv(choose.CONTEXT_VARIABLE)
    monkeypatch.setattr(choose, "inspect", lambda: BARE)
    assert choose.provider().kind == "local"


def test_context_and_provider_exclude_each_other() -> None:
    """A context and a provider together are a contradiction."""
    with pytest.raises(KindHelperError, match="exclude each other"):
        choose.provider("staging", "kind")


def test_the_kubeconfig_is_the_users_first() -> None:
    """KUBECONFIG's first file is read, else the one in the home folder."""
    home = Path("/home/kim")
    assert context.kubeconfig_file(None, home) == home / ".kube" / "config"
    assert context.kubeconfig_file(":/a:/b", home) == Path("/a")


def test_zones_are_those_of_the_nodes_labels() -> None:
    """Nodes without a zone are left out; the first of each zone counts."""
    label = context._ZONE
    nodes = (
        '{"items": [{"metadata": {"name": "x"}},'
        f'{{"metadata": {{"name": "b1", "labels": {{"{label}": "b"}}}}}},'
        f'{{"metadata": {{"name": "b2", "labels": {{"{label}": "b"}}}}}},'
        f'{{"metadata": {{"name": "a1", "labels": {{"{label}": "a"}}}}}}]}}'
    )
    assert context.zones(nodes) == {"a": "a1", "b": "b1"}


def test_a_client_without_an_engine_is_no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed client whose engine does not answer does not count."""
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(engines, "succeeds", lambda command, timeout: command[0] == "podman")
    assert engines.running_engine() == "podman"


def test_no_cluster_skips_but_fails_in_ci() -> None:
    """Tests are skipped with the reason; in CI they fail instead."""
    with pytest.raises(pytest.skip.Exception, match="no root"):
        fixtures.missing_cluster("no root", ci=False)
    with pytest.raises(pytest.fail.Exception, match="no root"):
        fixtures.missing_cluster("no root", ci=True)


def test_namespace_names_are_valid_and_unique() -> None:
    """A namespace's name is made of the test's, cut to what Kubernetes takes."""
    assert fixtures.namespace_name("test_Some[Thing]", "abc") == "test-some-thing-abc"
    assert len(fixtures.namespace_name("x" * 300, "abcdef")) <= 63
    assert fixtures.namespace_name("[]", "abc") == "test-abc"
