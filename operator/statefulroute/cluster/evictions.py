"""Evicts pods by the Eviction API, which respects PodDisruptionBudgets."""

from urllib.parse import quote

import msgspec

from statefulroute.cluster.client import Client
from statefulroute.cluster.scales import naming_permission


class Evictor:
    """Evicts pods.

    Args:
        client: the client for the API server.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    async def evict(self, namespace: str, name: str, uid: str) -> None:
        """Evicts a pod, but not a new one with the same name.

        Raises:
            ConflictError: another pod has the name by now.
            NotFoundError: the pod does not exist.
            ForbiddenError: the operator may not evict it; the message names the missing permission.
            APIError: the API server refused it: with 429, a PodDisruptionBudget does not allow it now.
            UnreachableError: it did not answer; whether the pod is evicted is not known.
        """
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": namespace},
            "deleteOptions": {"preconditions": {"uid": uid}},
        }
        path = f"/api/v1/namespaces/{quote(namespace)}/pods/{quote(name)}/eviction"
        with naming_permission("create", "pods/eviction", ""):
            await self._client.post(path, msgspec.json.encode(body))
