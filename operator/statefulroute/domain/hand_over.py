"""Hand-overs: moves that the old pod prepares, so that the new pod has the state of the user.

A link asks for one by `spec.handOver`, and stays with its pod until somebody commits: writes the new pod and removes
the field. That is the old pod's driver once the new pod has the state, or the operator if that does not happen.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from statefulroute.api.vocabulary import LinkPhase, LinkReason, LossCause, PodLostAction, RoutingState
from statefulroute.domain.explanation import hash_facts
from statefulroute.domain.keys import PodKey
from statefulroute.domain.link import HandOver, Link, LinkStatus, ObservedHandOver
from statefulroute.domain.loss import current_cause
from statefulroute.domain.pod import Pod
from statefulroute.domain.route import PodView, RouteView
from statefulroute.domain.slots.placement import choose_pod, pod_for_slot, takes_no_new_users
from statefulroute.domain.times import format_rfc3339, parse_time


class HandOverResult(StrEnum):
    """How a hand-over ended."""

    COMMITTED = "Committed"
    """A client moved the link: the driver of the old pod, after the new pod had the state of the user."""
    TIMED_OUT = "TimedOut"
    """The operator moved the link, because the old pod did not in time."""
    POD_GONE = "PodGone"
    """The operator moved the link, because the old pod was gone or lost."""
    NOT_CONFIGURED = "NotConfigured"
    """The operator moved the link at once, because the route has no handOver."""
    WITHDRAWN = "Withdrawn"
    """The operator ended it, and the link keeps its pod."""
    CANCELLED = "Cancelled"
    """A client ended it, and the link keeps its pod."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a hand-over ended by which a link has moved.

    Attributes:
        result: how it ended.
        explanation: why the operator moved the link; empty if a client did.
    """

    result: HandOverResult
    explanation: str = ""


@dataclass(frozen=True, slots=True)
class StartHandOver:
    """Ask the pod of the link to hand the user over, in place of an earlier hand-over to a pod that takes no users."""

    hand_over: HandOver


@dataclass(frozen=True, slots=True)
class CommitHandOver:
    """Write the new pod to the spec of the link, and remove the hand-over.

    Attributes:
        pod: the new pod.
        cause: why the old pod is lost or has to be emptied; None if a client wanted to move the link.
        outcome: why the operator does this in place of the old pod.
    """

    pod: PodKey
    cause: LossCause | None
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class EndHandOver:
    """Remove the hand-over from the spec of the link, which keeps its pod.

    Attributes:
        explanation: why it is withdrawn; None if the link has been moved already.
    """

    explanation: str | None


HandOverWrite = StartHandOver | CommitHandOver | EndHandOver
HandOverPlan = HandOverWrite | LinkStatus


def start_hand_over(pod: PodKey, now: datetime) -> StartHandOver:
    """Returns the start of a hand-over to a pod; the time is that of the link, in whole seconds."""
    return StartHandOver(HandOver(pod, format_rfc3339(now.replace(microsecond=0))))


def plan_hand_over(link: Link, route: RouteView, now: datetime, *, is_due: bool) -> HandOverPlan | None:
    """Returns what to do with a link that is handed over, or has to be: the plan of the first check that applies.

    Args:
        link: the link.
        route: its route.
        now: the current time.
        is_due: whether the time-out of the hand-over is over.

    Returns:
        What to write, or the status of the link; None if the other rules apply to it.
    """
    if route.workload is None or link.pod is None:
        return None
    old = route.pods.get(link.pod)
    if link.hand_over is None:
        return _start(link, route, old, now)
    facts = _Facts(link, link.pod, link.hand_over, route, old, now, is_due)
    return next((plan for check in _CHECKS if (plan := check(facts)) is not None), None)


@dataclass(frozen=True, slots=True)
class _Facts:
    """What the plan for a hand-over depends on."""

    link: Link
    pod: PodKey
    hand_over: HandOver
    route: RouteView
    old: PodView | None
    now: datetime
    is_due: bool


def _check_moved(facts: _Facts) -> HandOverPlan | None:
    """Removes the hand-over of a link that was moved by a client of a version without hand-overs."""
    link, route = facts.link, facts.route
    if facts.hand_over.pod == facts.pod:
        return EndHandOver(None)
    if link.status_pod not in {None, facts.pod}:
        return EndHandOver(f"a client moved the link to pod {route.pod_name(facts.pod)!r}")
    return None


def _check_old_pod(facts: _Facts) -> HandOverPlan | None:
    """Moves a link whose old pod cannot hand the user over: to the new pod, or to another one if that takes no users.

    A pod that is merely missing is not lost yet. While losses are suspended, this may be a fault of the observation.
    """
    route, link = facts.route, facts.link
    loss, old = route.lost.get(facts.pod), facts.old
    if old is not None and not old.has_ended and loss is None:
        return None
    if facts.pod in route.withheld_losses or (loss is None and route.loss_suspension is not None):
        is_handing_over = link.status is not None and link.status.phase is LinkPhase.HANDING_OVER
        return link.status if is_handing_over else None
    new_pod, problem = facts.hand_over.pod, _find_problem(route, facts.hand_over.pod)
    if problem is not None:
        is_rebound = route.route.spec.on_pod_lost.action is PodLostAction.REBIND
        if not is_rebound or (best := choose_pod(link, route, facts.now)) is None:
            return EndHandOver(problem)
        new_pod = best.key
    cause = current_cause(route, facts.pod) if loss is None else loss.cause
    explanation = f"pod {route.pod_name(facts.pod)!r} is gone: {cause}"
    return CommitHandOver(new_pod, cause, Outcome(HandOverResult.POD_GONE, explanation))


def _check_replaced_pod(facts: _Facts) -> HandOverPlan | None:
    """Moves a link whose old pod is gone, although the operator sees another pod of its name already.

    That pod does not have what the old one had in memory. If the new pod takes no users, the link stays, as after any
    other replacement under the name, and the next checks apply.
    """
    observed, old = _find_observed(facts), facts.old
    if old is None or observed is None or not _has_replaced(old.pod, observed):
        return None
    if _find_problem(facts.route, facts.hand_over.pod) is not None:
        return None
    explanation = f"pod {old.pod.name!r} is gone: another pod has its name"
    return CommitHandOver(facts.hand_over.pod, LossCause.POD_DELETED, Outcome(HandOverResult.POD_GONE, explanation))


def _check_new_pod(facts: _Facts) -> HandOverPlan | None:
    """Chooses another pod in place of one that takes no users, or withdraws the hand-over."""
    problem = _find_problem(facts.route, facts.hand_over.pod)
    if problem is None or facts.hand_over.pod in facts.route.withheld_losses:
        return None
    return _start(facts.link, facts.route, facts.old, facts.now) or EndHandOver(problem)


def _check_new_pod_of_slot(facts: _Facts) -> HandOverPlan | None:
    """Chooses another pod for a slot in place of one that takes no new users: the slot would leave it at once."""
    target = facts.route.pods.get(facts.hand_over.pod)
    if not facts.link.is_of_slot or target is None or not takes_no_new_users(target):
        return None
    best = pod_for_slot(facts.route, facts.now)
    if best is None:
        return None
    if best.key == facts.pod:
        return EndHandOver(f"pod {target.pod.name!r} takes no new users")
    return start_hand_over(best.key, facts.now)


def _check_settings(facts: _Facts) -> HandOverPlan | None:
    """Moves the link at once if its route has no handOver."""
    route = facts.route.route
    if route.spec.hand_over is not None or facts.hand_over.pod in facts.route.withheld_losses:
        return None
    outcome = Outcome(HandOverResult.NOT_CONFIGURED, f"StatefulRoute {route.name!r} has no handOver")
    return CommitHandOver(facts.hand_over.pod, emptying_cause(facts.route, facts.pod), outcome)


def _check_time_out(facts: _Facts) -> HandOverPlan | None:
    """Moves the link if the old pod has not done so in time."""
    settings, route = facts.route.route.spec.hand_over, facts.route
    if settings is None or not facts.is_due or facts.hand_over.pod in route.withheld_losses:
        return None
    name, seconds = route.pod_name(facts.pod), settings.timeout_seconds
    outcome = Outcome(HandOverResult.TIMED_OUT, f"pod {name!r} has not handed the user over within {seconds} s")
    return CommitHandOver(facts.hand_over.pod, emptying_cause(route, facts.pod), outcome)


def _wait(facts: _Facts) -> HandOverPlan | None:
    """Waits for the old pod. The status names it, because it still serves the user."""
    old, name = facts.old, facts.route.pod_name(facts.hand_over.pod)
    if old is None:
        return None
    observed = _find_observed(facts) or ObservedHandOver(old.pod.uid, facts.hand_over.start_time)
    return LinkStatus(
        LinkPhase.HANDING_OVER,
        LinkReason.HANDING_OVER,
        f"pod {old.pod.name!r} hands the user over to pod {name!r}",
        pod_index=old.index,
        pod_name=old.pod.name,
        host=old.host,
        facts_hash=hash_facts((facts.hand_over.pod,)),
        hand_over=observed,
    )


def _find_observed(facts: _Facts) -> ObservedHandOver | None:
    """Returns what the status says of this hand-over; None if it is about another one, or of an earlier version."""
    status = facts.link.status
    if status is None or status.hand_over is None or status.hand_over.start_time != facts.hand_over.start_time:
        return None
    return status.hand_over if status.facts_hash == hash_facts((facts.hand_over.pod,)) else None


_CHECKS = (
    _check_moved,  # -> EndHandOver
    _check_old_pod,  # -> CommitHandOver(PodGone) | EndHandOver
    _check_replaced_pod,  # -> CommitHandOver(PodGone)
    _check_new_pod,  # -> StartHandOver to another pod | EndHandOver
    _check_new_pod_of_slot,  # -> StartHandOver to another pod | EndHandOver
    _check_settings,  # -> CommitHandOver(NotConfigured)
    _check_time_out,  # -> CommitHandOver(TimedOut)
    _wait,  # -> HandingOver
)


def _has_replaced(pod: Pod, observed: ObservedHandOver) -> bool:
    """Returns whether a pod has taken the name of the pod that was asked for a hand-over.

    The operator may have seen the hand-over before it saw a pod that was asked. Such a pod is not younger than the
    request. If the clock of the client is ahead, the hand-over waits for its time-out, as without this check.
    """
    if pod.uid == observed.pod_uid:
        return False
    asked_at = parse_time(observed.start_time)
    return asked_at is not None and pod.creation_timestamp > asked_at.timestamp()


def emptying_cause(route: RouteView, pod: PodKey) -> LossCause | None:
    """Returns why a pod hands all its users over; None if it does not."""
    view = route.pods.get(pod)
    if view is None or not view.is_handing_over:
        return None
    is_over = pod in route.closing and route.closing[pod].is_over
    return LossCause.DEADLINE_OVER if is_over else LossCause.SHUTDOWN


def has_moved_as_asked(link: Link) -> bool:
    """Returns whether a link names the pod to which its status says that the user is handed over.

    The result depends on the current state only, as an operator may have stopped in between.
    """
    status = link.status
    if status is None or status.phase is not LinkPhase.HANDING_OVER or link.pod is None or link.hand_over is not None:
        return False
    return link.pod != status.pod and status.facts_hash == hash_facts((link.pod,))


def is_cancelled(link: Link) -> bool:
    """Returns whether a link is with its pod, and is not handed over any more, as its status says."""
    status = link.status
    is_handing_over = status is not None and status.phase is LinkPhase.HANDING_OVER
    return is_handing_over and link.hand_over is None and link.status_pod == link.pod


def _start(link: Link, route: RouteView, old: PodView | None, now: datetime) -> StartHandOver | None:
    """Starts the hand-over to the best pod if the pod of the link has to be emptied, and the status names it."""
    if old is None or not old.is_handing_over or link.status_pod != link.pod:
        return None
    pod = choose_pod(link, route, now)
    return None if pod is None else start_hand_over(pod.key, now)


def _find_problem(route: RouteView, key: PodKey) -> str | None:
    """Returns why a pod cannot take a user who is handed over: the rest of a sentence; None if it can.

    A client may choose a pod that denies new users, or that is full.
    """
    pod, name = route.pods.get(key), route.pod_name(key)
    if pod is None:
        return f"pod {name!r} does not exist"
    if pod.is_ending or key in route.lost or key in route.withheld_losses:
        return f"pod {name!r} is ending or lost"
    if not pod.pod.is_ready:
        return f"pod {name!r} is not Ready"
    if pod.routing_state is RoutingState.SHUTDOWN or pod.is_handing_over:
        return f"pod {name!r} is shut down"
    return f"pod {name!r} is closing" if key in route.closing else None
