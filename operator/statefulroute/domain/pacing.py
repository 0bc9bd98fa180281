"""Decides which writes of links are paced, so that many of them neither overrun pods nor delay new links."""

from statefulroute.api.vocabulary import LinkPhase, LinkReason, RemoveReason
from statefulroute.domain.decision import Bind, Move, Plan, Remove, UpdateStatus, is_status_current
from statefulroute.domain.hand_over import CommitHandOver, EndHandOver, HandOverResult
from statefulroute.domain.link import Link


def is_rewrite(link: Link, plan: Plan) -> bool:
    """Returns whether a plan changes only the message of a status, or values of another version in it.

    Nothing changes that clients depend on, so these writes are paced behind all others.
    """
    if not isinstance(plan, UpdateStatus) or is_status_current(link, plan.status):
        return False
    old, status = link.status, plan.status
    if old is None or (link.observed_generation, link.status_expire_time) != (link.generation, link.expire_time):
        return False
    if (old.pod, old.host) != (status.pod, status.host):
        return False
    return old.phase in {status.phase, LinkPhase.UNKNOWN} and old.reason in {status.reason, LinkReason.UNKNOWN}


def needs_turn(link: Link, plan: Plan) -> bool:
    """Returns whether the write of a plan is paced: it moves, deletes or marks a link, or starts or ends a hand-over.

    So the loss of many pods neither overruns the other pods nor delays new links, and can still be stopped.
    """
    match plan:
        case Move():
            return True
        case Remove(reason, _):
            return reason is RemoveReason.POD_LOST
        case UpdateStatus(status):
            return status.phase is LinkPhase.LOST and not is_status_current(link, status)
        case Bind():
            return False
        case _:
            return True


def ends_hand_over(plan: Plan) -> bool:
    """Returns whether a plan ends a hand-over for another reason than the loss of the old pod.

    These writes have turns of their own at the same pace: they must not wait for those of all links that still have to
    be handed over, or the time-outs would be over long before.
    """
    match plan:
        case EndHandOver():
            return True
        case CommitHandOver(_, _, outcome):
            return outcome.result is not HandOverResult.POD_GONE
        case _:
            return False
