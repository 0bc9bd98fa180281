"""A cluster in memory: caches that are filled by hand, and a writer that notes what is written."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import msgspec

from statefulroute.api.annotations import POD_DELETION_COST, WEIGHTED_LOAD
from statefulroute.api.group import STATEFUL_ROUTE
from statefulroute.api.statefulroute import HTTPLoad, StatefulRouteSpec, StatefulRouteStatus
from statefulroute.api.vocabulary import MoveReason, RoutingState, ServiceState
from statefulroute.cluster.client import Client
from statefulroute.cluster.errors import ClusterError, NotFoundError
from statefulroute.cluster.events import EventRecorder
from statefulroute.cluster.informers import Informers
from statefulroute.cluster.load_client import LoadUnreadableError
from statefulroute.cluster.writes import LinkWriter, status_patch
from statefulroute.controllers.links.controller import LinkController
from statefulroute.controllers.links.counts import LinkCounts
from statefulroute.controllers.links.move_limiter import MoveLimiter
from statefulroute.controllers.links.reconciler import LinkReconciler, ReconcileResult
from statefulroute.controllers.monitoring.links import LinkMetrics
from statefulroute.controllers.state_store import RouteStore
from statefulroute.domain.events import Event
from statefulroute.domain.keys import LinkKey, RouteKey
from statefulroute.domain.link import Link, LinkStatus
from statefulroute.domain.load import LoadResponse
from statefulroute.domain.pod import Owner, Pod, PodAnnotations
from statefulroute.domain.route import Route, Workload

GAME = RouteKey("games", "game")
OWNER = Owner("StatefulSet", "game", "uid-of-game")

TIMEOUT_SECONDS = 10.0


async def idle() -> None:
    """Let everything run that is ready to."""
    for _ in range(20):
        await asyncio.sleep(0)


async def eventually(condition: Callable[[], object]) -> None:
    """Wait until something holds that no event tells of."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.001)


def route(version: int, key: RouteKey = GAME, **more: Any) -> Route:
    """A route of the workload of its own name."""
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
    """A ready pod of the Deployment `game`, which answers at an address of its own."""
    fields: dict[str, Any] = {"index": None, "owner": None, "labels": {"app": "game"}, "uid": f"uid-of-{name}"}
    return pod(version, name=name, **fields | more)


def link(version: int, user: str = "alice", key: RouteKey = GAME, **more: Any) -> Link:
    """A link that leaves the choice to the operator."""
    return Link(route=key, name=f"{key.name}.{user}", resource_version=version, **{"generation": 1} | more)


class FakeScaleClient:
    """Takes the place of the client: Deployments that can be read by their scale, and their annotations."""

    def __init__(self) -> None:
        self.scales: dict[str, dict[str, Any]] = {}
        self.annotations: dict[str, dict[str, str]] = {}
        self.requests: list[str] = []
        self.failures: list[Exception] = []

    def put(self, version: int, name: str = "game", **more: Any) -> None:
        """Let a Deployment exist, or change."""
        fields = {"replicas": 3, "selector": f"app={name}", "uid": f"uid-of-{name}"} | more
        self.scales[name] = {
            "metadata": {"uid": fields["uid"], "resourceVersion": str(version)},
            "spec": {"replicas": fields["replicas"]},
            "status": {"selector": fields["selector"]},
        }

    async def get(self, path: str) -> bytes:
        """Discovery, a scale, or the workload itself."""
        self._take("GET", path)
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
        """Annotations of a workload."""
        self._take("PATCH", path)
        name, change = path.rpartition("/")[2], msgspec.json.decode(body)["metadata"]["annotations"]
        annotations = self.annotations.get(name, {}) | change
        self.annotations[name] = {key: value for key, value in annotations.items() if value is not None}
        return msgspec.json.encode({"metadata": {"annotations": self.annotations[name]}})

    def _take(self, method: str, path: str) -> None:
        self.requests.append(f"{method} {path.removeprefix('/apis/apps/v1/namespaces/games/')}")
        if self.failures:
            raise self.failures.pop(0)


