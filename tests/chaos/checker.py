"""Checks the record of a run: each rule is a function that yields a message for each violation."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from chaos.hand_over_history import HandOvers
from chaos.hand_over_rules import (
    a_status_names_the_hand_over_of_its_spec,
    every_hand_over_ends_soon_after_the_faults_end,
    no_hand_over_is_lost,
    no_hand_over_starts_without_a_reason,
    no_move_leaves_a_hand_over_behind,
)
from chaos.leadership import writes_without_lease
from chaos.link_history import HOSTILE_PREFIX, LinkHistory
from chaos.pod_losses import LAG_SECONDS, STALE_SECONDS
from chaos.record import Gap, Link, Operation, QuietPeriod, Record, Run
from chaos.recovery import Recovery, bind_recoveries, removal_recoveries
from chaos.slot_history import SlotHistory, may_give_away, slot_of
from chaos.slot_rules import (
    a_slot_that_has_moved_names_the_reason,
    every_slot_has_a_link_soon_after_the_faults_end,
    every_slot_has_the_link_of_its_name,
    no_slot_moves_in_the_end,
    no_user_of_a_slot_gets_a_link_unasked,
    the_slots_are_even_in_the_end,
)


@dataclass(frozen=True, slots=True)
class Violation:
    """A violation of a rule.

    Attributes:
        rule: the name of the rule.
        message: a sentence.
    """

    rule: str
    message: str


#: The operations that find the pod of the slot of a user without a link of its own, the first ones in a cache.
_FIND_SLOTS_IN_CACHE = frozenset({"compute", "compute_temporary", "set_if_absent"})
_FIND_SLOTS = _FIND_SLOTS_IN_CACHE | {"ask", "read", "post", "look_up"}


def check(record: Record) -> list[Violation]:
    """Returns the violations of all rules."""
    return [Violation(rule.__name__.replace("_", " "), what) for rule in RULES for what in rule(record)]


def no_user_is_on_two_pods_at_one_revision(record: Record) -> Iterator[str]:
    """All clients observe the same pod at a revision; a user has one link; a status names its link's pod."""
    history = LinkHistory(record)
    for operation in record.all(Operation):
        for revision, pod in operation.writes:
            version = history.at(operation.link, revision)
            if version is not None and version.pod != pod:
                yield f"{operation.link} was on {version.pod} at {revision}, and {operation.client} received {pod}"
    names, keys = dict[tuple[str, str], str](), dict[str, tuple[str, str]]()
    for link in record.all(Link):
        if link.is_gone:
            names.pop(keys.get(link.name, ("", "")), None)
            continue
        keys[link.name] = link.key
        if names.setdefault(link.key, link.name) != link.name:
            yield f"{link.name} and {names[link.key]} belong to one user at {link.revision}"
        if link.is_settled and link.status_pod not in {None, link.pod}:
            yield f"{link.name} is on {link.pod} at {link.revision}, and its status names {link.status_pod}"


def no_acknowledged_operation_is_lost(record: Record) -> Iterator[str]:
    """Each acknowledged operation is in the record: as its revision, or as a state during the operation."""
    history, slots = LinkHistory(record), SlotHistory(record)
    for each in record.all(Operation):
        for revision, pod in each.writes:
            if history.at(each.link, revision) is None:
                yield f"{each.link} has no revision {revision}, which {each.name} received with pod {pod}"
        for revision in each.deleted:
            version = history.at(each.link, revision)
            later = history.after(version) if version is not None else None
            if later is None or not later.is_gone:
                yield f"{each.link} was not deleted after revision {revision}, as {each.name} received"
        if not each.error and not _was_true(history, each, slots):
            yield f"{each.link}: {each.name} by {each.client} received {each.answer} at {each.ended:.3f}, untrue"


