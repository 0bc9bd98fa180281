"""Sets the number of pods of workloads by their scale subresource."""

from http import HTTPStatus
from urllib.parse import quote

import msgspec

from statefulroute.cluster.client import Client
from statefulroute.cluster.errors import ConflictError
from statefulroute.cluster.scales import ScaleReader, naming_permission
from statefulroute.domain.keys import WorkloadKey
from statefulroute.domain.workload import Workload


class _Metadata(msgspec.Struct, rename="camel"):
    resource_version: str = "0"


class _Scale(msgspec.Struct):
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)


_decoder = msgspec.json.Decoder(_Scale)


class ScaleWriter:
    """Sets the number of pods of a workload, unless the workload has changed since the decision.

    Args:
        client: the client for the API server.
        scales: reads scales, and knows the paths of kinds.
    """

    def __init__(self, client: Client, scales: ScaleReader) -> None:
        self._client = client
        self._scales = scales

    async def set_replicas(self, key: WorkloadKey, workload: Workload, replicas: int) -> int:
        """Sets the number of pods.

        Args:
            key: the key of the workload.
            workload: the version of the workload that the decision used. Of one that is not a StatefulSet, only the
                number of pods must not have changed: its version is not followed.
            replicas: the new number of pods.

        Returns:
            The new resource version of the workload.

        Raises:
            ConflictError: the workload has changed since the decision.
            ForbiddenError: the operator may not scale it; the message names the missing permission.
            ClusterError: the request failed, or its result is unknown.
        """
        if key.is_stateful_set:
            path = f"/apis/apps/v1/namespaces/{quote(key.namespace)}/statefulsets/{quote(key.name)}"
            version = workload.resource_version
        else:
            path = await self._scales.path(key.namespace, key.api_version, key.kind, key.name)
            scale = await self._scales.read(key.namespace, key.api_version, key.kind, key.name)
            if scale.replicas != workload.replicas or scale.uid != workload.uid:
                raise ConflictError(
                    HTTPStatus.CONFLICT, "Conflict", f"the scale of {key.kind} {key.name!r} has changed"
                )
            version = scale.resource_version
        body = {"metadata": {"resourceVersion": str(version)}, "spec": {"replicas": replicas}}
        with naming_permission("patch", f"{path.split('/')[-2]}/scale", key.api_version.rpartition("/")[0]):
            response = await self._client.merge_patch(f"{path}/scale", msgspec.json.encode(body))
        return int(_decoder.decode(response).metadata.resource_version)
