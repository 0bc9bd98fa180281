"""Example objects of a namespace: services, pods and links in every state, with fixed figures."""

from typing import Any

from pykube.objects import Pod

from support.independent_client import IndependentClient, PodLink, StatefulRoute
from support.objects import condition, encoded_name, pod_link, stateful_route

_REPORT_TIME = "2026-01-01T00:00:00Z"
_ROUTABLE = condition(reason="Routable", message="2 of 3 pods serve users")
_NOT_FOUND = condition(status="False", reason="WorkloadNotFound", message="StatefulSet 'lobby' does not exist")


def create_example_objects(independent_client: IndependentClient, namespace: str) -> None:
    """Creates the objects. They need no operator, and no controller changes them."""
    for make in (_routes, _links, _pods):
        make(independent_client, namespace)


def pod_status(name: str, links: int, milli: int | None = None, **fields: Any) -> dict[str, Any]:
    """Returns the status of a pod, as a route's status contains it."""
    load = {"loadState": milli // 1000, "waitingTasks": 1, "weightedLoadMilli": milli} if milli is not None else {}
    report = {"reportTime": _REPORT_TIME} if load else {}
    return {"name": name, "serviceState": "Ready", "routingState": "Ready", "links": links, **load, **report, **fields}


def _routes(independent_client: IndependentClient, namespace: str) -> None:
    pods = [
        pod_status("game-0", 120, 600, index=0),
        pod_status("game-1", 60, 3700, index=1, routingState="DenyNewCall"),
        pod_status("game-2", 3, 6000, index=2, routingState="Shutdown", loadStale=True, notServingReason="Shutdown"),
        pod_status("game-3", 0, index=3, serviceState="Pending", notServingReason="Unschedulable"),
    ]
    status = {"routingState": "Ready", "workloadState": "High", "workloadLoad": 3, "replicas": 4, "routablePods": 2}
    best = {"bestPodIndex": 0, "bestPodName": "game-0"}
    _route(
        independent_client,
        namespace,
        stateful_route(port="play", tags=["rooms", "eu"]),
        {**status, **best, "links": 183, "unservedLinks": 3, "pods": pods, "conditions": [_ROUTABLE]},
    )
    pods = [pod_status("chat-5d8f-x2", 9, 5200), pod_status("chat-5d8f-zz", 4, 5100, totalLinks=6)]
    status = {"routingState": "DenyNewCall", "workloadState": "Overloaded", "workloadLoad": 5}
    _route(
        independent_client,
        namespace,
        stateful_route(
            "chat",
            workloadRef={"apiVersion": "apps/v1", "kind": "Deployment", "name": "chat"},
            routingState="DenyNewCall",
            placement={"maxLinksPerPod": 10},
            port=7777,
        ),
        {
            **status,
            "replicas": 2,
            "routablePods": 2,
            "links": 13,
            "unservedLinks": 0,
            "pods": pods,
            "conditions": [_ROUTABLE],
        },
    )
    _route(independent_client, namespace, stateful_route("lobby"), {"conditions": [_NOT_FOUND]})


def _route(
    independent_client: IndependentClient, namespace: str, route: dict[str, Any], status: dict[str, Any]
) -> None:
    independent_client.create(route, namespace)
    independent_client.patch_status(StatefulRoute, route["metadata"]["name"], namespace, status)


def _links(independent_client: IndependentClient, namespace: str) -> None:
    on_2 = {"podIndex": 2, "podName": "game-2", "host": "game-2.game.play.svc"}
    moved = {"podIndex": 1, "podName": "game-1", "reason": "PodLost", "cause": "NodeNotReady"}
    moved["time"] = "2026-01-01T00:00:00Z"
    _link(independent_client, namespace, pod_link(podIndex=2), "Bound", "Bound", **on_2, previous=moved)
    temporary = pod_link(
        encoded_name("game", "Guest 7"), uid="Guest 7", podIndex=0, ttlSeconds=60, renewTime="2099-01-01T00:00:00Z"
    )
    on_0 = {"podIndex": 0, "podName": "game-0", "host": "game-0.game.play.svc"}
    _link(independent_client, namespace, temporary, "Bound", "Bound", **on_0)
    _link(independent_client, namespace, pod_link(uid="carol"), "Pending", "NoAvailablePod")
    lost = pod_link(encoded_name("game", "日本"), uid="日本", podIndex=2)
    _link(independent_client, namespace, lost, "Lost", "PodLost", **on_2)
    on_chat = pod_link(routeName="chat", podName="chat-5d8f-x2")
    _link(independent_client, namespace, on_chat, "Bound", "Bound", podName="chat-5d8f-x2")
    over = pod_link("chat.dave", routeName="chat", uid="dave", podName="chat-5d8f-zz", ttlSeconds=1)
    independent_client.create({**over, "spec": {**over["spec"], "renewTime": "2020-01-01T00:00:00Z"}}, namespace)


def _link(
    independent_client: IndependentClient, namespace: str, link: dict[str, Any], phase: str, reason: str, **status: Any
) -> None:
    independent_client.create(link, namespace)
    ready = condition(status="True" if phase == "Bound" else "False", reason=reason)
    status_fields = {"phase": phase, "observedGeneration": 1, "conditions": [ready], **status}
    independent_client.patch_status(PodLink, link["metadata"]["name"], namespace, status_fields)


def _pods(independent_client: IndependentClient, namespace: str) -> None:
    """Creates Ready pods that no scheduler binds, so that their addresses stay as they are set here."""
    ports = [{"name": "play", "containerPort": 7777}]
    container = {"name": "room", "image": "room.invalid/room", "ports": ports}
    spec = {"schedulerName": "nobody", "containers": [container]}
    ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    for name, ip in (("game-0", "10.1.2.1"), ("game-2", "10.1.2.3"), ("chat-5d8f-x2", "10.1.2.4")):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
        independent_client.create(pod, namespace)
        independent_client.patch_status(Pod, name, namespace, {**ready, "podIP": ip, "podIPs": [{"ip": ip}]})
