"""Checks the record of a run: each rule is a function that yields a message for each violation."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, pairwise

from hand_over.record import Answered, Committed, Damaged, Loaded, Record
from hand_over.state import Expected


def check(record: Record) -> list[str]:
    """Returns the violations of all rules."""
    return [f"{rule.__name__.replace('_', ' ')}: {what}" for rule in RULES for what in rule(record)]


def no_two_owners_write(record: Record) -> Iterator[str]:
    """Once a pod with a greater token has written for a user, no pod with a smaller one does; no two have the same."""
    for uid, commits in record.of_users(Committed).items():
        newest = commits[0]
        for commit in commits[1:]:
            if commit.token < newest.token:
                yield (
                    f"pod {commit.pod} wrote {commit.number} for {uid} with {commit.token} "
                    f"after pod {newest.pod} with {newest.token}"
                )
            elif commit.token == newest.token and commit.pod != newest.pod:
                yield f"pods {newest.pod} and {commit.pod} wrote for {uid} with {commit.token}"
            newest = max(newest, commit, key=lambda each: each.token)


def every_writer_holds_its_user(record: Record) -> Iterator[str]:
    """The token of each write is a version of the link that binds the user to the pod that has written."""
    for uid, commits in record.of_users(Committed).items():
        pods = {each.resource_version: each.pod for each in record.links.get(uid, ())}
        for token, pod in dict.fromkeys((each.token, each.pod) for each in commits):
            if pods.get(token) != pod:
                yield f"pod {pod} wrote for {uid} with {token}, a version that binds to {pods.get(token)}"


def every_answer_was_committed(record: Record) -> Iterator[str]:
    """The store has each write that was acknowledged, as it was acknowledged, by the time of the answer."""
    commits = {
        (each.uid, each.number, each.digest): each.at for each in reversed(record.of(Committed))
    }  # the first of each, as they are in the order of their times
    for each in record.of(Answered):
        if not commits.get((each.uid, each.number, each.digest), each.at + 1) <= each.at:
            yield f"pod {each.pod} acknowledged {each.number} of {each.uid}, which the store did not have"


def no_acknowledged_write_is_lost(record: Record) -> Iterator[str]:
    """The state after each acknowledged write, and the last one at the store, contain all acknowledged writes."""
    commits = record.of_users(Committed)
    for uid, answers in record.of_users(Answered).items():
        expected = Expected(uid)
        for each in answers:
            if each.digest != expected.digest(each.number):
                yield f"{uid} lost a write before {each.number}, which pod {each.pod} acknowledged"
                break
        last, stored = max(each.number for each in answers), commits.get(uid, [None])[-1]
        if stored is None or stored.number < last or stored.digest != expected.digest(stored.number):
            yield f"{uid} has {last} acknowledged writes, and the store has {stored}"


def no_former_owner_answers(record: Record) -> Iterator[str]:
    """The pods that answer a user one after another are those of the link, in its order."""
    for uid, answers in record.of_users(Answered).items():
        pods = iter([pod for pod, _ in groupby(each.pod for each in record.links.get(uid, ()))])
        for pod, some in groupby(answers, key=lambda each: each.pod):
            if pod not in pods:  # which goes on behind the last pod that was found
                yield f"pod {pod} answered {uid} write {next(some).number} after it had lost the user"
                break


def every_state_arrives_whole(record: Record) -> Iterator[str]:
    """What a pod receives is what the other one has sent."""
    for each in record.of(Damaged):
        yield f"pod {each.pod} received for {each.uid}: {each.error}"


def every_user_ends_on_one_pod(record: Record) -> Iterator[str]:
    """In the end each link is bound, without a hand-over, and its pod has the user, and no other one has."""
    for uid, versions in record.links.items():
        last = versions[-1]
        if "handOver" in last.object["spec"]:
            yield f"{uid} is still handed over by pod {last.pod}"
        if (last.phase, last.status_pod) != ("Bound", last.pod):
            yield f"{uid} is at pod {last.pod} by its link, and {last.phase} at {last.status_pod} by its status"
        holders = [pod for pod, uids in record.held.items() if uid in uids]
        if holders != [last.pod]:
            yield f"{uid} is at pod {last.pod} by its link, and the pods {holders} have it"
    for uid, answers in record.of_users(Answered).items():
        if uid in record.links and answers[-1].pod != record.links[uid][-1].pod:
            yield f"{uid} ends at pod {record.links[uid][-1].pod}, and pod {answers[-1].pod} has answered last"


def states_are_transferred_in_quiet_operation(record: Record) -> Iterator[str]:
    """Without faults, each new pod has the state from the previous one, and does not need the store."""
    for before, after in _moves(record):
        if after.at < record.quiet_until and not after.is_transferred:
            yield f"pod {after.pod} did not have the state of {after.uid} from pod {before.pod}"


def the_record_is_not_empty(record: Record) -> Iterator[str]:
    """A run without answers and hand-overs proves nothing."""
    if not any(True for _ in _moves(record)):
        yield "no user was handed over"
    if unanswered := record.links.keys() - record.of_users(Answered).keys():
        yield f"users without an answer: {sorted(unanswered)}"


def _moves(record: Record) -> Iterator[tuple[Loaded, Loaded]]:
    for loads in record.of_users(Loaded).values():
        yield from ((before, after) for before, after in pairwise(loads) if before.pod != after.pod)


RULES: Sequence[Callable[[Record], Iterator[str]]] = (
    no_two_owners_write,
    every_writer_holds_its_user,
    every_answer_was_committed,
    no_acknowledged_write_is_lost,
    no_former_owner_answers,
    every_state_arrives_whole,
    every_user_ends_on_one_pod,
    states_are_transferred_in_quiet_operation,
    the_record_is_not_empty,
)
