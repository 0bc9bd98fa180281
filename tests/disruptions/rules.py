"""Checks the record of a run: each rule is a function that yields a message for each violation."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from math import inf

from disruptions.record import LAG_SECONDS, Record, Request, Versions, closing_pods, pod_of
from support.link_recorder import Version


def check(record: Record) -> list[str]:
    """Returns the violations of all rules."""
    return [f"{rule.__name__.replace('_', ' ')}: {what}" for rule in RULES for what in rule(record)]


def no_link_moves_before_the_deadline(record: Record) -> Iterator[str]:
    """A link leaves its pod only while the status of the route shows it as closing, after its deadline."""
    for name, versions in record.links.items():
        for number, (before, after) in enumerate(pairwise(versions)):
            left, entered = pod_of(before), pod_of(after)
            if left is None or "DELETED" in {before.event, after.event} or left == entered:
                continue
            closing = record.closing(after.resource_version).get(left)
            previous = _previous(versions[number + 1 :], after.object["metadata"].get("generation", 0))
            if closing is None or previous is None or previous.get("cause") != "DeadlineOver":
                yield f"{name} moved from {left} to {entered}: {previous}"
            elif datetime.fromisoformat(previous["time"]) < closing.deadline:
                yield f"{name} moved from {left} at {previous['time']}, before {closing.deadline}"


def _previous(versions: Versions, generation: int) -> dict[str, str] | None:
    """Returns the previous binding in the first status of a generation; an earlier one may be of an earlier move."""
    statuses = (each.object.get("status", {}) for each in versions)
    current = (each for each in statuses if each.get("observedGeneration", 0) >= generation)
    return next((each["previous"] for each in current if "previous" in each), None)


def no_link_ends_without_a_reason(record: Record) -> Iterator[str]:
    """A link ends because its user deleted it, or at the end of its time."""
    for name, versions in record.links.items():
        last, early = versions[-1], _expires_at(record, versions) - versions[-1].seen_at
        if last.event == "DELETED" and name not in record.left and early > 0:
            yield f"{name} on {pod_of(last)} was deleted {early:.1f} s before its end, and not by its user"


def _expires_at(record: Record, versions: Versions) -> float:
    """Returns when a link expires, in monotonic seconds, up to a second too early: its creation has whole seconds."""
    first = versions[0].object
    created = datetime.fromisoformat(first["metadata"]["creationTimestamp"]).timestamp()
    return created - record.clock_offset + float(first["spec"].get("ttlSeconds", inf))


def no_pod_is_removed_with_users(record: Record) -> Iterator[str]:
    """A pod has no links when its removal is decided, and later: so an empty one is removed before it."""
    for removal in record.removals():
        for revision in {removal.revision, removal.deleted}:
            if links := record.links_on(removal.pod, revision):
                yield f"{removal.pod} was removed at {revision} with {len(links)} links, {links[0]} among them"


def no_pod_is_removed_before_it_is_shown_as_closing(record: Record) -> Iterator[str]:
    """The stored status of the route shows a pod as closing before its removal is decided."""
    for removal in record.removals():
        if removal.pod not in record.closing(removal.revision):
            yield f"{removal.pod} was removed at {removal.revision}, and was not shown as closing"


def no_more_pods_close_than_allowed(record: Record) -> Iterator[str]:
    """No more pods than allowed are closing because of a rollout."""
    for version in record.route:
        pods = [pod for pod, each in closing_pods(version.object).items() if each.reason == "Rollout"]
        if len(pods) > record.max_unavailable:
            yield f"pods {pods} are closing at {version.resource_version}"


def no_request_is_answered_by_another_pod(record: Record) -> Iterator[str]:
    """The pod that answers is the one to which the user was linked during the request."""
    for request in record.requests:
        if request.answered_by and request.answered_by not in (pods := _pods_during(record, request)):
            yield f"{request.answered_by} answered {request.link}, which was linked to {pods}"


def no_request_fails(record: Record) -> Iterator[str]:
    """A user who was bound all the time, to one pod, gets an answer."""
    for request in record.requests:
        if request.error and _is_bound_throughout(record, request):
            yield f"{request.link}: {request.error}"


def _pods_during(record: Record, request: Request) -> list[str]:
    during = _during(record.links.get(request.link, ()), request.started - LAG_SECONDS, request.ended + LAG_SECONDS)
    return [pod for version in during if (pod := pod_of(version)) is not None]


def _is_bound_throughout(record: Record, request: Request) -> bool:
    versions = record.links.get(request.link, ())
    started, ended = request.started - LAG_SECONDS, request.ended + LAG_SECONDS
    if not versions or versions[0].seen_at > started:
        return False
    # A resolver does not wait until the operator deletes a link that has expired.
    if min(record.left.get(request.link, inf), _expires_at(record, versions)) < ended:
        return False
    during = list(_during(versions, started, ended))
    is_deleted = any(each.event == "DELETED" for each in during)
    return not is_deleted and {each.phase for each in during} == {"Bound"} and len(set(map(pod_of, during))) == 1


def _during(versions: Versions, started: float, ended: float) -> Iterator[Version]:
    """Yields the versions that were present at some moment between two times."""
    ends = [each.seen_at for each in versions[1:]] + [inf]
    for version, end in zip(versions, ends, strict=True):
        if version.seen_at <= ended and end >= started:
            yield version


def the_record_is_not_empty(record: Record) -> Iterator[str]:
    """A run without requests, bindings and removals proves nothing."""
    if not any(each.answered_by for each in record.requests):
        yield "no request was answered"
    if not any(True for _ in record.removals()):
        yield "no pod was removed"


RULES: Sequence[Callable[[Record], Iterator[str]]] = (
    no_link_moves_before_the_deadline,
    no_link_ends_without_a_reason,
    no_pod_is_removed_with_users,
    no_pod_is_removed_before_it_is_shown_as_closing,
    no_more_pods_close_than_allowed,
    no_request_is_answered_by_another_pod,
    no_request_fails,
    the_record_is_not_empty,
)
