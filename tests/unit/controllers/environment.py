"""The test environment of the controllers: caches that tests fill, and fakes that record what is written."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import msgspec

from statefulroute.api.annotations import POD_DELETION_COST, WEIGHTED_LOAD
from statefulroute.api.group import STATEFUL_ROUTE
from statefulroute.api.load import HTTPLoad
from statefulroute.api.route_status import StatefulRouteStatus
from statefulroute.api.statefulroute import StatefulRouteSpec
from statefulroute.api.vocabulary import LossCause, MoveReason, RoutingState, ServiceState
from statefulroute.cluster.client import Client
from statefulroute.cluster.errors import ClusterError, ConflictError, NotFoundError
from statefulroute.cluster.events import EventRecorder
from statefulroute.cluster.informers import Informers
from statefulroute.cluster.load_client import LoadUnreadableError
from statefulroute.cluster.writes import LinkWriter, status_patch
from statefulroute.controllers.links.controller import LinkController
from statefulroute.controllers.links.counts import LinkCounts
from statefulroute.controllers.links.hand_overs import HandOvers
from statefulroute.controllers.links.reconciler import LinkReconciler, ReconcileResult
from statefulroute.controllers.links.turn_limiter import TurnLimiter
from statefulroute.controllers.monitoring.hand_overs import HandOverMetrics
from statefulroute.controllers.monitoring.links import LinkMetrics
from statefulroute.controllers.slots.moves import SlotMoves
from statefulroute.controllers.state_store import RouteStore
from statefulroute.domain.events import Event
from statefulroute.domain.hand_over import Outcome
from statefulroute.domain.keys import LinkKey, RouteKey, slot_link_name
from statefulroute.domain.link import HandOver, Link, LinkStatus
from statefulroute.domain.load import LoadResponse
from statefulroute.domain.pod import Owner, Pod, PodAnnotations
from statefulroute.domain.route import Route
from statefulroute.domain.workload import Workload

GAME = RouteKey("games", "game")
OWNER = Owner("StatefulSet", "game", "uid-of-game")

TIMEOUT_SECONDS = 10.0


async def idle() -> None:
    """Lets all tasks run that are ready."""
    for _ in range(20):
        await asyncio.sleep(0)


async def eventually(condition: Callable[[], object]) -> None:
    """Waits until a condition holds that no event announces."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.001)


def route(version: int, key: RouteKey = GAME, **more: Any) -> Route:
    """A route to the workload of the same name."""
    fields: dict[str, Any] = {
        "generation": 1,
        "spec": StatefulRouteSpec.model_validate(more.pop("spec", {})),
        "status": StatefulRouteStatus.model_validate(more.pop("status", {})),
    }
    return Route(namespace=key.namespace, name=key.name, resource_version=version, **fields | more)


def workload(version: int, name: str = "game", **more: Any) -> Workload:
    """A StatefulSet."""
    fields: dict[str, Any] = {
        "namespace": "games",
        "uid": f"uid-of-{name}",
        "replicas": 3,
        "first_index": 0,
        "service_name": name,
    }
    return Workload(name=name, resource_version=version, **fields | more)


def pod(version: int, index: int = 0, **more: Any) -> Pod:
    """A ready pod of the StatefulSet `game`."""
    fields: dict[str, Any] = {
        "namespace": "games",
        "name": f"game-{index}",
        "service_state": ServiceState.READY,
        "reported_routing_state": RoutingState.UNKNOWN,
        "owner": OWNER,
        "index": index,
    }
    fields |= more
    fields.setdefault("is_ready", fields["service_state"] is ServiceState.READY)
    return Pod(resource_version=version, **fields)


def deployment_pod(version: int, name: str = "game-a", **more: Any) -> Pod:
    """A ready pod of the Deployment `game`."""
    fields: dict[str, Any] = {"index": None, "owner": None, "labels": {"app": "game"}, "uid": f"uid-of-{name}"}
    return pod(version, name=name, **fields | more)


def link(version: int, user: str = "alice", key: RouteKey = GAME, **more: Any) -> Link:
    """A link that leaves the choice of the pod to the operator."""
    return Link(route=key, name=f"{key.name}.{user}", resource_version=version, **{"generation": 1} | more)