class FakeLinkWriter:
    """Takes the place of the writer of links: notes each write, and the cache knows the outcome at once."""

    def __init__(self, informers: Informers) -> None:
        self.written: list[tuple[str, object]] = []
        self.failures: list[ClusterError] = []
        self.unblocked = asyncio.Event()
        self.unblocked.set()
        self.in_flight = 0
        self._informers = informers

    async def bind(self, link: Link, pod: int) -> None:
        """Note the pod."""
        await self._write(link, pod, {"pod": pod, "generation": link.generation + 1})

    async def update_status(self, link: Link, status: LinkStatus, move_reason: MoveReason = MoveReason.MOVED) -> str:
        """Note the reason, and why the link has moved where it has."""
        change = {
            "status": status,
            "observed_generation": link.generation,
            "status_expire_time": link.expire_time,
        }
        has_moved = link.status_pod is not None and status.pod not in {None, link.status_pod}
        await self._write(link, move_reason.value if has_moved else status.reason.value, change)
        return "its uid"

    async def delete(self, link: Link) -> str:
        """Note that it is gone."""
        await self._write(link, "removed", {})
        self._informers.links.cache.delete(link.route, link.name, link.resource_version + 2)
        return "its uid"

    async def _write(self, link: Link, note: object, change: Mapping[str, Any]) -> None:
        self.in_flight += 1
        try:
            await self.unblocked.wait()
        finally:
            self.in_flight -= 1
        if self.failures:
            raise self.failures.pop(0)
        self.written.append((link.name.partition(".")[2], note))
        later = msgspec.structs.replace(link, resource_version=link.resource_version + 1, **change)
        self._informers.links.cache.put(later)


class FakePodWriter:
    """Takes the place of the writer of pods: notes each write, and the cache knows the outcome at once."""

    def __init__(self, informers: Informers) -> None:
        self.written: list[tuple[str, dict[str, str | None]]] = []
        self.failures: list[ClusterError] = []
        self.unblocked = asyncio.Event()
        self.unblocked.set()
        self.in_flight = 0
        self._informers = informers

    async def annotate(self, pod: Pod, annotations: Mapping[str, str | None]) -> None:
        """Note the annotations."""
        self.in_flight += 1
        await self.unblocked.wait()
        self.in_flight -= 1
        if self.failures:
            raise self.failures.pop(0)
        self.written.append((pod.name, dict(annotations)))
        now = {
            WEIGHTED_LOAD: pod.annotations.weighted_load,
            POD_DELETION_COST: pod.annotations.deletion_cost,
            **annotations,
        }
        notes = PodAnnotations(now[WEIGHTED_LOAD], now[POD_DELETION_COST])
        self._informers.pods.cache.put(
            msgspec.structs.replace(pod, resource_version=pod.resource_version + 1, annotations=notes)
        )


class FakeRouteWriter:
    """Takes the place of the writer of routes: notes what has changed in each status."""

    def __init__(self, informers: Informers) -> None:
        self.written: list[dict[str, Any]] = []
        self.calls = 0
        self.failures: list[ClusterError] = []
        self._informers = informers

    async def update_status(self, route: Route, status: StatefulRouteStatus) -> None:
        """Note what has changed, if anything has."""
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        if change := status_patch(route.status, status):
            self.written.append(change)
            self._informers.routes.cache.put(replace(route, resource_version=route.resource_version + 1, status=status))


class FakeLoadClient:
    """Takes the place of the pods that are asked for their load, by their IP address."""

    def __init__(self) -> None:
        self.answers: dict[str, LoadResponse | Exception] = {}
        self.polled: list[str] = []
        self.unblocked = asyncio.Event()
        self.unblocked.set()

    async def get_load(self, ip: str, http: HTTPLoad) -> LoadResponse:
        """The answer that was prepared, or that nobody listens there."""
        self.polled.append(f"{ip}:{http.port}")
        await self.unblocked.wait()
        answer = self.answers.get(ip, LoadUnreadableError("refused the connection"))
        if isinstance(answer, Exception):
            raise answer
        return answer


