"""One link: gather, plan, apply."""

from dataclasses import dataclass

import structlog

from statefulroute.api.vocabulary import MoveReason, RemoveReason
from statefulroute.cluster.cache import Cache
from statefulroute.cluster.clock import Clock
from statefulroute.cluster.events import EventRecorder
from statefulroute.cluster.writes import LinkWriter
from statefulroute.controllers.links.counts import LinkCounts
from statefulroute.controllers.links.pace import Pace
from statefulroute.controllers.monitoring.links import LinkMetrics
from statefulroute.controllers.views import RouteViews
from statefulroute.domain import events
from statefulroute.domain.decision import Acknowledge, Bind, Move, Plan, Remove, View, decide, is_settled, why_it_moved
from statefulroute.domain.events import Event
from statefulroute.domain.keys import LinkKey, PodKey
from statefulroute.domain.link import Acknowledgement, Link

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a link's work ended.

    Attributes:
        said: what its status says now; None where nothing was said, or the link is gone.
        again_after: the seconds after which it is to be worked on again; None unless its turn is yet to come.
        plan: what the first judgement wanted; None where there was nothing to judge.
    """

    said: Acknowledgement | None = None
    again_after: float | None = None
    plan: type[Plan] | None = None


class LinkReconciler:
    """Brings a link to where the rules want it: at most one write of its spec, then one of its status."""

    def __init__(  # noqa: PLR0913 - what a link's work is made of
        self,
        *,
        links: Cache[Link],
        views: RouteViews,
        counts: LinkCounts,
        writer: LinkWriter,
        moves: Pace,
        recorder: EventRecorder,
        metrics: LinkMetrics,
        clock: Clock,
    ) -> None:
        self._links = links
        self._views = views
        self._counts = counts
        self._writer = writer
        self._moves = moves
        self._recorder = recorder
        self._metrics = metrics
        self._clock = clock

    async def reconcile(self, key: LinkKey) -> Outcome:
        """Do what there is to do about a link now.

        Raises:
            ClusterError: a write failed; what there is to do must be judged anew.
        """
        outcome: Outcome | None = None
        try:
            outcome = await self._bring(key)
        finally:
            if outcome is None or outcome.again_after is None:
                self._moves.end(key)
        return outcome

    async def _bring(self, key: LinkKey) -> Outcome:
        moved: MoveReason | None = None
        first: type[Plan] | None = None
        while (link := self._links.get(*key)) is not None and not link.deleting:
            view = View(link, self._views.get(key.route), self._clock())
            if view.route is not None and not view.route.is_known:
                return Outcome()  # the route's worker takes every link up again when its workload was read
            plan = decide(view)
            first = first or type(plan)
            match plan:
                case Bind(pod):
                    await self._bind(link, pod)
                case Move(pod, moved):
                    if wait := self._moves.wait_for(key):
                        return Outcome(again_after=wait, plan=first)
                    await self._bind(link, pod)
                case Remove(reason):
                    await self._remove(link, reason)
                    return Outcome(plan=first)
                case Acknowledge(said):
                    if not is_settled(link, said):
                        await self._acknowledge(link, said, moved or why_it_moved(view), chosen=first is Bind)
                    return Outcome(said, plan=first)
        return Outcome(plan=first)

    async def _bind(self, link: Link, pod: PodKey) -> None:
        with self._counts.reserved(link.key, pod):
            await self._writer.bind(link, pod)

    async def _acknowledge(self, link: Link, said: Acknowledgement, moved: MoveReason, *, chosen: bool) -> None:
        uid = await self._writer.acknowledge(link, said, moved)
        self._tell(link, events.acknowledged(link, said, moved), uid, chosen=chosen)
        log.debug("acknowledged", link=link.name, namespace=link.group.namespace, phase=said.phase)

    async def _remove(self, link: Link, reason: RemoveReason) -> None:
        uid = await self._writer.remove(link)
        self._tell(link, events.removed(link, reason), uid)
        log.debug("removed", link=link.name, namespace=link.group.namespace, reason=reason)

    def _tell(self, link: Link, event: Event | None, uid: str, *, chosen: bool = False) -> None:
        self._recorder.record(event, uid)
        self._metrics.done(link.group, event, chosen=chosen)
