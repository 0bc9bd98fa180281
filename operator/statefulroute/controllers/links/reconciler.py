"""One link: gather, plan, apply."""

from dataclasses import dataclass

import structlog

from statefulroute.api.vocabulary import MoveReason, RemoveReason
from statefulroute.cluster.cache import Cache
from statefulroute.cluster.clock import Clock
from statefulroute.cluster.events import EventRecorder
from statefulroute.cluster.writes import LinkWriter
from statefulroute.controllers.links.counts import LinkCounts
from statefulroute.controllers.links.move_limiter import MoveLimiter
from statefulroute.controllers.monitoring.links import LinkMetrics
from statefulroute.controllers.state_store import RouteStore
from statefulroute.domain import events
from statefulroute.domain.decision import (
    Bind,
    LinkView,
    Move,
    Plan,
    Remove,
    UpdateStatus,
    decide,
    is_status_current,
    move_reason,
)
from statefulroute.domain.events import Event
from statefulroute.domain.keys import LinkKey, PodKey
from statefulroute.domain.link import Link, LinkStatus

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ReconcileResult:
    """How a link's work ended.

    Attributes:
        status: what its status says now; None where nothing was said, or the link is gone.
        requeue_after: the seconds after which it is to be worked on again; None unless its turn is yet to come.
        plan: what the first judgement wanted; None where there was nothing to judge.
    """

    status: LinkStatus | None = None
    requeue_after: float | None = None
    plan: type[Plan] | None = None


class LinkReconciler:
    """Brings a link to where the rules want it: at most one write of its spec, then one of its status."""

    def __init__(  # noqa: PLR0913 - what a link's work is made of
        self,
        *,
        links: Cache[Link],
        route_store: RouteStore,
        counts: LinkCounts,
        writer: LinkWriter,
        move_limiter: MoveLimiter,
        recorder: EventRecorder,
        metrics: LinkMetrics,
        clock: Clock,
    ) -> None:
        self._links = links
        self._route_store = route_store
        self._counts = counts
        self._writer = writer
        self._move_limiter = move_limiter
        self._recorder = recorder
        self._metrics = metrics
        self._clock = clock

    async def reconcile(self, key: LinkKey) -> ReconcileResult:
        """Do what there is to do about a link now.

        Raises:
            ClusterError: a write failed; what there is to do must be judged anew.
        """
        outcome: ReconcileResult | None = None
        try:
            outcome = await self._reconcile(key)
        finally:
            if outcome is None or outcome.requeue_after is None:
                self._move_limiter.forget(key)
        return outcome

    async def _reconcile(self, key: LinkKey) -> ReconcileResult:
        moved: MoveReason | None = None
        first: type[Plan] | None = None
        while (link := self._links.get(*key)) is not None and not link.is_deleting:
            view = LinkView(link, self._route_store.get(key.route), self._clock())
            if view.route is not None and not view.route.is_workload_known:
                return ReconcileResult()  # the route's worker takes every link up again when its workload was read
            plan = decide(view)
            first = first or type(plan)
            match plan:
                case Bind(pod):
                    await self._bind(link, pod)
                case Move(pod, moved):
                    if wait := self._move_limiter.delay_for(key):
                        return ReconcileResult(requeue_after=wait, plan=first)
                    await self._bind(link, pod)
                case Remove(reason):
                    await self._remove(link, reason)
                    return ReconcileResult(plan=first)
                case UpdateStatus(said):
                    if not is_status_current(link, said):
                        await self._update_status(link, said, moved or move_reason(view), chosen=first is Bind)
                    return ReconcileResult(said, plan=first)
        return ReconcileResult(plan=first)

    async def _bind(self, link: Link, pod: PodKey) -> None:
        with self._counts.assume(link.key, pod):
            await self._writer.bind(link, pod)

    async def _update_status(self, link: Link, said: LinkStatus, moved: MoveReason, *, chosen: bool) -> None:
        uid = await self._writer.update_status(link, said, moved)
        self._record(link, events.link_status_event(link, said, moved), uid, chosen=chosen)
        log.debug("acknowledged", link=link.name, namespace=link.route.namespace, phase=said.phase)

    async def _remove(self, link: Link, reason: RemoveReason) -> None:
        uid = await self._writer.delete(link)
        self._record(link, events.link_removed_event(link, reason), uid)
        log.debug("removed", link=link.name, namespace=link.route.namespace, reason=reason)

    def _record(self, link: Link, event: Event | None, uid: str, *, chosen: bool = False) -> None:
        self._recorder.record(event, uid)
        self._metrics.record(link.route, event, chosen=chosen)
