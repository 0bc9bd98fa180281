"""A service whose pods and status a test writes itself, without an operator and a kubelet."""

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import pykube
from pykube.objects import Pod

from statefulroute.domain.keys import RouteKey
from support.independent_client import IndependentClient, PodLink, StatefulRoute
from support.objects import encoded_name, pod_link, stateful_route
from support.waiting import eventually

PORT = 7777
NAMED_PORT = 9000

_POD = {
    "schedulerName": "none",
    "terminationGracePeriodSeconds": 0,
    "containers": [
        {"name": "room", "image": "room.invalid/room", "ports": [{"name": "play", "containerPort": NAMED_PORT}]}
    ],
}
_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_PLAIN = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_TIME = "2026-01-01T00:00:00Z"


@dataclass
class StubService:
    """A StatefulRoute and its pods.

    Attributes:
        independent_client: a client that shares nothing with the product.
        namespace: the namespace of the route.
        name: the name of the route.
        pods: the pods in the route's status, by index.
    """

    independent_client: IndependentClient
    namespace: str
    name: str = "game"
    pods: dict[int, dict[str, Any]] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """The path of the route in the resolver's API."""
        return f"/v1/namespaces/{self.namespace}/routes/{self.name}"

    @property
    def ext_authz_path(self) -> str:
        """The path of the resolver's ext_authz for the route."""
        return f"/authorize/{self.namespace}/{self.name}"

    def endpoint(self, pod: int) -> str:
        """Returns the IP and port of a pod."""
        return f"10.9.0.{pod + 1}:{PORT}"

    # Blocking operations: call them before the resolver runs, or in a thread.

    def create(self, pods: int = 3, **route: Any) -> None:
        """Creates the route and its pods, all Ready."""
        eventually(self._has_account, "pods can be made")
        self.independent_client.create(stateful_route(self.name, **{"port": PORT, **route}), self.namespace)
        for pod in range(pods):
            self.create_pod(pod)
        self.patch_route_status()

    def delete(self) -> None:
        """Deletes the route, its pods and links."""
        for kind in (PodLink, StatefulRoute, Pod):
            self.independent_client.delete_all(kind, self.namespace)
        for kind in (PodLink, StatefulRoute, Pod):
            eventually(
                lambda kind=kind: not self.independent_client.all(kind, self.namespace), f"no {kind.kind} is left"
            )

    def create_pod(self, pod: int, *, started: bool = True, **spec: Any) -> None:
        """Creates a pod that is Ready, or one that is not started and has no address."""
        item = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"{self.name}-{pod}"}, "spec": _POD | spec}
        self.independent_client.create(item, self.namespace)
        if not started:
            return
        self.patch_pod_status(pod)
        state = {"serviceState": "Ready", "routingState": "Ready", "links": 0}
        self.pods[pod] = {"name": f"{self.name}-{pod}", "index": pod, **state}

    def patch_pod_status(self, pod: int, *, ready: bool = True, ip: str | None = None) -> None:
        """Writes the status of a pod, as a kubelet does."""
        condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": _TIME}
        address = f"10.9.0.{pod + 1}" if ip is None else ip
        status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "conditions": [condition]}
        self.independent_client.patch_status(Pod, f"{self.name}-{pod}", self.namespace, status)

    def patch_route(self, **spec: Any) -> None:
        """Changes fields of the route's spec."""
        self.independent_client.patch(StatefulRoute, self.name, self.namespace, {"spec": spec})

    def patch_route_status(self, **fields: Any) -> None:
        """Writes `pods` and the given fields to the route's status, as the operator does."""
        status = {"routingState": "Ready", "workloadState": "Normal", "links": 0, "pods": list(self.pods.values())}
        self.independent_client.patch_status(StatefulRoute, self.name, self.namespace, status | fields)

    def link(self, uid: str, pod: int | None = 0, **spec: Any) -> None:
        """Creates a user's link."""
        binding = {} if pod is None else {"podIndex": pod}
        item = pod_link(self.link_name(uid), routeName=self.name, uid=uid, **binding, **spec)
        self.independent_client.create(item, self.namespace)

    def link_name(self, uid: str) -> str:
        """Returns the name of a user's link."""
        is_plain = _PLAIN.fullmatch(uid) and not uid.startswith("x-")
        return f"{self.name}.{uid}" if is_plain else encoded_name(self.name, uid)

    def move(self, uid: str, pod: int) -> None:
        """Changes the pod of a user's link."""
        self.independent_client.patch(PodLink, self.link_name(uid), self.namespace, {"spec": {"podIndex": pod}})

    def patch_link_status(self, uid: str, pod: int, host: str) -> None:
        """Writes the status of a link, as the operator does."""
        ready = {"type": "Ready", "status": "True", "reason": "Bound", "message": "", "lastTransitionTime": _TIME}
        named = {"podIndex": pod, "podName": f"{self.name}-{pod}", "host": host}
        status = {"phase": "Bound", **named, "conditions": [ready]}
        self.independent_client.patch_status(PodLink, self.link_name(uid), self.namespace, status)

    def unlink(self, uid: str) -> None:
        """Deletes a user's link."""
        self.independent_client.delete(PodLink, self.link_name(uid), self.namespace)

    # Stored objects.

    def versions(self) -> Mapping[str, str]:
        """Returns the resource version of each route and pod of the namespace."""
        return {
            f"{kind.endpoint}/{item['metadata']['name']}": str(item["metadata"]["resourceVersion"])
            for kind in (StatefulRoute, Pod)
            for item in self.independent_client.all(kind, self.namespace)
        }

    def stored_pods(self) -> Mapping[str, int | None]:
        """Returns the pod of each link, by uid."""
        links = self.independent_client.all(PodLink, self.namespace)
        return {link["spec"]["uid"]: link["spec"].get("podIndex") for link in links}

    def get(self, uid: str) -> dict[str, Any]:
        """Returns a stored link."""
        return self.independent_client.get(PodLink, self.link_name(uid), self.namespace)

    def spec_of(self, uid: str) -> dict[str, Any]:
        """Returns the spec of a stored link."""
        return dict(self.get(uid)["spec"])

    def _has_account(self) -> bool:
        accounts = pykube.ServiceAccount.objects(self.independent_client.http).filter(namespace=self.namespace)
        return any(account.name == "default" for account in accounts)


