"""Whether a run was as is promised, by its record alone: each rule is a function, and gives what breaks it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from chaos.leadership import writes_without_lease
from chaos.link_history import HOSTILE_PREFIX, LinkHistory
from chaos.pod_losses import PodLosses
from chaos.record import Gap, Link, Operation, QuietPeriod, Record, Run
from chaos.recovery import Recovery, bind_recoveries, removal_recoveries


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that breaks a rule.

    Attributes:
        rule: its name.
        message: a sentence.
    """

    rule: str
    message: str


def check(record: Record) -> list[Violation]:
    """All that is wrong."""
    return [Violation(rule.__name__.replace("_", " "), what) for rule in RULES for what in rule(record)]


def no_user_is_on_two_pods_at_one_revision(record: Record) -> Iterator[str]:
    """Whoever was told of a revision was told the same pod; a user has one link; a status names the link's pod."""
    histories = LinkHistory(record)
    for operation in record.all(Operation):
        for revision, pod in operation.writes:
            known = histories.at(operation.link, revision)
            if known is not None and known.pod != pod:
                yield f"{operation.link} was on {known.pod} at {revision}, and {operation.client} was told {pod}"
    names, keys = dict[tuple[str, str], str](), dict[str, tuple[str, str]]()
    for link in record.all(Link):
        if link.is_gone:
            names.pop(keys.get(link.name, ("", "")), None)
            continue
        keys[link.name] = link.key
        if names.setdefault(link.key, link.name) != link.name:
            yield f"{link.name} and {names[link.key]} are of one user at {link.revision}"
        if link.is_settled and link.status_pod not in {None, link.pod}:
            yield f"{link.name} is on {link.pod} at {link.revision}, and its status says {link.status_pod}"


def no_acknowledged_operation_is_lost(record: Record) -> Iterator[str]:
    """What was acknowledged is in the record: as that very version, or as what was true while the operation went on."""
    histories = LinkHistory(record)
    for each in record.all(Operation):
        for revision, pod in each.writes:
            if histories.at(each.link, revision) is None:
                yield f"{each.link} is nowhere at revision {revision}, which {each.name} was told, with pod {pod}"
        for revision in each.deleted:
            version = histories.at(each.link, revision)
            later = histories.after(version) if version is not None else None
            if later is None or not later.is_gone:
                yield f"{each.link} was not deleted after revision {revision}, as {each.name} was told"
        if not each.error and not _was_true(histories, each):
            yield f"{each.link}: {each.name} by {each.client} was told {each.answer} at {each.ended:.3f}, untruly"


def _was_true(histories: LinkHistory, operation: Operation) -> bool:
    """Whether an answer was true at some moment of the operation, or at most as long before it as was told."""
    begun, ended = operation.started - operation.age - 1, operation.ended
    present = [state.link for state in histories.states(operation.link, begun, ended)]
    # To whoever did not know of it, a link that is over is none; whoever is late may still see it.
    absent = None in present or any(link and histories.may_seem_expired(link, ended) for link in present)
    if operation.has_pod and operation.answer is not None:
        return any(link and link.pod == operation.answer for link in present)
    if operation.name == "remove_if_linked_to":
        return absent or any(link and link.pod != operation.requested_pod for link in present)
    if operation.has_pod or operation.can_remove:
        return absent or any(link and link.pod is None for link in present)
    return any(present)


def no_link_moves_without_a_reason(record: Record) -> Iterator[str]:
    """A link leaves its pod because a client has asked for it, because it was over, or because its pod was lost."""
    histories, losses = LinkHistory(record), PodLosses(record)
    for versions in histories.versions.values():
        for before, after in pairwise(versions):
            if before.is_gone or after.is_gone or before.pod is None or before.pod == after.pod:
                continue
            if _was_asked_to_move(histories, before, after):
                continue
            if not losses.may_lose_links(before.key[0], before.pod, after.at):
                yield (
                    f"{after.name} went from pod {before.pod} to {after.pod} at revision {after.revision} "
                    f"({after.at:.3f}): nobody has asked for it, and its pod was there"
                )


def _was_asked_to_move(histories: LinkHistory, before: Link, after: Link) -> bool:
    for each in histories.operations_during(after.name, after.at):
        if each.requested_pod is not None and each.requested_pod == after.pod and not each.can_remove:
            return True
        if each.requested_pod is None and histories.may_seem_expired(before, after.at):
            return True
    return False


def no_link_ends_without_a_reason(record: Record) -> Iterator[str]:
    """A link is deleted because a client has asked for it, because its time was over, or its kind went."""
    histories = LinkHistory(record)
    for versions in histories.versions.values():
        for before, after in pairwise(versions):
            if before.is_gone or not after.is_gone or before.key[1].startswith(HOSTILE_PREFIX):
                continue
            if histories.may_seem_expired(before, after.at) or not histories.is_defined(after.revision):
                continue
            if not any(each.can_remove for each in histories.operations_during(after.name, after.at)):
                yield f"{after.name} was deleted at revision {after.revision} ({after.at:.3f}): nobody has asked for it"


def only_who_holds_the_lease_writes(record: Record) -> Iterator[str]:
    """No operator's write is received while another holds the Lease, or before it has the Lease itself."""
    for write, process, holder in writes_without_lease(record):
        yield (
            f"{process} has written {write.resource} {write.name} at {write.received:.3f}, "
            f"while {holder or 'nobody'} held the Lease"
        )


def every_link_is_bound_soon_after_the_faults_end(record: Record) -> Iterator[str]:
    """Each link that waits when the last fault ends, and each that comes after it, is bound within the time."""
    yield from _late(record, bind_recoveries(record), "waited")


def every_link_ends_soon_after_its_time(record: Record) -> Iterator[str]:
    """Each link that is over when the last fault ends, or after it, is removed within the time."""
    yield from _late(record, removal_recoveries(record), "were over and still there")


def _late(record: Record, healings: Sequence[Recovery], message: str) -> Iterator[str]:
    (run,) = record.all(Run)
    for calm in healings:
        if late := list(calm.exceeding(run.recovery_seconds)):
            worst = max(seconds for _, seconds in late)
            yield (
                f"{len(late)} links, {late[0][0]} among them, {message} for up to {worst:.1f} s "
                f"after {' and '.join(calm.fault_kinds) or 'no fault'}, at {calm.started:.3f}"
            )


def the_record_is_whole(record: Record) -> Iterator[str]:
    """Nothing is missing, and there is something: a run in which nothing happens proves nothing."""
    for gap in record.all(Gap):
        yield f"what came before revision {gap.revision} was not recorded"
    for before, after in pairwise(record.all(Link)):
        if after.revision <= before.revision:
            yield f"revision {after.revision} of {after.name} came after {before.revision}"
    if not any(not each.error for each in record.all(Operation)):
        yield "no operation was acknowledged"
    if not any(each.fault_kinds for each in record.all(QuietPeriod)):
        yield "there was no fault"


RULES: Sequence[Callable[[Record], Iterator[str]]] = (
    no_user_is_on_two_pods_at_one_revision,
    no_acknowledged_operation_is_lost,
    no_link_moves_without_a_reason,
    no_link_ends_without_a_reason,
    only_who_holds_the_lease_writes,
    every_link_is_bound_soon_after_the_faults_end,
    every_link_ends_soon_after_its_time,
    the_record_is_whole,
)