class FakeScaleClient:
    """A fake client that serves the scales of Deployments, and the annotations of workloads."""

    def __init__(self) -> None:
        self.scales: dict[str, dict[str, Any]] = {}
        self.annotations: dict[str, dict[str, str]] = {}
        self.requests: list[str] = []
        self.failures: list[Exception] = []
        self.write_failures: list[Exception] = []
        self.unblocked = asyncio.Event()
        self.unblocked.set()

    def put(self, version: int, name: str = "game", **more: Any) -> None:
        """Creates or changes a Deployment."""
        fields = {"replicas": 3, "selector": f"app={name}", "uid": f"uid-of-{name}"} | more
        self.scales[name] = {
            "metadata": {"uid": fields["uid"], "resourceVersion": str(version)},
            "spec": {"replicas": fields["replicas"]},
            "status": {"selector": fields["selector"]},
        }

    async def get(self, path: str) -> bytes:
        """Returns the discovery document, a scale, or the workload itself."""
        self._take("GET", path)
        await self.unblocked.wait()
        if path == "/apis/apps/v1":
            kinds = [("deployments", "Deployment"), ("deployments/scale", "Scale")]
            kinds += [("statefulsets", "StatefulSet"), ("statefulsets/scale", "Scale")]
            resources = [{"name": name, "kind": kind, "namespaced": True} for name, kind in kinds]
            return msgspec.json.encode({"resources": resources})
        name = path.removesuffix("/scale").rpartition("/")[2]
        if name not in self.scales:
            raise NotFoundError(404, "NotFound", "not found")
        if path.endswith("/scale"):
            return msgspec.json.encode(self.scales[name])
        return msgspec.json.encode({"metadata": {"annotations": self.annotations.get(name)}})

    async def merge_patch(self, path: str, body: bytes) -> bytes:
        """Changes annotations of a workload."""
        self._take("PATCH", path)
        if self.write_failures:
            raise self.write_failures.pop(0)
        name, change = path.rpartition("/")[2], msgspec.json.decode(body)["metadata"]["annotations"]
        annotations = self.annotations.get(name, {}) | change
        self.annotations[name] = {key: value for key, value in annotations.items() if value is not None}
        return msgspec.json.encode({"metadata": {"annotations": self.annotations[name]}})

    def _take(self, method: str, path: str) -> None:
        self.requests.append(f"{method} {path.removeprefix('/apis/apps/v1/namespaces/games/')}")
        if self.failures:
            raise self.failures.pop(0)


class FakeLinkWriter:
    """A fake writer of links that records each write and stores the result in the cache."""

    def __init__(self, informers: Informers) -> None:
        self.written: list[tuple[str, object]] = []
        self.causes: list[LossCause | None] = []
        self.failures: list[ClusterError] = []
        self.unblocked = asyncio.Event()
        self.unblocked.set()
        self.in_flight = 0
        self._informers = informers

    async def create_slot(self, route: Route, slot: int, pod: int) -> None:
        """Records the slot and its pod."""
        await self.unblocked.wait()
        if self.failures:
            raise self.failures.pop(0)
        name = slot_link_name(route.name, slot)
        if self._informers.links.cache.get(route.key, name) is not None:
            raise ConflictError(409, "AlreadyExists", "it exists")
        self.written.append((f"x-slot-{slot}", f"created on {pod}"))
        self._informers.links.cache.put(
            Link(route=route.key, name=name, resource_version=1, generation=1, pod=pod, creation_timestamp=1)
        )

    async def bind(self, link: Link, pod: int) -> None:
        """Records the pod."""
        await self._write(link, pod, {"pod": pod, "hand_over": None, "generation": link.generation + 1})

    async def write_hand_over(self, link: Link, hand_over: HandOver | None) -> str:
        """Records the pod that takes the user."""
        record = "no handOver" if hand_over is None else f"handOver to {hand_over.pod}"
        await self._write(link, record, {"hand_over": hand_over, "generation": link.generation + 1})
        return "its uid"

    async def update_status(
        self,
        link: Link,
        status: LinkStatus,
        cause: LossCause | None = None,
        outcome: Outcome | None = None,
        move_reason: MoveReason | None = None,
    ) -> str:
        """Records the reason of the status or, if the link has moved, the reason and the cause of the move."""
        change = {
            "status": status,
            "observed_generation": link.generation,
            "status_expire_time": link.expire_time,
        }
        has_moved = link.status_pod is not None and status.pod not in {None, link.status_pod}
        if not has_moved:
            await self._write(link, status.reason.value, change)
            return "its uid"
        reason = (move_reason or "Moved") if cause is None else "PodLost"
        await self._write(link, reason if outcome is None else f"HandedOver: {outcome.result}", change)
        self.causes.append(cause)
        return "its uid"

    async def delete(self, link: Link) -> str:
        """Records the deletion."""
        await self._write(link, "removed", {})
        self._informers.links.cache.delete(link.route, link.name, link.resource_version + 2)
        return "its uid"

    async def _write(self, link: Link, record: object, change: Mapping[str, Any]) -> None:
        self.in_flight += 1
        try:
            await self.unblocked.wait()
        finally:
            self.in_flight -= 1
        if self.failures:
            raise self.failures.pop(0)
        self.written.append((link.name.partition(".")[2], record))
        new = msgspec.structs.replace(link, resource_version=link.resource_version + 1, **change)
        self._informers.links.cache.put(new)


