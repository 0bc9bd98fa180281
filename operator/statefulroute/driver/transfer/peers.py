"""Reads the other pods of the service."""

from typing import NamedTuple

import msgspec

from statefulroute.cluster.client import Client
from statefulroute.cluster.errors import NotFoundError


class Peer(NamedTuple):
    """Another pod.

    Attributes:
        uid: the UID of the Pod object.
        ip: its IP address; empty if it has none yet.
    """

    uid: str
    ip: str


class _Metadata(msgspec.Struct):
    uid: str = ""


class _Status(msgspec.Struct, rename={"pod_ip": "podIP"}):
    pod_ip: str = ""


class _Pod(msgspec.Struct):
    metadata: _Metadata
    status: _Status = msgspec.field(default_factory=_Status)


_decoder = msgspec.json.Decoder(_Pod)


class Peers:
    """Reads pods of one namespace.

    Args:
        client: the client of the API server.
        namespace: the namespace.
    """

    def __init__(self, client: Client, namespace: str) -> None:
        self._client = client
        self._path = f"/api/v1/namespaces/{namespace}/pods"

    async def read(self, name: str) -> Peer | None:
        """Returns a pod, or None.

        Raises:
            ClusterError: the API server did not respond, or with an error.
        """
        try:
            pod = _decoder.decode(await self._client.get(f"{self._path}/{name}"))
        except NotFoundError:
            return None
        return Peer(pod.metadata.uid, pod.status.pod_ip)
