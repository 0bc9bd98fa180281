"""Checks of links: page by page, with one example per result."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

from statefulroute.api.group import POD_LINK
from statefulroute.api.vocabulary import ConditionType, LinkPhase, LinkReason
from statefulroute.cli.checks.hand_overs import HandOvers
from statefulroute.cli.checks.observations import Occurrences, OperatorLag, ServingPods
from statefulroute.cli.checks.results import CheckResult, Level, tally
from statefulroute.cli.cluster import Cluster, Object
from statefulroute.cli.objects import condition, link_expire_time
from statefulroute.cli.output.messages import pluralize
from statefulroute.cluster.clock import Clock, utc_now

_LINKS = "links"

#: The phases of links whose pod serves them.
_BOUND = (LinkPhase.BOUND, LinkPhase.HANDING_OVER)

_LINK_FIXES: dict[str, str] = {
    LinkReason.NO_AVAILABLE_POD: "remove the cause that the message names: make a pod Ready, or revert a drain "
    "(statefulroute undrain, set-state)",
    LinkReason.ROUTE_NOT_FOUND: "create the StatefulRoute, or remove the links: statefulroute unlink",
    LinkReason.WORKLOAD_NOT_FOUND: "create the route's workload, or correct its spec.workloadRef",
    LinkReason.POD_NOT_FOUND: "scale the workload up, or move them: statefulroute move",
    LinkReason.POD_NOT_ROUTABLE: "make the pod Ready, or move them: statefulroute move",
    LinkReason.POD_LOST: "restore the pod, or move them: statefulroute move",
    LinkReason.POD_NOT_READY: "make the pod Ready (kubectl describe pod), or move them: statefulroute move",
    LinkReason.AT_CAPACITY: "scale the workload up, raise the route's placement.maxLinksPerPod, or repair the pods "
    "that take no users for another cause that the message names",
    LinkReason.NOT_LOCAL_NAMESPACE: "remove them (kubectl delete podlink), and keep the admission policies in force",
    LinkReason.NO_SUCH_SLOT: "remove them (kubectl delete podlink), or give the route its spec.slots again",
    LinkReason.INVALID: "remove them (kubectl delete podlink), and create them again as the message says",
}

_UNSERVED_FIX = "find out why the pod does not serve (kubectl describe pod), or move them: statefulroute move"

#: The operator removes a link within a second after it expires; clocks may differ.
_EXPIRY_SLACK = timedelta(seconds=30)


def link_fix(reason: str) -> str:
    """Returns how to fix links that are not bound for a reason; empty if it is not known."""
    return _LINK_FIXES.get(reason, "")


async def check_links(
    cluster: Cluster, lag: OperatorLag, serving: ServingPods, hand_overs: HandOvers, clock: Clock = utc_now
) -> AsyncIterator[CheckResult]:
    """Check which links are pending, lost or rejected, by reason, and which are bound to pods that do not serve.

    Hand-overs that last too long are problems, too.
    """
    occurrences: dict[tuple[str, str], Occurrences] = {}
    unserved: dict[str, Occurrences] = {}
    bound = count = 0
    async for link in _links(cluster):
        if _is_expired(link, clock(), lag):
            continue
        count += 1
        lag.record(POD_LINK, link)
        hand_overs.record(link, clock())
        phase = link.get("status", {}).get("phase", "")
        if phase in _BOUND:
            bound += 1
            if reason := serving.not_serving_reason(link):
                unserved.setdefault(reason, Occurrences()).add(link, f"pod {link['status'].get('podName')!r}")
        elif phase:
            ready = condition(link, ConditionType.READY)
            key = (phase, ready.get("reason", ""))
            occurrences.setdefault(key, Occurrences()).add(link, ready.get("message", ""))
    for (phase, reason), links in sorted(occurrences.items()):
        verb = "is" if links.count == 1 else "are"
        message = (
            f"{pluralize(links.count, 'link')} {verb} {phase} ({reason}), for example {links.example}: {links.message}"
        )
        yield CheckResult(_LINKS, Level.PROBLEM, message, _LINK_FIXES.get(reason, ""), links.count, links.example)
    for reason, links in sorted(unserved.items()):
        message = (
            f"{pluralize(links.count, 'link')} {'is' if links.count == 1 else 'are'} Bound and not served now "
            f"({reason}), for example {links.example} by {links.message}"
        )
        yield CheckResult(_LINKS, Level.PROBLEM, message, _UNSERVED_FIX, links.count, links.example)
    overdue = [*hand_overs.results()]
    for result in overdue:
        yield result
    if not occurrences and not unserved and not overdue:
        yield CheckResult(_LINKS, Level.OK, tally(bound, count, "Bound"), count=count)


async def _links(cluster: Cluster) -> AsyncIterator[Object]:
    async for page in cluster.link_pages():
        for link in page:
            yield link


def _is_expired(link: Object, now: datetime, lag: OperatorLag) -> bool:
    """Returns whether a link has expired, and is therefore treated as absent; records it if it expired long ago."""
    expires = link_expire_time(link)
    if expires is None or expires > now:
        return False
    if expires + _EXPIRY_SLACK < now:
        lag.expired.add(link)
    return True