def _was_true(history: LinkHistory, operation: Operation, all_slots: SlotHistory) -> bool:
    """Returns whether an answer was true during the operation, or before it by at most the reported age.

    A user of a route with slots is on the pod of its own link, or if there is none on that of its slot. While the route
    does not exist, the user is on no pod.
    """
    route, _, uid = operation.link.partition(".")
    slots = None if uid.startswith("x-slot-") else all_slots.slots.get(route)
    is_cached = slots is not None and operation.name in _FIND_SLOTS_IN_CACHE
    age = STALE_SECONDS if is_cached else operation.age + 1
    started, ended = operation.started - age, operation.ended
    present = [state.link for state in history.states(operation.link, started, ended)]
    # An expired link counts as absent for a client; a late client may still observe it.
    absent = None in present or any(link and history.may_seem_expired(link, ended) for link in present)
    if operation.has_pod and operation.answer is not None:
        is_own = any(link and link.pod == operation.answer for link in present)
        if is_own or slots is None or operation.name not in _FIND_SLOTS:
            return is_own
        return absent and _was_on(history, operation, started, slots)
    if operation.name == "remove_if_linked_to":
        return absent or any(link and link.pod != operation.requested_pod for link in present)
    if slots is not None and operation.name in _FIND_SLOTS and all_slots.exists(route, started, ended):
        return any(link and link.pod is None for link in present)
    if operation.has_pod or operation.can_remove:
        return absent or any(link and link.pod is None for link in present)
    return any(present)


def _was_on(history: LinkHistory, operation: Operation, started: float, slots: int) -> bool:
    """Returns whether the slot of a user was on the pod of an answer since a time."""
    route, _, uid = operation.link.partition(".")
    states = history.states(f"{route}.x-slot-{slot_of(uid, slots)}", started, operation.ended)
    return any(state.link and state.link.pod == operation.answer for state in states)


def no_link_moves_without_a_reason(record: Record) -> Iterator[str]:
    """A link leaves its pod because a client requested it, because it expired, or because its pod was lost.

    If it asks for a hand-over, its pod may commit it, or the operator after the time-out. A slot also leaves a pod that
    takes no new users, or has more slots than others.
    """
    hand_overs, slots = HandOvers(record), SlotHistory(record)
    losses = hand_overs.losses
    for versions in hand_overs.history.versions.values():
        for before, after in pairwise(versions):
            if before.is_gone or after.is_gone or before.pod is None or before.pod == after.pod:
                continue
            if _was_asked_to_move(hand_overs, before, after) or hand_overs.may_have_moved(before, after):
                continue
            if before.slot is not None and may_give_away(slots, losses, before, after.pod, after.at):
                continue
            if not losses.may_lose_links(before.key[0], before.pod, after.at):
                yield (
                    f"{after.name} moved from pod {before.pod} to {after.pod} at revision {after.revision} "
                    f"({after.at:.3f}): no client requested it, and its pod was not lost"
                )


def _was_asked_to_move(hand_overs: HandOvers, before: Link, after: Link) -> bool:
    """Returns whether a client may have moved a link, or asked for a hand-over in a route without any: a move."""
    history = hand_overs.history
    moves_at_once = not hand_overs.timeout_seconds(before.key[0], after.at)
    for each in history.operations_during(after.name, after.at):
        if each.name in {"hand_over", "commit"} and before.hand_over is None:
            continue
        if each.name == "hand_over" and not moves_at_once:
            continue
        if each.requested_pod is not None and each.requested_pod == after.pod and not each.can_remove:
            return True
        if each.requested_pod is None and history.may_seem_expired(before, after.at):
            return True
    return False


def no_pod_loses_links_while_no_node_is_ready(record: Record) -> Iterator[str]:
    """No link moves or is marked while all nodes are not ready, unless a client requests it: the pods may serve."""
    hand_overs = HandOvers(record)
    outages = hand_overs.losses.times_without_a_ready_node()
    for versions in hand_overs.history.versions.values():
        for before, after in pairwise(versions):
            if before.pod is None or after.is_gone:
                continue
            if not any(each.started + LAG_SECONDS <= after.at <= each.ended for each in outages):
                continue
            is_moved = before.pod != after.pod and not _was_asked_to_move(hand_overs, before, after)
            if is_moved or (before.is_bound and (after.phase, after.pod) == ("Lost", before.pod)):
                verb = "moved from" if is_moved else "was marked as lost on"
                yield f"{after.name} {verb} pod {before.pod} at revision {after.revision} ({after.at:.3f})"


