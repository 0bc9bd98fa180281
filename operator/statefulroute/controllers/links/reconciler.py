"""Reconciles one link: gather, plan, apply."""

from dataclasses import dataclass

import structlog

from statefulroute.api.vocabulary import LossCause, RemoveReason
from statefulroute.cluster.cache import Cache
from statefulroute.cluster.clock import Clock
from statefulroute.cluster.errors import ConflictError, NotFoundError
from statefulroute.cluster.events import EventRecorder
from statefulroute.cluster.writes import LinkWriter
from statefulroute.controllers.links.counts import LinkCounts
from statefulroute.controllers.links.hand_overs import HandOvers
from statefulroute.controllers.links.turn_limiter import TurnLimiter
from statefulroute.controllers.monitoring.hand_overs import HandOverMetrics
from statefulroute.controllers.monitoring.links import LinkMetrics
from statefulroute.controllers.slots.moves import SlotMoves
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
    has_to_be_handed_over,
    is_status_current,
    move_cause,
)
from statefulroute.domain.events import Event
from statefulroute.domain.hand_over import (
    CommitHandOver,
    EndHandOver,
    HandOverResult,
    HandOverWrite,
    Outcome,
    StartHandOver,
    has_moved_as_asked,
    is_cancelled,
)
from statefulroute.domain.keys import LinkKey, PodKey
from statefulroute.domain.link import HandOver, Link, LinkStatus
from statefulroute.domain.pacing import ends_hand_over, is_rewrite, needs_turn
from statefulroute.domain.slots.moves import MoveSlot, has_to_leave

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ReconcileResult:
    """The result of reconciling a link.

    Attributes:
        status: the link's status now, whose message may still be another; None where it has none, or the link is gone.
        waits_for_turn: whether the link waits for its turn to be moved, deleted or marked, because its pod is lost, to
            be handed over, or to have its status rewritten.
        plan: the kind of the first plan; None where there was nothing to decide.
    """

    status: LinkStatus | None = None
    waits_for_turn: bool = False
    plan: type[Plan] | None = None


