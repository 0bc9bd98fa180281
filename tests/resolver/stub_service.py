"""A service whose pods and status a test writes itself: no operator and no kubelet has a say."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pykube
from pykube.objects import Pod

from support.independent_client import IndependentClient, PodLink, StatefulRoute
from support.objects import encoded_name, pod_link, stateful_route
from support.waiting import eventually

PORT = 7777
NAMED_PORT = 9000

_POD = {
    "schedulerName": "nobody",
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
    """One namespace with a StatefulRoute and its pods.

    Attributes:
        witness: a client that shares nothing with the product.
        namespace: where it is.
        name: of the route.
        pods: what the route's status says of each pod.
    """

    independent_client: IndependentClient
    namespace: str
    name: str = "game"
    pods: dict[int, dict[str, Any]] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """Where the resolver answers for the route."""
        return f"/v1/namespaces/{self.namespace}/routes/{self.name}"

    @property
    def ext_authz_path(self) -> str:
        """Where the resolver answers a gateway."""
        return f"/authorize/{self.namespace}/{self.name}"

    def endpoint(self, pod: int) -> str:
        """Where a pod is reached."""
        return f"10.9.0.{pod + 1}:{PORT}"

    # What a test does before the resolver runs, or in a thread.

    def create(self, pods: int = 3, **route: Any) -> None:
        """Make the route and its pods, all Ready."""
        eventually(self._has_account, "pods can be made")
        self.independent_client.create(stateful_route(self.name, **{"port": PORT, **route}), self.namespace)
        for pod in range(pods):
            self.create_pod(pod)
        self.patch_route_status()

    def delete(self) -> None:
        """Remove all of it."""
        for kind in (PodLink, StatefulRoute, Pod):
            self.independent_client.delete_all(kind, self.namespace)
        for kind in (PodLink, StatefulRoute, Pod):
            eventually(
                lambda kind=kind: not self.independent_client.all(kind, self.namespace), f"no {kind.kind} is left"
            )

    def create_pod(self, pod: int) -> None:
        """Make a pod that is Ready."""
        item = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"{self.name}-{pod}"}, "spec": _POD}
        self.independent_client.create(item, self.namespace)
        self.patch_pod_status(pod)
        said = {"serviceState": "Ready", "routingState": "Ready", "links": 0}
        self.pods[pod] = {"name": f"{self.name}-{pod}", "index": pod, **said}

    def patch_pod_status(self, pod: int, *, ready: bool = True, ip: str | None = None) -> None:
        """Have a kubelet say this of a pod."""
        condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": _TIME}
        address = f"10.9.0.{pod + 1}" if ip is None else ip
        status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "conditions": [condition]}
        self.independent_client.patch_status(Pod, f"{self.name}-{pod}", self.namespace, status)

    def patch_route_status(self, **fields: Any) -> None:
        """Have the operator say what `pods` has, and this besides."""
        status = {"routingState": "Ready", "workloadState": "Normal", "links": 0, "pods": list(self.pods.values())}
        self.independent_client.patch_status(StatefulRoute, self.name, self.namespace, status | fields)

    def link(self, uid: str, pod: int | None = 0, **spec: Any) -> None:
        """Bind a user."""
        binding = {} if pod is None else {"podIndex": pod}
        item = pod_link(self.link_name(uid), routeName=self.name, uid=uid, **binding, **spec)
        self.independent_client.create(item, self.namespace)

    def link_name(self, uid: str) -> str:
        """The name of a user's link."""
        is_plain = _PLAIN.fullmatch(uid) and not uid.startswith("x-")
        return f"{self.name}.{uid}" if is_plain else encoded_name(self.name, uid)

    def move(self, uid: str, pod: int) -> None:
        """Bind a user to another pod."""
        self.independent_client.patch(PodLink, self.link_name(uid), self.namespace, {"spec": {"podIndex": pod}})

    def patch_link_status(self, uid: str, pod: int, host: str) -> None:
        """Have the operator acknowledge a link."""
        ready = {"type": "Ready", "status": "True", "reason": "Bound", "message": "", "lastTransitionTime": _TIME}
        named = {"podIndex": pod, "podName": f"{self.name}-{pod}", "host": host}
        status = {"phase": "Bound", **named, "conditions": [ready]}
        self.independent_client.patch_status(PodLink, self.link_name(uid), self.namespace, status)

    def unlink(self, uid: str) -> None:
        """Release a user."""
        self.independent_client.delete(PodLink, self.link_name(uid), self.namespace)

    # What is stored.

    def stored_pods(self) -> Mapping[str, int | None]:
        """The pod of each link."""
        links = self.independent_client.all(PodLink, self.namespace)
        return {link["spec"]["uid"]: link["spec"].get("podIndex") for link in links}

    def get(self, uid: str) -> dict[str, Any]:
        """A link as it is stored."""
        return self.independent_client.get(PodLink, self.link_name(uid), self.namespace)

    def spec_of(self, uid: str) -> dict[str, Any]:
        """The spec of a link."""
        return dict(self.get(uid)["spec"])

    def _has_account(self) -> bool:
        accounts = pykube.ServiceAccount.objects(self.independent_client.http).filter(namespace=self.namespace)
        return any(account.name == "default" for account in accounts)


async def in_thread(work: Any, *arguments: Any, **named: Any) -> Any:
    """Do something that waits for the cluster, while the resolver of the test goes on."""
    return await asyncio.to_thread(work, *arguments, **named)


def uids(name: str, number: int) -> Sequence[str]:
    """So many users of a test."""
    return [f"{name}-{each}" for each in range(number)]
