"""Proxies in front of collectors, on a real cluster."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.kind_helper import engines, images

if TYPE_CHECKING:
    from tests.kind_helper.cluster import Cluster
    from tests.operator.live import Place

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]

CONTAINERFILE = Path(__file__).parents[1] / "e2e" / "proxy.Containerfile"
ASK = """
import ssl, sys, urllib.request
trust = ssl.create_default_context(cafile="/etc/usage/ca/ca.crt")
print(urllib.request.urlopen(sys.argv[1], context=trust, timeout=5).status)
"""


@pytest.fixture
def proxy_image(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let operators use a proxy's image that is on every node; USAGE_TEST_PROXY_IMAGE names one."""
    name = os.environ.get("USAGE_TEST_PROXY_IMAGE", images.reference("proxy"))
    if "USAGE_TEST_PROXY_IMAGE" not in os.environ:
        base = None if engines.running_engine() else images.base_image()
        cluster.load(images.build(CONTAINERFILE, name, base, inputs=()), name)
    monkeypatch.setenv("USAGE_OPERATOR_PROXY_IMAGE", name)
    return name


def test_proxies_come_and_go(proxy_image: str, alone: Place) -> None:
    """The Service leads to proxies once they are ready, and to the collectors without them."""

    def component() -> str:
        selector = alone.get("service", alone.name)["spec"]["selector"]
        return str(selector["app.kubernetes.io/component"])

    def answers() -> str:
        url = f"https://{alone.name}.{alone.namespace}.svc:9090/readyz"
        return alone.kubectl("exec", f"{alone.name}-eu-1a-0", "--", "python3", "-c", ASK, url)

    # Collectors connect to nobody, where policies are enforced.
    alone.apply(ingest={"proxy": {}}, networkPolicy={"enabled": False})
    alone.ready(120)
    there = alone.get("deployment", f"{alone.name}-proxy")
    assert there["spec"]["template"]["spec"]["containers"][0]["image"] == proxy_image
    assert there["status"]["availableReplicas"] == 2
    alone.until("the Service leads to proxies", lambda: component() == "proxy")
    assert answers().strip() == "200"
    alone.apply(networkPolicy={"enabled": False})
    alone.until("the Service leads to collectors", lambda: component() == "collector")
    alone.until("the proxies are gone", lambda: not alone.get("deployment")["items"])
    alone.ready()
    assert answers().strip() == "200"