class FakePodWriter:
    """A fake writer of pods that records each write and stores the result in the cache."""

    def __init__(self, informers: Informers) -> None:
        self.written: list[tuple[str, dict[str, str | None]]] = []
        self.failures: list[ClusterError] = []
        self.unblocked = asyncio.Event()
        self.unblocked.set()
        self.in_flight = 0
        self._informers = informers

    async def annotate(self, pod: Pod, annotations: Mapping[str, str | None]) -> None:
        """Records the annotations."""
        self.in_flight += 1
        await self.unblocked.wait()
        self.in_flight -= 1
        if self.failures:
            raise self.failures.pop(0)
        self.written.append((pod.name, dict(annotations)))
        merged = {
            WEIGHTED_LOAD: pod.annotations.weighted_load,
            POD_DELETION_COST: pod.annotations.deletion_cost,
            **annotations,
        }
        new = PodAnnotations(merged[WEIGHTED_LOAD], merged[POD_DELETION_COST])
        self._informers.pods.cache.put(
            msgspec.structs.replace(pod, resource_version=pod.resource_version + 1, annotations=new)
        )


class FakeRouteWriter:
    """A fake writer of routes that records the changes of each status."""

    def __init__(self, informers: Informers) -> None:
        self.written: list[dict[str, Any]] = []
        self.calls = 0
        self.failures: list[ClusterError] = []
        self._informers = informers

    async def update_status(self, route: Route, status: StatefulRouteStatus) -> None:
        """Records the changes of the status, if there are any."""
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        if change := status_patch(route.status, status):
            self.written.append(change)
            self._informers.routes.cache.put(replace(route, resource_version=route.resource_version + 1, status=status))


class FakeLoadClient:
    """A fake client that returns the loads of pods by their IP address."""

    def __init__(self) -> None:
        self.responses: dict[str, LoadResponse | Exception] = {}
        self.polled: list[str] = []
        self.unblocked = asyncio.Event()
        self.unblocked.set()

    async def get_load(self, ip: str, http: HTTPLoad, route: RouteKey) -> LoadResponse:
        """Returns or raises the prepared response, or raises that the connection was refused."""
        assert route.name
        self.polled.append(f"{ip}:{http.port}")
        await self.unblocked.wait()
        response = self.responses.get(ip, LoadUnreadableError("refused the connection"))
        if isinstance(response, Exception):
            raise response
        return response


class FakeEventRecorder:
    """A fake recorder of events that records their reasons."""

    def __init__(self) -> None:
        self.recorded: list[str] = []
        self.notes: list[str] = []
        """The reasons and notes of the events of routes."""

    def record(self, event: Event | None, uid: str) -> None:
        """Records the reason of an event, if there is one."""
        assert uid == "its uid" or (event and event.kind is STATEFUL_ROUTE) or event is None
        if event is not None:
            self.recorded.append(event.reason)
            if event.kind is STATEFUL_ROUTE:
                self.notes.append(f"{event.reason}: {event.note}")


