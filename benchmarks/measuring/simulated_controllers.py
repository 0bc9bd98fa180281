"""The operator's controllers of one route, with caches that a benchmark fills and writers that only store."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import msgspec

from statefulroute.api.route_status import StatefulRouteStatus
from statefulroute.api.statefulroute import StatefulRouteSpec
from statefulroute.api.vocabulary import ServiceState
from statefulroute.cluster.client import Client
from statefulroute.cluster.events import EventRecorder
from statefulroute.cluster.informers import Informers
from statefulroute.cluster.writes import LinkWriter, status_patch
from statefulroute.controllers.disruption.statuses import DisruptionStatuses
from statefulroute.controllers.links.controller import LinkController
from statefulroute.controllers.links.counts import LinkCounts
from statefulroute.controllers.links.hand_overs import HandOvers
from statefulroute.controllers.links.reconciler import LinkReconciler
from statefulroute.controllers.links.turn_limiter import TurnLimiter
from statefulroute.controllers.monitoring.hand_overs import HandOverMetrics
from statefulroute.controllers.monitoring.links import LinkMetrics
from statefulroute.controllers.routes.assessments import Assessments
from statefulroute.controllers.routes.lost_pods import LostPodTracker
from statefulroute.controllers.routes.statuses import RouteStatuses
from statefulroute.controllers.settings import Settings
from statefulroute.controllers.state_store import RouteStore
from statefulroute.domain.keys import PodKey, RouteKey
from statefulroute.domain.link import Link, LinkStatus
from statefulroute.domain.load import LoadReport
from statefulroute.domain.pod import Owner, Pod
from statefulroute.domain.route import Route
from statefulroute.domain.workload import Workload

ROUTE = RouteKey("bench", "game")
_OWNER = Owner("StatefulSet", "game", "uid-of-game")
_IDLE_TURNS = 3


class _StoringWriter:
    """Stores each write of a link in the cache."""

    def __init__(self, informers: Informers) -> None:
        self._links = informers.links.cache

    async def bind(self, link: Link, pod: PodKey) -> None:
        self._store(link, pod=pod, generation=link.generation + 1)

    async def update_status(self, link: Link, status: LinkStatus, *_: object) -> str:
        self._store(link, status=status, observed_generation=link.generation, status_expire_time=link.expire_time)
        return ""

    def _store(self, link: Link, **fields: Any) -> None:  # noqa: ANN401 - the fields of a link
        version = link.resource_version + 1
        self._links.put(msgspec.structs.replace(link, resource_version=version, **fields))


class _NoEvents:
    """Records no event."""

    def record(self, *_: object) -> None:
        """Does nothing."""


class SimulatedControllers:
    """A route with its workload, ready pods and fresh loads, and the controllers that serve it.

    Args:
        pods: the number of pods.
        spec: the spec of the route.
    """

    def __init__(self, pods: int, spec: Mapping[str, Any]) -> None:
        self._version = 0
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        informers = self.informers = Informers(cast("Client", None))
        counts, metrics = LinkCounts(), LinkMetrics(lambda: True)
        informers.links.cache.listen(counts.link_changed)
        informers.links.cache.listen(metrics.link_changed)
        self.route_store = RouteStore(informers, counts.of, counts.arriving, lambda: self.now)
        counts.listen(self.route_store.observe_links)
        recorder, settings = cast("EventRecorder", _NoEvents()), Settings()
        lost_pods = LostPodTracker(recorder, lambda: self.now)
        self.route_store.listen(lost_pods.observe)
        self._statuses = RouteStatuses(Assessments(), lost_pods, DisruptionStatuses(), recorder, lambda: self.now)
        limiters = [TurnLimiter(rate, 4) for rate in (settings.moves_per_second, settings.moves_per_second / 10)]
        reconciler = LinkReconciler(
            links=informers.links.cache,
            route_store=self.route_store,
            counts=counts,
            writer=cast("LinkWriter", _StoringWriter(informers)),
            move_limiter=limiters[0],
            rewrite_limiter=limiters[1],
            hand_over_limiter=TurnLimiter(settings.moves_per_second, 4),
            recorder=recorder,
            metrics=metrics,
            hand_overs=HandOvers(),
            hand_over_metrics=HandOverMetrics(),
            clock=lambda: self.now,
        )
        self._links = LinkController(
            informers, self.route_store, reconciler.reconcile, settings.parallel_writes, reconciler.is_expected
        )
        limiters[0].listen(self._links.resume)
        limiters[1].listen(self._links.resume_rewrite)
        informers.routes.cache.put(
            Route(
                namespace=ROUTE.namespace,
                name=ROUTE.name,
                resource_version=self.next_version(),
                generation=1,
                spec=StatefulRouteSpec.model_validate(spec),
                status=StatefulRouteStatus(),
            )
        )
        informers.stateful_sets.cache.put(
            Workload(
                namespace=ROUTE.namespace,
                name=ROUTE.name,
                resource_version=self.next_version(),
                uid=_OWNER.uid,
                replicas=pods,
                first_index=0,
                service_name=ROUTE.name,
            )
        )
        for index in range(pods):
            self.put_pod(index)

    def next_version(self) -> int:
        """Returns a resource version; the writer stores the versions in between."""
        self._version += 10
        return self._version

    def put_pod(self, index: int, state: ServiceState = ServiceState.READY, load: int = 10) -> None:
        """Stores a version of a pod, which reports its load."""
        self.now += timedelta(milliseconds=1)
        self.informers.pods.cache.put(
            Pod(
                namespace=ROUTE.namespace,
                name=f"{ROUTE.name}-{index}",
                uid=f"uid-{index}",
                resource_version=self.next_version(),
                service_state=state,
                is_ready=state is ServiceState.READY,
                index=index,
                owner=_OWNER,
                node_name=f"node-{index % 100}",
                load_report=LoadReport(load, 0, self.now),
            )
        )

    def put_link(self, user: str, pod: int | None = None) -> None:
        """Creates a link."""
        version = self.next_version()
        self.informers.links.cache.put(
            Link(
                route=ROUTE,
                name=f"{ROUTE.name}.{user}",
                resource_version=version,
                generation=1,
                pod=pod,
                creation_timestamp=version,
            )
        )

    def delete_link(self, user: str) -> None:
        """Deletes a link."""
        self.informers.links.cache.delete(ROUTE, f"{ROUTE.name}.{user}", self.next_version())

    def build_status(self) -> StatefulRouteStatus:
        """Returns the status of the route."""
        view = self.route_store.get(ROUTE)
        assert view is not None  # noqa: S101 - it exists
        return self._statuses.build(view)

    def write_status(self, status: StatefulRouteStatus) -> None:
        """Encodes the change of the status, and stores what the API server would respond."""
        cache = self.informers.routes.cache
        route = cache.get(*ROUTE)
        assert route is not None  # noqa: S101 - it exists
        msgspec.json.encode(status_patch(route.status, status))
        stored = StatefulRouteStatus.model_validate_json(status.model_dump_json(exclude_none=True))
        cache.put(replace(route, resource_version=self.next_version(), status=stored))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Reconciles the links while the context is open."""
        self._links.add_route(ROUTE)
        await asyncio.sleep(0)
        yield
        await self._links.stop()

    async def idle(self) -> None:
        """Waits until no link is left to reconcile."""
        turns = 0
        while turns < _IDLE_TURNS:
            await asyncio.sleep(0)
            turns = 0 if self._links.backlog().depth else turns + 1
