"""The rules about hand-overs: each is a function that yields a message for each violation."""

from collections.abc import Iterator
from itertools import pairwise

from chaos.hand_over_history import HandOver, HandOvers
from chaos.record import Link, Operation, QuietPeriod, Record, Run
from chaos.slot_history import SlotHistory, may_give_away

#: The operation of clients that do not know hand-overs.
OLD_CLIENT = "old_set"

#: The operations that end a hand-over if they name the present pod of the link.
_SETTING = frozenset({"set", OLD_CLIENT})


def no_hand_over_starts_without_a_reason(record: Record) -> Iterator[str]:
    """A link asks for a hand-over because a client requested it, or because its pod is shut down.

    A slot is also handed over by a pod that takes no new users, or has more slots than others.
    """
    hand_overs, slots = HandOvers(record), SlotHistory(record)
    for each in hand_overs.all:
        first, route = each.first, each.first.key[0]
        operations = hand_overs.history.operations_during(first.name, first.at)
        if any((operation.name, operation.requested_pod) == ("hand_over", each.pod) for operation in operations):
            continue
        if first.slot is not None and may_give_away(slots, hand_overs.losses, first, each.pod, first.at):
            continue
        if not hand_overs.was_shut_down(route, first.pod, first.at):
            yield f"{first.name} asks at revision {first.revision} ({first.at:.3f}) to be handed over to {each.pod}"


def no_hand_over_is_lost(record: Record) -> Iterator[str]:
    """A link that stays with its pod keeps its hand-over, unless a client or the new pod is the reason.

    So a renewal keeps it, and a claim by the present pod. A client may set the present pod or ask for another
    hand-over; the new pod may be lost, not Ready or shut down; and a client that does not know hand-overs may have
    moved the link, or seems to have, because the status still names the pod before an earlier move.
    """
    hand_overs = HandOvers(record)
    for each in hand_overs.all:
        after = each.after
        if after is None or after.is_gone or each.last.pod != after.pod or each.pod == after.pod:
            continue
        if not _may_end_without_a_move(hand_overs, each, after):
            yield (
                f"{after.name} stays on {after.pod} and lost its hand-over to {each.pod} at revision {after.revision} "
                f"({after.at:.3f})"
            )


def _may_end_without_a_move(hand_overs: HandOvers, hand_over: HandOver, after: Link) -> bool:
    if hand_overs.history.may_seem_expired(hand_over.last, after.at):
        return True
    if hand_over.last.status_pod not in {None, after.pod}:  # as after a move by a client without hand-overs
        return True
    if hand_overs.could_not_take_users(after.key[0], hand_over.pod, after.at):
        return True
    return any(_ends_hand_over(each, after) for each in hand_overs.history.operations_during(after.name, after.at))


def _ends_hand_over(operation: Operation, after: Link) -> bool:
    """Returns whether an operation may have ended the hand-over of a link that stays with its pod."""
    pod = operation.requested_pod
    if operation.name == "hand_over":
        return after.hand_over is not None and after.hand_over[0] == pod
    return operation.name in _SETTING and pod == after.pod


def no_move_leaves_a_hand_over_behind(record: Record) -> Iterator[str]:
    """A link that moves asks for no hand-over afterwards, unless a client moved it that does not know hand-overs."""
    history = HandOvers(record).history
    for versions in history.versions.values():
        for before, after in pairwise(versions):
            if before.is_gone or after.is_gone or before.pod == after.pod or after.hand_over is None:
                continue
            operations = history.operations_during(after.name, after.at)
            if not any((each.name, each.requested_pod) == (OLD_CLIENT, after.pod) for each in operations):
                yield f"{after.name} moved to {after.pod} at revision {after.revision}, and asks to be handed over"


def a_status_names_the_hand_over_of_its_spec(record: Record) -> Iterator[str]:
    """A link is in the phase HandingOver only while its spec asks for a hand-over."""
    for link in record.all(Link):
        if link.phase == "HandingOver" and link.observed == link.generation and link.hand_over is None:
            yield f"{link.name} is HandingOver at {link.revision}, and its spec asks for no hand-over"


def every_hand_over_ends_soon_after_the_faults_end(record: Record) -> Iterator[str]:
    """Each hand-over of a period without faults ends within its time-out and the recovery time."""
    (run,), hand_overs = record.all(Run), HandOvers(record)
    for period in record.all(QuietPeriod):
        late = [each.first for each in hand_overs.all if _is_late(hand_overs, each, period, run.recovery_seconds)]
        if late:
            yield (
                f"{len(late)} links, {late[0].name} among them, were still handed over after "
                f"{' and '.join(period.fault_kinds) or 'no fault'}, at {period.started:.3f}"
            )


def _is_late(hand_overs: HandOvers, hand_over: HandOver, period: QuietPeriod, recovery_seconds: float) -> bool:
    """Returns whether a hand-over should have ended in a period without faults, and did not."""
    since = max(period.started, hand_over.first.at)
    limit = since + hand_overs.longest_timeout_seconds(hand_over.first.key[0]) + recovery_seconds
    ended = hand_over.after.at if hand_over.after is not None else float("inf")
    return limit <= period.ended and ended > limit
