"""Services and their pods in a namespace that exists only in memory."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from statefulroute.api.annotations import LOAD_STATE, ROUTING_STATE, WAITING_TASKS
from statefulroute.api.group import API_VERSION, POD_LINK, STATEFUL_ROUTE
from statefulroute.cluster.link_store import LinkStore
from statefulroute.domain.keys import UidOrSlot, bound_link_name, slot_link_name
from statefulroute.domain.times import format_rfc3339
from statefulroute.driver.client import ClientDriver
from statefulroute.driver.link_cache import LinkCache
from statefulroute.driver.metrics import DriverMetrics
from statefulroute.driver.observed_links import ObservedLinks
from statefulroute.driver.operations import observe_request
from statefulroute.driver.parts import Configuration, ServerInformation, ServerParts
from statefulroute.driver.pod_users import make_pod_users
from statefulroute.driver.publishers import AnnotationPublisher
from statefulroute.driver.routes import RouteCache
from statefulroute.driver.server import ServerDriver
from statefulroute.driver.service_reader import RequestedServices
from statefulroute.testing.in_memory_client import InMemoryClient, Object
from statefulroute.testing.in_memory_transfer import Acceptors, InMemoryTransfer

_TRANSITION = "2026-01-01T00:00:00Z"


class InMemoryCluster:
    """A namespace with services, for tests of applications: the drivers are the real ones, the API server is a dict.

    It does what the operator does for the drivers: the status of a route has the routing states, the loads and the
    numbers of links of its pods. Nothing expires, and no link moves but by hand-overs.

    Args:
        namespace: the namespace.
    """

    def __init__(self, namespace: str = "default") -> None:
        self.namespace = namespace
        self._client = InMemoryClient(self._written).observed(observe_request)
        self._links = f"/apis/{API_VERSION}/namespaces/{namespace}/{POD_LINK.plural}"
        self._routes = f"/apis/{API_VERSION}/namespaces/{namespace}/{STATEFUL_ROUTE.plural}"
        self._pods = f"/api/v1/namespaces/{namespace}/pods"
        self._sizes: dict[str, int] = {}
        self._deadlines: dict[tuple[str, int], datetime | None] = {}
        """The deadlines of closing pods, by service and index."""
        self._acceptors: Acceptors = {}

    # The cluster.

    def add_service(  # noqa: PLR0913 - all but two have a default
        self,
        name: str,
        pods: int,
        *,
        port: int | None = None,
        tags: tuple[str, ...] = (),
        max_links: int = 0,
        hand_over_seconds: int | None = None,
        slots: int | None = None,
    ) -> None:
        """Adds a StatefulSet with pods that are ready, and its StatefulRoute.

        Args:
            name: the name of both.
            pods: the number of pods.
            port: the port in the addresses of pods.
            tags: additional names of the service.
            max_links: the number of links from which drivers of callers link no new users; 0 is no limit.
            hand_over_seconds: how long pods may take to hand over a user; None has no hand-overs.
            slots: the number of slots, which are bound to the pods in turn: slot 0 to pod 0. None has none.
        """
        self._sizes[name] = pods
        for index in range(pods):
            pod = f"{name}-{index}"
            item = {"metadata": {"name": pod}, "spec": {"hostname": pod, "subdomain": name, "containers": []}}
            self._client.create(self._pods, item)
            self.set_ready(name, index, is_ready=True)
        spec = {"tags": list(tags), "links": {"max": max_links}} | ({} if port is None else {"port": port})
        if hand_over_seconds is not None:
            spec["handOver"] = {"timeoutSeconds": hand_over_seconds}
        if slots is not None:
            spec["slots"] = slots
        self._client.create(self._routes, {"metadata": {"name": name}, "spec": spec, "status": self._status(name)})
        for slot in range(slots or 0):
            self.set_slot(name, slot, slot % pods)

    def set_slot(self, service: str, slot: int, pod: int | None) -> None:
        """Binds a slot to a pod; None deletes the link of the slot.

        Args:
            service: the service.
            slot: the number of the slot.
            pod: the index of the pod.
        """
        name = slot_link_name(service, slot)
        if pod is None:
            self._client.remove(self._links, name)
        elif slot in self.slots(service):
            self._client.update(self._links, name, {"spec": {"podIndex": pod, "handOver": None}})
        else:
            spec = {"routeName": service, "slot": slot, "podIndex": pod}
            self._client.create(self._links, {"metadata": {"name": name}, "spec": spec})

    def slots(self, service: str) -> dict[int, int]:
        """Returns the pod of each slot that is bound."""
        specs = (item["spec"] for item in self._client.objects(self._links))
        return {spec["slot"]: spec["podIndex"] for spec in specs if spec["routeName"] == service and "slot" in spec}

    def set_ready(self, service: str, pod: int, *, is_ready: bool) -> None:
        """Changes whether a pod is ready."""
        condition = {"type": "Ready", "status": str(is_ready), "lastTransitionTime": _TRANSITION}
        status = {"phase": "Running", "podIP": f"10.0.0.{pod + 1}", "conditions": [condition]}
        self._client.update(self._pods, f"{service}-{pod}", {"status": status})

    def set_closing(self, service: str, pod: int, deadline: datetime | None) -> None:
        """Lets a pod keep its users until a time, as before a scale-down; None ends that."""
        self._deadlines[service, pod] = deadline
        self._written(self._pods)

    def hand_over(self, service: str, bound: UidOrSlot, pod: int) -> None:
        """Asks the pod of a user or a slot to hand it over to another pod. No time is over before `end_hand_over`.

        Args:
            service: the service.
            bound: the uid of the user, or the number of the slot.
            pod: the index of the new pod.
        """
        asked = {"podIndex": pod, "startTime": format_rfc3339(datetime.now(UTC))}
        self._client.update(self._links, bound_link_name(service, bound), {"spec": {"handOver": asked}})

    def withdraw_hand_over(self, service: str, bound: UidOrSlot) -> None:
        """Lets the user or slot stay at the present pod."""
        self._client.update(self._links, bound_link_name(service, bound), {"spec": {"handOver": None}})

    def end_hand_over(self, service: str, bound: UidOrSlot) -> None:
        """Moves the user or slot, as the operator does at the time-out."""
        name = bound_link_name(service, bound)
        link = next(item for item in self._client.objects(self._links) if item["metadata"]["name"] == name)
        pod = link["spec"]["handOver"]["podIndex"]
        self._client.update(self._links, name, {"spec": {"podIndex": pod, "handOver": None}})

    def set_available(self, *, is_available: bool) -> None:
        """Changes whether the API server responds to requests. Watches that are open go on."""
        self._client.is_available = is_available

    def links(self, service: str) -> dict[str, int | str]:
        """Returns the pod of each uid that is bound."""
        specs = (item["spec"] for item in self._client.objects(self._links))
        bound = (
            (spec.get("uid"), spec.get("podIndex", spec.get("podName")))
            for spec in specs
            if spec["routeName"] == service
        )
        return {uid: pod for uid, pod in bound if uid is not None and pod is not None}

    # The drivers.

    def client_driver(self, **options: Any) -> ClientDriver:  # noqa: ANN401 - those of the driver
        """Returns a driver of a caller, which is not started. The options are those of `ClientDriver`."""
        return ClientDriver(self._client, self.namespace, **options)

    def server_driver(  # noqa: PLR0913 - all but two have a default
        self,
        service: str,
        pod: int,
        *,
        configuration: Configuration | None = None,
        follow_links: bool = False,
        follow_users: bool | Iterable[str] = False,
        metrics: DriverMetrics | None = None,
        **options: Any,  # noqa: ANN401
    ) -> ServerDriver:
        """Returns the driver of a server pod, which is not started. The options are those of `ServerDriver`."""
        configuration = configuration or Configuration()

        async def open_parts(stack: Any) -> ServerParts:  # noqa: ANN401 - an exit stack
            server = ServerInformation(namespace=self.namespace, service=service, pod_name=f"{service}-{pod}", pod=pod)
            routes = await stack.enter_async_context(RouteCache(self._client, self.namespace, service))
            await routes.wait_synced()
            on_write = None if metrics is None else metrics.in_namespace(self.namespace).observe_write
            users = make_pod_users(self._client, server, follow_users, configuration.fence_after_seconds)
            if users is not None:
                await users.open(stack, configuration.deadline_seconds)
            cache = LinkCache(self._client, self.namespace, [service]) if follow_links else None
            if cache is not None:
                await stack.enter_async_context(cache)
            observed = cache if users is None else ObservedLinks(users, cache)
            services = RequestedServices(self._client, self.namespace, routes)
            links = LinkStore(
                self._client, self.namespace, links=observed, on_write=on_write, slots_of=services.slots_of
            )
            publisher = AnnotationPublisher(self._client, server)
            transfer = None
            if configuration.hand_over is not None:
                transfer = InMemoryTransfer(server.pod_name, self._acceptors)
            return ServerParts(links, routes, publisher, server, services, users, transfer)

        return ServerDriver(self.namespace, open_parts, configuration=configuration, metrics=metrics, **options)

    # The work of the operator.

    def _written(self, collection: str) -> None:
        if collection == self._routes:
            return
        for item in self._client.objects(self._routes):
            name = item["metadata"]["name"]
            if item.get("status") != (status := self._status(name)):
                self._client.update(self._routes, name, {"status": status})

    def _status(self, service: str) -> Object:
        slots = list(self.slots(service).values())
        bound = [*self.links(service).values(), *slots]
        pods = {item["metadata"]["name"]: item for item in self._client.objects(self._pods)}
        listed = [
            _pod_status(item, index, bound.count(index), self._deadlines.get((service, index)))
            | ({"slots": slots.count(index)} if slots else {})
            for index in range(self._sizes[service])
            if (item := pods.get(f"{service}-{index}")) is not None
        ]
        return {"routingState": "Ready", "workloadState": "Normal", "links": len(bound), "pods": listed}


def _pod_status(pod: Object, index: int, links: int, deadline: datetime | None) -> Object:
    annotations = pod["metadata"].get("annotations", {})
    is_ready = pod["status"]["conditions"][0]["status"] == "True"
    status = {
        "index": index,
        "name": pod["metadata"]["name"],
        "serviceState": "Ready" if is_ready else "NotReady",
        "routingState": annotations.get(ROUTING_STATE, "Ready"),
        "links": links,
        "totalLinks": links,
    }
    if deadline is not None:
        status["closing"] = {"reason": "ScaleDown", "since": _TRANSITION, "deadline": format_rfc3339(deadline)}
    if LOAD_STATE in annotations:
        status |= {"loadState": int(annotations[LOAD_STATE]), "waitingTasks": int(annotations[WAITING_TASKS])}
    return status
