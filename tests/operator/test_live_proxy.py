"""Proxies in front of collectors, on a real cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.operator.live import Place

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

ASK = """
import ssl, sys, urllib.request
trust = ssl.create_default_context(cafile="/etc/usage/ca/ca.crt")
print(urllib.request.urlopen(sys.argv[1], context=trust, timeout=5).status)
"""


def test_proxies_come_and_go(proxy_image: str, alone: Place) -> None:
    """The Service leads to proxies once they are ready, and to the collectors without them."""

    def component() -> str:
        selector = alone.get("service", alone.name)["spec"]["selector"]
        return str(selector["app.kubernetes.io/component"])

    def answers() -> bool:
        url = f"https://{alone.name}.{alone.namespace}.svc:9090/readyz"
        ask = ("exec", f"{alone.name}-eu-1a-0", "--", "python3", "-c", ASK, url)
        return alone.kubectl(*ask).strip() == "200"

    # Collectors connect to nobody, where policies are enforced.
    alone.apply(ingest={"proxy": {}}, networkPolicy={"enabled": False})
    alone.ready()
    there = alone.get("deployment", f"{alone.name}-proxy")
    assert there["spec"]["template"]["spec"]["containers"][0]["image"] == proxy_image
    assert there["status"]["availableReplicas"] == 2
    alone.until("the Service leads to proxies", lambda: component() == "proxy")
    # Nodes learn a little later where a Service leads.
    alone.until("it answers", answers)
    alone.kubectl("delete", "deployment", f"{alone.name}-proxy")
    alone.until(
        "they are back",
        lambda: (
            [one["metadata"]["uid"] for one in alone.get("deployment")["items"]]
            not in ([], [there["metadata"]["uid"]])
        ),
    )
    alone.apply(networkPolicy={"enabled": False})
    alone.until("the Service leads to collectors", lambda: component() == "collector")
    alone.until("the proxies are gone", lambda: not alone.get("deployment")["items"])
    alone.ready()
    alone.until("it still answers", answers)