class Environment:
    """The controller of links and what it needs, connected as in the operator."""

    def __init__(
        self,
        concurrency: int = 4,
        moves_per_second: float = 1e9,
        max_moves_in_flight: int = 6,
        rewrites_per_second: float = 1e9,
        monotonic: Callable[[], float] | None = None,
    ) -> None:
        self.scales = FakeScaleClient()
        self.informers = Informers(cast("Client", self.scales))
        self.links = self.informers.links.cache
        self.routes = self.informers.routes.cache
        self.pods = self.informers.pods.cache
        self.workloads = self.informers.stateful_sets.cache
        self.counts = LinkCounts()
        self.links.listen(self.counts.link_changed)
        self.now = datetime(2026, 6, 1, 12, tzinfo=UTC)
        self.skew = timedelta()
        """How far the time of day is wrong."""
        self.seconds = 0.0
        self.route_store = RouteStore(
            self.informers,
            self.counts.of,
            self.counts.arriving,
            lambda: self.now + self.skew,
            self._elapsed,
            slots_of=self.counts.slots.of,
        )
        self.counts.listen(self.route_store.observe_links)
        self.routes.listen(self.counts.route_changed)
        self.recorder = FakeEventRecorder()
        self.metrics = LinkMetrics(lambda: True)
        self.links.listen(self.metrics.link_changed)
        self.hand_overs, self.hand_over_metrics = HandOvers(self._elapsed), HandOverMetrics()
        self.links.listen(self.hand_overs.link_changed)
        self.writer = FakeLinkWriter(self.informers)
        self.slot_moves = SlotMoves()
        self.reconciled: list[str] = []
        move_limiter = TurnLimiter(moves_per_second, max_moves_in_flight, monotonic or (lambda: self.seconds))
        hand_over_limiter = TurnLimiter(moves_per_second, max_moves_in_flight, monotonic or (lambda: self.seconds))
        rewrite_limiter = TurnLimiter(rewrites_per_second, 1, monotonic or (lambda: self.seconds))
        reconciler = LinkReconciler(
            links=self.links,
            route_store=self.route_store,
            counts=self.counts,
            writer=cast("LinkWriter", self.writer),
            move_limiter=move_limiter,
            rewrite_limiter=rewrite_limiter,
            hand_over_limiter=hand_over_limiter,
            recorder=cast("EventRecorder", self.recorder),
            metrics=self.metrics,
            hand_overs=self.hand_overs,
            hand_over_metrics=self.hand_over_metrics,
            clock=lambda: self.now,
            slot_moves=self.slot_moves,
        )
        self.reconciler = reconciler
        reconcile = reconciler.reconcile

        async def recording(key: LinkKey) -> ReconcileResult:
            self.reconciled.append(key.name.partition(".")[2])
            return await reconcile(key)

        reconciler.reconcile = recording  # type: ignore[method-assign]
        self.controller = LinkController(
            self.informers, self.route_store, reconciler.reconcile, concurrency, reconciler.is_expected
        )
        move_limiter.listen(self.controller.resume)
        hand_over_limiter.listen(self.controller.resume)
        rewrite_limiter.listen(self.controller.resume_rewrite)
        self.hand_overs.listen(self.controller.resume)

    def _elapsed(self) -> float:
        return self.now.timestamp()

    def with_pods(self, *indices: int) -> "Environment":
        """Creates the route, its StatefulSet and ready pods of these indices."""
        self.routes.put(route(10))
        self.workloads.put(workload(11))
        for index in indices:
            self.pods.put(pod(12 + index, index))
        return self

    async def with_deployment(self, *names: str, **spec: Any) -> "Environment":
        """Creates the route, a Deployment that was read, and ready pods of these names."""
        self.routes.put(route(15, spec={"workloadRef": {"kind": "Deployment"}} | spec))
        self.scales.put(11)
        await self.refresh_workload()
        for version, name in enumerate(names, start=12):
            self.pods.put(deployment_pod(version, name))
        return self

    async def refresh_workload(self) -> None:
        """Reads the route's workload again."""
        (current,) = self.routes.in_partition("games").values()
        await self.informers.workloads.refresh(current)

    def reason_of(self, user: str, key: RouteKey = GAME) -> str | None:
        """Returns the reason in the status of a user's link."""
        current = self.links.get(key, f"{key.name}.{user}")
        return current.status.reason.value if current and current.status else None


@asynccontextmanager
async def running_route(environment: Environment, key: RouteKey = GAME) -> AsyncIterator[None]:
    """Reconciles the links of a route, and finishes those in progress at the end."""
    environment.controller.add_route(key)
    await idle()
    yield
    await removed_route(environment, key)


async def removed_route(environment: Environment, key: RouteKey = GAME) -> None:
    """Ends the queue of a route."""
    environment.controller.remove_route(key)
    await eventually(lambda: not environment.controller._ending)  # noqa: SLF001 - no event tells