def no_link_ends_without_a_reason(record: Record) -> Iterator[str]:
    """A link is deleted because a client requested it, because it expired, or because its CRD was deleted."""
    history = LinkHistory(record)
    for versions in history.versions.values():
        for before, after in pairwise(versions):
            if before.is_gone or not after.is_gone or before.key[1].startswith(HOSTILE_PREFIX):
                continue
            if history.may_seem_expired(before, after.at) or not history.is_defined(after.revision):
                continue
            if not any(each.can_remove for each in history.operations_during(after.name, after.at)):
                yield f"{after.name} was deleted at revision {after.revision} ({after.at:.3f}): no client requested it"


def only_the_lease_holder_writes(record: Record) -> Iterator[str]:
    """No write of an operator arrives while another holds the Lease, or before the operator acquires the Lease."""
    for write, process, holder in writes_without_lease(record):
        yield (
            f"{process} wrote {write.resource} {write.name} at {write.received:.3f}, "
            f"while {holder or 'no operator'} held the Lease"
        )


def every_link_is_bound_soon_after_the_faults_end(record: Record) -> Iterator[str]:
    """Each link that waits when the last fault ends, or that is created later, is bound within the recovery time."""
    yield from _late(record, bind_recoveries(record), "waited")


def every_link_ends_soon_after_its_time(record: Record) -> Iterator[str]:
    """Each link that is expired when the last fault ends, or later, is removed within the recovery time."""
    yield from _late(record, removal_recoveries(record), "were expired and not removed")


def _late(record: Record, recoveries: Sequence[Recovery], message: str) -> Iterator[str]:
    (run,) = record.all(Run)
    for recovery in recoveries:
        if late := list(recovery.exceeding(run.recovery_seconds)):
            worst = max(seconds for _, seconds in late)
            yield (
                f"{len(late)} links, {late[0][0]} among them, {message} for up to {worst:.1f} s "
                f"after {' and '.join(recovery.fault_kinds) or 'no fault'}, at {recovery.started:.3f}"
            )


def the_record_is_complete(record: Record) -> Iterator[str]:
    """The record has no gaps and is not empty: a run without operations and faults proves nothing."""
    for gap in record.all(Gap):
        yield f"revisions before {gap.revision} were not recorded"
    for before, after in pairwise(record.all(Link)):
        if after.revision <= before.revision:
            yield f"revision {after.revision} of {after.name} was recorded after {before.revision}"
    if not any(not each.error for each in record.all(Operation)):
        yield "no operation was acknowledged"
    if not any(each.fault_kinds for each in record.all(QuietPeriod)):
        yield "there was no fault"


RULES: Sequence[Callable[[Record], Iterator[str]]] = (
    no_user_is_on_two_pods_at_one_revision,
    no_acknowledged_operation_is_lost,
    no_link_moves_without_a_reason,
    no_pod_loses_links_while_no_node_is_ready,
    no_link_ends_without_a_reason,
    only_the_lease_holder_writes,
    every_link_is_bound_soon_after_the_faults_end,
    every_link_ends_soon_after_its_time,
    no_hand_over_starts_without_a_reason,
    no_hand_over_is_lost,
    no_move_leaves_a_hand_over_behind,
    a_status_names_the_hand_over_of_its_spec,
    every_hand_over_ends_soon_after_the_faults_end,
    every_slot_has_the_link_of_its_name,
    every_slot_has_a_link_soon_after_the_faults_end,
    a_slot_that_has_moved_names_the_reason,
    the_slots_are_even_in_the_end,
    no_slot_moves_in_the_end,
    no_user_of_a_slot_gets_a_link_unasked,
    the_record_is_complete,
)