class ReusedStubService:
    """A service of a module with three pods, as every test expects it.

    Args:
        independent_client: a client that shares nothing with the product.
        namespace: a namespace without other services.
    """

    def __init__(self, independent_client: IndependentClient, namespace: str) -> None:
        self._independent_client = independent_client
        self._namespace = namespace
        self._pods: dict[int, dict[str, Any]] = {}
        self._versions: Mapping[str, str] = {}
        """The versions of the service's objects; empty if the service does not exist."""

    @contextmanager
    def use(self) -> Iterator[StubService]:
        """Yields the service without links; creates it again if the test before has changed it."""
        service = StubService(self._independent_client, self._namespace, pods=deepcopy(self._pods))
        if not self._versions:
            service.pods.clear()
            service.create()
            self._pods, self._versions = deepcopy(service.pods), service.versions()
        yield service
        self._independent_client.delete_all(PodLink, self._namespace)
        if service.versions() != self._versions:
            service.delete()
            self._versions = {}


async def in_thread(function: Any, *arguments: Any, **keywords: Any) -> Any:
    """Calls a blocking function in a thread, so that the resolver of the test continues to run."""
    return await asyncio.to_thread(function, *arguments, **keywords)


def uids(name: str, number: int) -> Sequence[str]:
    """Returns a number of uids."""
    return [f"{name}-{index}" for index in range(number)]


def route_of(stub_service: StubService) -> RouteKey:
    """Returns the key of the service's route."""
    return RouteKey(stub_service.namespace, stub_service.name)
