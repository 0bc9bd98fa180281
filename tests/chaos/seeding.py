"""Writes links by the hundred thousand straight into the cluster's store: the API server would take minutes."""

import json
from base64 import b64encode
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import requests

from support.objects import pod_link
from support.service import Service

#: The limit of operations of a transaction in the store.
_TRANSACTION_SIZE = 128

_TIMEOUT_SECONDS = 60.0


def seed_bound_links(store_url: str, service: Service, number: int, pods: int) -> None:
    """Writes bound links `user-0`, `user-1` and so on into the store, with the status that an operator would write.

    Args:
        store_url: the URL of the store's gateway.
        service: the service of the links.
        number: the number of links.
        pods: the number of pods to spread them over.
    """
    with requests.Session() as session:
        for first in range(0, number, _TRANSACTION_SIZE):
            puts = [_put(service, each, each % pods) for each in range(first, min(first + _TRANSACTION_SIZE, number))]
            response = session.post(f"{store_url}/v3/kv/txn", json={"success": puts}, timeout=_TIMEOUT_SECONDS)
            response.raise_for_status()


def _put(service: Service, number: int, pod: int) -> dict[str, Any]:
    link = _bound(service, f"user-{number}", pod)
    key = f"/registry/statefulroute.io/podlinks/{service.namespace}/{link['metadata']['name']}"
    return {"request_put": {"key": _encoded(key), "value": _encoded(json.dumps(link))}}


def _bound(service: Service, uid: str, pod: int) -> dict[str, Any]:
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    name = service.pod_name(pod)
    link = pod_link(routeName=service.name, uid=uid, podIndex=pod)
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "Bound",
        "message": f"bound to pod {name!r}",
        "observedGeneration": 1,
        "lastTransitionTime": now,
    }
    status = {
        "phase": "Bound",
        "podIndex": pod,
        "podName": name,
        "host": f"{name}.{service.name}.{service.namespace}.svc",
        "boundTime": now,
        "observedGeneration": 1,
        "conditions": [ready],
    }
    metadata = {"namespace": service.namespace, "uid": str(uuid4()), "generation": 1, "creationTimestamp": now}
    return {**link, "metadata": {**link["metadata"], **metadata}, "status": status}


def _encoded(text: str) -> str:
    return b64encode(text.encode()).decode()
