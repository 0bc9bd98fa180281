"""The rules about slots: each is a function that yields a message for each violation."""

from collections.abc import Iterator
from itertools import pairwise

from chaos.link_history import LinkHistory
from chaos.record import Calm, Link, QuietPeriod, Record, Run, Workload
from chaos.slot_history import SlotHistory, are_even

#: The operations that may create a link of a user of a slot. The others find the pod of the slot.
_PIN = frozenset({"set", "try_set", "leave_the_choice", "hand_over"})


#: Why a slot may have moved, by its status.
_REASONS = frozenset({"PodLost", "Drained", "Rebalanced", "Moved", "HandedOver"})


def every_slot_has_the_link_of_its_name(record: Record) -> Iterator[str]:
    """The link of a slot has the name that its route and its number give, and its route owns it and has the slot."""
    slots = SlotHistory(record).slots
    for link in record.all(Link):
        if link.is_gone or link.slot is None:
            continue
        if link.name != f"{link.key[0]}.x-slot-{link.slot}" or link.slot >= (slots.get(link.key[0]) or 0):
            yield f"{link.name} binds slot {link.slot} of {link.key[0]} at revision {link.revision}"
        if link.owner != link.key[0]:
            yield f"{link.name} belongs to {link.owner or 'no route'} at revision {link.revision}"


def every_slot_has_a_link_soon_after_the_faults_end(record: Record) -> Iterator[str]:
    """Each slot whose link is missing when the last fault ends, or later, gets one within the recovery time."""
    (run,), history = record.all(Run), SlotHistory(record)
    for route in history.slots:
        absences = list(history.absences(route))
        for period in record.all(QuietPeriod):
            if not history.exists(route, period.started, period.ended):
                continue
            late = [
                each.slot
                for each in absences
                if (limit := max(period.started, each.started) + run.recovery_seconds) <= period.ended
                and each.ended > limit
            ]
            if late:
                yield (
                    f"{len(late)} slots of {route}, {late[0]} among them, had no link for more than "
                    f"{run.recovery_seconds:.0f} s after {' and '.join(period.fault_kinds) or 'no fault'}, "
                    f"at {period.started:.3f}"
                )


def a_slot_that_has_moved_names_the_reason(record: Record) -> Iterator[str]:
    """The status of a slot that has moved names the pod before and the reason.

    Unless a client has moved the slot to a pod that was absent: then the status was `Pending` or `Lost` in between, and
    `previous` names the move before, as that of any link.
    """
    for versions in LinkHistory(record).versions.values():
        bound: Link | None = None
        for link in versions:
            if link.is_gone or link.slot is None or link.status_pod is None:
                bound = None
            elif link.is_settled:
                if bound is not None and bound.status_pod != link.status_pod:
                    pod, reason = link.previous or (None, "")
                    if pod != bound.status_pod or reason not in _REASONS:
                        yield (
                            f"{link.name} moved from pod {bound.status_pod} to {link.status_pod} at revision "
                            f"{link.revision}, and its status names {reason or 'no reason'} and pod {pod}"
                        )
                bound = link
            elif bound is not None and link.status_pod != bound.status_pod and not link.is_bound:
                bound = None


def no_slot_moves_in_the_end(record: Record) -> Iterator[str]:
    """Once all slots are bound and even, without faults and clients, no link of a slot changes its pod."""
    for versions in LinkHistory(record).versions.values():
        for before, after in pairwise(versions):
            if before.slot is None or (before.pod, before.hand_over) == (after.pod, after.hand_over):
                continue
            if any(each.settled < after.at <= each.ended for each in record.all(Calm)):
                yield f"{after.name} changes at revision {after.revision} ({after.at:.3f}), from pod {before.pod}"


def the_slots_are_even_in_the_end(record: Record) -> Iterator[str]:
    """At the end, the number of slots of each pod differs from the mean by at most one, and no slot is elsewhere."""
    history = SlotHistory(record)
    replicas = {each.name: each.replicas for each in record.all(Workload)}
    for route, slots in history.slots.items():
        counts = history.last_counts(route)
        shown = {pod: counts[pod] for pod in range(replicas.get(route, 0))}
        if not are_even(list(shown.values()), slots):
            yield f"the pods of {route} have these slots at the end: {shown}"


def no_user_of_a_slot_gets_a_link_unasked(record: Record) -> Iterator[str]:
    """A user without a link of its own gets one only if a client wants to bind this user alone.

    An operation may also create one that has begun while the route did not exist: its users had no slots.
    """
    slots, history = SlotHistory(record), LinkHistory(record)
    for name, versions in history.versions.items():
        route = name.partition(".")[0]
        if route not in slots.slots:
            continue
        was_gone = True
        for link in versions:
            if was_gone and not link.is_gone and link.slot is None:
                operations = history.operations_during(name, link.at)
                began = min((each.started for each in operations), default=link.at)
                is_asked = any(each.name in _PIN for each in operations)
                if not is_asked and slots.exists(route, began, link.at):
                    yield f"{name} was created at revision {link.revision} ({link.at:.3f}): no client requested it"
            was_gone = link.is_gone
