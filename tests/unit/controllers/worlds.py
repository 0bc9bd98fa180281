"""A cluster in memory: caches that are filled by hand, and a writer that notes what is written."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, cast

import msgspec

from statefulroute.api.statefulroute import StatefulRouteSpec, StatefulRouteStatus
from statefulroute.api.vocabulary import MoveReason, RoutingState, ServiceState
from statefulroute.cluster.client import Client
from statefulroute.cluster.errors import ClusterError
from statefulroute.cluster.events import EventRecorder
from statefulroute.cluster.mirror import Mirror
from statefulroute.cluster.writes import LinkWriter
from statefulroute.controllers.links.controller import LinkController
from statefulroute.controllers.links.counts import LinkCounts
from statefulroute.controllers.links.pace import Pace
from statefulroute.controllers.links.reconciler import LinkReconciler, Outcome
from statefulroute.controllers.views import RouteViews
from statefulroute.domain.events import Event
from statefulroute.domain.keys import LinkKey, RouteKey
from statefulroute.domain.link import Acknowledgement, Link
from statefulroute.domain.pod import Owner, Pod
from statefulroute.domain.route import Route, Workload

GAME = RouteKey("games", "game")
OWNER = Owner("StatefulSet", "game", "uid-of-game")

PATIENCE_SECONDS = 10.0


async def idle() -> None:
    """Let everything run that is ready to."""
    for _ in range(20):
        await asyncio.sleep(0)


async def eventually(condition: Callable[[], object]) -> None:
    """Wait until something holds that no event tells of."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.001)


def route(version: int, key: RouteKey = GAME, **more: Any) -> Route:
    """A route of the workload of its own name."""
    fields: dict[str, Any] = {
        "generation": 1,
        "spec": StatefulRouteSpec.model_validate(more.pop("spec", {})),
        "status": StatefulRouteStatus.model_validate(more.pop("status", {})),
    }
    return Route(group=key.namespace, name=key.name, resource_version=version, **fields | more)


def workload(version: int, name: str = "game", **more: Any) -> Workload:
    """A StatefulSet."""
    fields: dict[str, Any] = {"group": "games", "uid": f"uid-of-{name}", "replicas": 3, "service_name": name}
    return Workload(name=name, resource_version=version, **fields | more)


def pod(version: int, index: int = 0, **more: Any) -> Pod:
    """A ready pod of the StatefulSet `game`."""
    fields: dict[str, Any] = {
        "group": "games",
        "name": f"game-{index}",
        "service_state": ServiceState.READY,
        "said": RoutingState.UNKNOWN,
        "owner": OWNER,
        "index": index,
    }
    return Pod(resource_version=version, **fields | more)


def link(version: int, user: str = "alice", key: RouteKey = GAME, **more: Any) -> Link:
    """A link that leaves the choice to the operator."""
    return Link(group=key, name=f"{key.name}.{user}", resource_version=version, **{"generation": 1} | more)


class NotingWriter:
    """Takes the place of the writer of links: notes each write, and the cache knows the outcome at once."""

    def __init__(self, mirror: Mirror) -> None:
        self.written: list[tuple[str, object]] = []
        self.failures: list[ClusterError] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.under_way = 0
        self._mirror = mirror

    async def bind(self, link: Link, pod_index: int) -> None:
        """Note the pod."""
        await self._write(link, pod_index, {"pod_index": pod_index, "generation": link.generation + 1})

    async def acknowledge(self, link: Link, said: Acknowledgement, moved: MoveReason = MoveReason.MOVED) -> str:
        """Note the reason, and why the link has moved where it has."""
        change = {
            "acknowledged": said,
            "observed_generation": link.generation,
            "acknowledged_expire_time": link.expire_time,
        }
        has_moved = link.was_bound_to is not None and said.pod_index not in {None, link.was_bound_to}
        await self._write(link, moved.value if has_moved else said.reason.value, change)
        return "its uid"

    async def remove(self, link: Link) -> str:
        """Note that it is gone."""
        await self._write(link, "removed", {})
        self._mirror.links.cache.drop(link.group, link.name, link.resource_version + 2)
        return "its uid"

    async def _write(self, link: Link, note: object, change: Mapping[str, Any]) -> None:
        self.under_way += 1
        try:
            await self.gate.wait()
        finally:
            self.under_way -= 1
        if self.failures:
            raise self.failures.pop(0)
        self.written.append((link.name.partition(".")[2], note))
        later = msgspec.structs.replace(link, resource_version=link.resource_version + 1, **change)
        self._mirror.links.cache.put(later)


class NotingRecorder:
    """Takes the place of the recorder of events."""

    def __init__(self) -> None:
        self.recorded: list[str] = []

    def record(self, event: Event | None, uid: str) -> None:
        """Note the reason of the event, if there is one."""
        assert uid == "its uid"
        if event is not None:
            self.recorded.append(event.reason)


class World:
    """The parts of the operator that work on links, put together as the operator does."""

    def __init__(self, parallel: int = 4, moves_per_second: float = 1e6) -> None:
        self.mirror = Mirror(cast("Client", None))  # nothing here asks it
        self.links = self.mirror.links.cache
        self.routes = self.mirror.routes.cache
        self.pods = self.mirror.pods.cache
        self.workloads = self.mirror.workloads.cache
        self.counts = LinkCounts()
        self.links.listen(self.counts.observe)
        self.now = datetime(2026, 6, 1, 12, tzinfo=UTC)
        self.seconds = 0.0
        self.views = RouteViews(self.mirror, self.counts.of, lambda: self.now)
        self.counts.listen_first(self.views.carries)
        self.recorder = NotingRecorder()
        self.writer = NotingWriter(self.mirror)
        self.judged: list[str] = []
        reconciler = LinkReconciler(
            links=self.links,
            views=self.views,
            counts=self.counts,
            writer=cast("LinkWriter", self.writer),
            moves=Pace(moves_per_second, lambda: self.seconds),
            recorder=cast("EventRecorder", self.recorder),
            clock=lambda: self.now,
        )
        self.reconciler = reconciler
        reconcile = reconciler.reconcile

        async def noting(key: LinkKey) -> Outcome:
            self.judged.append(key.name.partition(".")[2])
            return await reconcile(key)

        reconciler.reconcile = noting  # type: ignore[method-assign]
        self.controller = LinkController(self.mirror, self.views, reconciler, parallel)

    def with_pods(self, *indices: int) -> "World":
        """Let the route, its workload and ready pods of these indices exist."""
        self.routes.put(route(10))
        self.workloads.put(workload(11))
        for index in indices:
            self.pods.put(pod(12 + index, index))
        return self

    def said_of(self, user: str) -> str | None:
        """The reason that the link's status gives."""
        found = self.links.get(GAME, f"game.{user}")
        return found.acknowledged.reason.value if found and found.acknowledged else None


@asynccontextmanager
async def served(world: World) -> AsyncIterator[asyncio.Event]:
    """The route's worker at work; the event ends it."""
    end = asyncio.Event()
    task = asyncio.create_task(world.controller.serve(GAME, end.wait))
    await idle()
    yield end
    end.set()
    await task
