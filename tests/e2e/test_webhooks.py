"""Another vendor notifies the collectors through a Service and a certificate of their own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.system import PATIENCE, ZONES, System, pod
from tests.kind_helper.run import until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

HEADER = ("X-Webhook-Secret", "0123456789abcdef")
NOTIFICATION = {"transcript_id": "5552493-16d8", "status": "completed"}
SETTLED = {
    "event": "TRANSCRIBER_DONE",
    "vendor": "assemblyai",
    "session_id": NOTIFICATION["transcript_id"],
    "event_specific_data": {"total_received_duration": 281},
}
POST = """
import json, ssl, sys, time, urllib.error, urllib.request
url, header, value, body = sys.argv[1:]
headers = {header: value, "Content-Type": "application/json"}
request = urllib.request.Request(url, body.encode(), headers)
tls = ssl.create_default_context(cafile="/ca/ca.crt")
give_up = time.monotonic() + 120
while True:
    try:
        print("status", urllib.request.urlopen(request, context=tls, timeout=60).status)
    except urllib.error.HTTPError as error:
        print("status", error.code)
    except OSError:
        # A Service leads to a pod some time after it is ready; vendors try again, too.
        if time.monotonic() < give_up:
            time.sleep(0.5)
            continue
        raise
    break
"""


def post(system: System, url: str, value: str, body: dict[str, Any]) -> str:
    """Post from a pod that trusts the collectors' authority; the answer's status."""
    ca = {"ca": ("/ca", {"configMap": {"name": f"{system.name}-ca"}})}
    command = ["python3", "-c", POST, url, HEADER[0], value, json.dumps(body)]
    return system.run("vendor", pod(command, ca)).split("status ")[1].strip()


def pending(system: System) -> str:
    """How many transcripts the collector says are pending."""
    text = system.metrics(f"{system.name}-{ZONES[0]}-0")
    return text.partition("\nusage_transcripts_pending ")[2].partition("\n")[0]


def spec(system: System, webhooks: dict[str, Any]) -> dict[str, Any]:
    """The resource with one zone and these webhooks."""
    return system.resource({"zones": [{"name": ZONES[0]}], "webhooks": webhooks})


def test_a_vendor_notifies_and_is_asked_until_it_is_settled(system: System) -> None:
    """Only with the header; what is not known is pending; without the field all of it goes."""
    secret = {"headers": f"{HEADER[0]}: {HEADER[1]}\n", "api-key": "key"}
    metadata = {"name": "assemblyai"}
    system.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": secret})
    # No such host: what is asked of it stays pending.
    vendor = {"secretName": "assemblyai", "url": f"https://nobody.{system.namespace}.svc"}
    system.apply(spec(system, {"assemblyai": vendor}))
    system.wait_ready()
    address = system.get("uc", system.name)["status"]["endpoints"]["webhooks"]
    assert address == f"{system.name}-webhooks.{system.namespace}.svc:9443"
    url = f"https://{address}/v1/webhooks/assemblyai?customer_id=Acme&project_id=4%2F56"
    assert post(system, url, "fedcba9876543210", NOTIFICATION) == "401"
    assert post(system, url, HEADER[1], NOTIFICATION) == "201"
    until(lambda: pending(system) == "1.0", "it is pending", seconds=PATIENCE)
    ingest = f"https://{system.name}.{system.namespace}.svc:9090/v1/log"
    assert post(system, ingest, HEADER[1], SETTLED) == "201"
    until(lambda: pending(system) == "0.0", "it is settled", seconds=PATIENCE)
    system.apply(spec(system, {}))

    def gone() -> bool:
        there = system.get("services")["items"]
        return all(one["metadata"]["name"] != f"{system.name}-webhooks" for one in there)

    until(gone, "the Service is gone", seconds=PATIENCE)
    system.wait_ready()