class LinkReconciler:
    """Brings a link to the state that the rules require: one write of its spec at most, then one of its status."""

    def __init__(  # noqa: PLR0913 - all that the work on a link needs
        self,
        *,
        links: Cache[Link],
        route_store: RouteStore,
        counts: LinkCounts,
        writer: LinkWriter,
        move_limiter: TurnLimiter,
        rewrite_limiter: TurnLimiter,
        hand_over_limiter: TurnLimiter,
        recorder: EventRecorder,
        metrics: LinkMetrics,
        hand_overs: HandOvers,
        hand_over_metrics: HandOverMetrics,
        clock: Clock,
        expiry_clock: Clock | None = None,
        slot_moves: SlotMoves | None = None,
    ) -> None:
        self._links = links
        self._route_store = route_store
        self._counts = counts
        self._writer = writer
        self._move_limiter = move_limiter
        self._rewrite_limiter = rewrite_limiter
        self._hand_over_limiter = hand_over_limiter
        self._ending: set[LinkKey] = set()
        """The links that have, or wait for, a turn of `hand_over_limiter`."""
        self._recorder = recorder
        self._metrics = metrics
        self._hand_overs = hand_overs
        self._hand_over_metrics = hand_over_metrics
        self._clock = clock
        self._expiry_clock = expiry_clock or clock
        self._slot_moves = slot_moves or SlotMoves()
        self._causes: dict[LinkKey, LossCause] = {}
        """The links that were moved, or may have been, and whose status does not say so yet; each with the cause."""
        self._outcomes: dict[LinkKey, Outcome] = {}
        """The links whose hand-over the operator has ended by a move, and whose status does not say so yet."""
        self._writing: dict[LinkKey, tuple[PodKey | None, HandOver | None] | LinkStatus] = {}
        """The links that are being written, each with its pod and its hand-over, or with its status.

        While a route is created or replaced, two queues may write a link; one that misses here is reconciled again.
        """

    def is_expected(self, link: Link) -> bool:
        """Returns whether a new version of a link is what the write in progress makes of it.

        Then `reconcile` decides itself what follows: after a choice, the status; after a binding, nothing. A link that
        was not bound is not expected, because a pod may have got room for it in the meantime.
        """
        match self._writing.get(link.key):
            case None:
                return False
            case LinkStatus() as status:
                return status.is_ready and is_status_current(link, status)
            case binding:
                return binding == (link.pod, link.hand_over)

    async def reconcile(self, key: LinkKey) -> ReconcileResult:
        """Gathers what the decision about a link needs, decides, and applies the plan.

        Raises:
            ClusterError: a write failed; the link has to be reconciled again.
        """
        result: ReconcileResult | None = None
        try:
            result = await self._reconcile(key)
        finally:
            if result is None or not result.waits_for_turn:
                self._release(key)
            if result is not None and not result.waits_for_turn:
                self._causes.pop(key, None)
                self._outcomes.pop(key, None)
        return result

    async def _reconcile(self, key: LinkKey) -> ReconcileResult:
        first: type[Plan] | None = None
        while (link := self._links.get(*key)) is not None and not link.is_deleting:
            route = self._route_store.get(key.route)
            is_due = link.hand_over is not None and self._hand_overs.is_due(link, route)
            target = self._slot_moves.target(key)
            expiry_now = None if link.expire_time is None else self._expiry_clock()
            view = LinkView(link, route, self._clock(), is_due, target, expiry_now)
            if view.route is not None and not view.route.is_workload_known:
                return ReconcileResult()  # all links of the route are reconciled once its workload was read
            plan = decide(view)
            first = first or type(plan)
            if not self._has_turn(link, plan):
                status = plan.status if isinstance(plan, UpdateStatus) and is_rewrite(link, plan) else None
                return ReconcileResult(status, plan=first, waits_for_turn=True)
            match plan:
                case UpdateStatus(status):
                    if is_status_current(link, status):
                        return ReconcileResult(status, plan=first)
                    await self._update_status(view, status, first)
                    if not has_to_be_handed_over(route, status) and not has_to_leave(link, status, route):
                        return ReconcileResult(status, plan=first)
                case Bind(pod):
                    await self._bind(link, pod)
                case Remove(reason, cause):
                    await self._remove(link, reason, cause)
                    return ReconcileResult(plan=first)
                case _:
                    await self._move_or_hand_over(link, plan)
        return ReconcileResult(plan=first)

    def _has_turn(self, link: Link, plan: Plan) -> bool:
        """Returns whether a plan may be applied now. Otherwise, the link waits for its turn."""
        if is_rewrite(link, plan):
            limiter = self._rewrite_limiter
        elif ends_hand_over(plan):
            limiter = self._hand_over_limiter
            self._ending.add(link.key)
        elif needs_turn(link, plan):
            limiter = self._move_limiter
        else:
            return True
        self._release(link.key, kept=limiter)
        return limiter.take_turn(link.key)

    def _release(self, key: LinkKey, kept: TurnLimiter | None = None) -> None:
        """Ends the turns of a link, except for one kind, or gives them back."""
        if kept is not self._move_limiter:
            self._move_limiter.release(key)
        if kept is not self._rewrite_limiter:
            self._rewrite_limiter.release(key)
        if kept is not self._hand_over_limiter and key in self._ending:
            self._ending.discard(key)
            self._hand_over_limiter.release(key)

    async def _move_or_hand_over(self, link: Link, plan: Move | MoveSlot | HandOverWrite) -> None:
        match plan:
            case Move(pod, cause):
                await self._move(link, pod, cause)
            case CommitHandOver(pod, cause, outcome):
                self._outcomes[link.key] = outcome
                await self._move(link, pod, cause)
            case MoveSlot(pod, _):
                self._slot_moves.begin(link.key)
                await self._bind(link, pod)
            case StartHandOver(hand_over):
                self._slot_moves.begin(link.key)
                with self._counts.assume(link.key, hand_over.pod):
                    await self._write_hand_over(link, hand_over)
            case EndHandOver(explanation):
                await self._end_hand_over(link, explanation)

    async def _bind(self, link: Link, pod: PodKey) -> None:
        self._writing[link.key] = pod, None
        try:
            with self._counts.assume(link.key, pod):
                await self._writer.bind(link, pod)
        finally:
            self._writing.pop(link.key, None)

    async def _move(self, link: Link, pod: PodKey, cause: LossCause | None) -> None:
        if cause is not None:
            self._causes[link.key] = cause
        try:
            await self._bind(link, pod)
        except (ConflictError, NotFoundError):  # the link was not moved
            self._causes.pop(link.key, None)
            self._outcomes.pop(link.key, None)
            raise

    async def _end_hand_over(self, link: Link, explanation: str | None) -> None:
        uid = await self._write_hand_over(link, None)
        if explanation is not None:
            self._hand_over_metrics.record(HandOverResult.WITHDRAWN)
            self._record(link, events.hand_over_withdrawn_event(link, explanation), uid)

    async def _write_hand_over(self, link: Link, hand_over: HandOver | None) -> str:
        self._writing[link.key] = link.pod, hand_over
        try:
            return await self._writer.write_hand_over(link, hand_over)
        finally:
            self._writing.pop(link.key, None)

    async def _update_status(self, view: LinkView, status: LinkStatus, first: type[Plan]) -> None:
        link = view.link
        outcome = None if link.status is None else self._find_outcome(link)
        seconds = None if outcome is None else self._hand_overs.seconds(link.key)
        cause = self._causes.get(link.key) or move_cause(view, is_handed_over=outcome is not None)
        reason = None if cause is not None or link.status is None else self._slot_moves.reason(link, view.route)
        self._writing[link.key] = status
        try:
            uid = await self._writer.update_status(link, status, cause, outcome, reason)
        finally:
            self._writing.pop(link.key, None)
        event = events.link_status_event(link, status, cause, outcome, reason)
        self._record(link, event, uid, is_chosen=first is Bind)
        if link.hand_over is None:
            self._slot_moves.forget(link.key)
        if outcome is not None:
            self._hand_over_metrics.record(outcome.result, seconds)
        elif link.status is not None and first is UpdateStatus and is_cancelled(link):
            self._hand_over_metrics.record(HandOverResult.CANCELLED)
        log.debug("acknowledged", link=link.name, namespace=link.route.namespace, phase=status.phase)

    def _find_outcome(self, link: Link) -> Outcome | None:
        """Returns how the hand-over ended by which a link has moved since its last status; None if there was none."""
        if link.hand_over is not None or link.pod is None or link.status_pod in {None, link.pod}:
            return None
        if (outcome := self._outcomes.get(link.key)) is not None:
            return outcome
        asked = self._hand_overs.find(link.key)
        is_as_asked = has_moved_as_asked(link) or (asked is not None and asked.pod == link.pod)
        return Outcome(HandOverResult.COMMITTED) if is_as_asked else None

    async def _remove(self, link: Link, reason: RemoveReason, cause: LossCause | None) -> None:
        uid = await self._writer.delete(link)
        self._record(link, events.link_removed_event(link, reason, cause), uid)
        log.debug("removed", link=link.name, namespace=link.route.namespace, reason=reason)

    def _record(self, link: Link, event: Event | None, uid: str, *, is_chosen: bool = False) -> None:
        self._recorder.record(event, uid)
        self._metrics.record(link.route, event, is_chosen=is_chosen)