class FakeDaemonStopped:
    """Takes the place of kopf's word on when a daemon is to end."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def __bool__(self) -> bool:
        return self._event.is_set()

    def set(self) -> None:
        self._event.set()

    async def wait(self) -> bool:
        return await self._event.wait()


class FakeEventRecorder:
    """Takes the place of the recorder of events."""

    def __init__(self) -> None:
        self.recorded: list[str] = []

    def record(self, event: Event | None, uid: str) -> None:
        """Note the reason of the event, if there is one."""
        assert uid == "its uid" or (event and event.kind is STATEFUL_ROUTE) or event is None
        if event is not None:
            self.recorded.append(event.reason)


class Environment:
    """The parts of the operator that work on links, put together as the operator does."""

    def __init__(self, parallel: int = 4, moves_per_second: float = 1e6, moves_at_a_time: int = 4) -> None:
        self.scales = FakeScaleClient()
        self.informers = Informers(cast("Client", self.scales))
        self.links = self.informers.links.cache
        self.routes = self.informers.routes.cache
        self.pods = self.informers.pods.cache
        self.workloads = self.informers.stateful_sets.cache
        self.counts = LinkCounts()
        self.links.listen(self.counts.link_changed)
        self.now = datetime(2026, 6, 1, 12, tzinfo=UTC)
        self.seconds = 0.0
        self.route_store = RouteStore(self.informers, self.counts.of, lambda: self.now)
        self.counts.listen_for_first_link(self.route_store.observe_first_link)
        self.routes.listen(self.counts.route_changed)
        self.recorder = FakeEventRecorder()
        self.metrics = LinkMetrics(lambda: True)
        self.links.listen(self.metrics.link_changed)
        self.writer = FakeLinkWriter(self.informers)
        self.reconciled: list[str] = []
        reconciler = LinkReconciler(
            links=self.links,
            route_store=self.route_store,
            counts=self.counts,
            writer=cast("LinkWriter", self.writer),
            move_limiter=MoveLimiter(moves_per_second, moves_at_a_time, lambda: self.seconds),
            recorder=cast("EventRecorder", self.recorder),
            metrics=self.metrics,
            clock=lambda: self.now,
        )
        self.reconciler = reconciler
        reconcile = reconciler.reconcile

        async def noting(key: LinkKey) -> ReconcileResult:
            self.reconciled.append(key.name.partition(".")[2])
            return await reconcile(key)

        reconciler.reconcile = noting  # type: ignore[method-assign]
        self.controller = LinkController(self.informers, self.route_store, reconciler.reconcile, parallel)

    def with_pods(self, *indices: int) -> "Environment":
        """Let the route, its workload and ready pods of these indices exist."""
        self.routes.put(route(10))
        self.workloads.put(workload(11))
        for index in indices:
            self.pods.put(pod(12 + index, index))
        return self

    async def with_deployment(self, *names: str, **spec: Any) -> "Environment":
        """Let the route, a Deployment that was read, and ready pods of these names exist."""
        self.routes.put(route(15, spec={"workloadRef": {"kind": "Deployment"}} | spec))
        self.scales.put(11)
        await self.refresh_workload()
        for version, name in enumerate(names, start=12):
            self.pods.put(deployment_pod(version, name))
        return self

    async def refresh_workload(self) -> None:
        """Read the route's workload anew."""
        (found,) = self.routes.in_partition("games").values()
        await self.informers.workloads.refresh(found)

    def reason_of(self, user: str) -> str | None:
        """The reason that the link's status gives."""
        found = self.links.get(GAME, f"game.{user}")
        return found.status.reason.value if found and found.status else None


@asynccontextmanager
async def running_route(world: Environment) -> AsyncIterator[asyncio.Event]:
    """The route's worker at work; the event ends it."""
    end = asyncio.Event()
    task = asyncio.create_task(world.controller.run_route(GAME, end.wait))
    await idle()
    yield end
    end.set()
    await task
