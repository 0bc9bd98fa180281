"""What `check` asks about routes, links and the operator: page by page, with one example of each finding."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from statefulroute.api.group import API_VERSION, POD_LINK, STATEFUL_ROUTE, Kind
from statefulroute.api.vocabulary import ConditionType, LinkPhase, LoadSource, RouteReason
from statefulroute.cli.checks.fixes import LINK_FIXES, ROUTE_FIXES
from statefulroute.cli.checks.results import CheckResult, Level
from statefulroute.cli.cluster import Cluster, Object
from statefulroute.cli.link_pages import link_pages
from statefulroute.cli.link_records import link_expire_time
from statefulroute.cli.objects import condition, is_observed
from statefulroute.cluster.clock import Clock, utc_now
from statefulroute.cluster.errors import NotFoundError

_OPERATOR, _ROUTES, _LINKS, _CAPACITY = "operator", "routes", "links", "capacity"

_START_OPERATOR = "start it (statefulroute operator), or see what its log says"

#: How long the operator may take to see a change, and how often that is looked at.
_PATIENCE_SECONDS, _LOOKS = 5.0, 5

#: A link is removed within a second of its end; a clock may be off.
_EXPIRY_SLACK = timedelta(seconds=30)

_SAMPLE = 5


@dataclass(slots=True)
class Occurrences:
    """How many objects a finding is about, and the first of them.

    Attributes:
        count: how many.
        example: the first, as `namespace/name`.
        message: what its condition says.
    """

    count: int = 0
    example: str = ""
    message: str = ""

    def add(self, item: Object, message: str = "") -> None:
        """One more."""
        if not self.count:
            self.example, self.message = _name(item), message
        self.count += 1


@dataclass(slots=True)
class OperatorLag:
    """What tells whether the operator is alive: it leaves nothing without its word, and nothing that is over.

    Attributes:
        unobserved: objects whose status is not of their spec.
        sample: some of them, to be looked at once more.
        expired: temporary links whose time has long been over.
        object_count: how many objects there are.
    """

    unobserved: Occurrences = field(default_factory=Occurrences)
    sample: list[tuple[Kind, Object]] = field(default_factory=list)
    expired: Occurrences = field(default_factory=Occurrences)
    object_count: int = 0

    def record(self, kind: Kind, item: Object) -> None:
        """Look at one object."""
        self.object_count += 1
        if not is_observed(item) and not item["metadata"].get("deletionTimestamp"):
            self.unobserved.add(item)
            if len(self.sample) < _SAMPLE:
                self.sample.append((kind, item))


async def check_routes(cluster: Cluster, lag: OperatorLag) -> AsyncIterator[CheckResult]:
    """What routes say of themselves, and which pods carry more links than they may."""
    troubled = ready = count = 0
    async for route in cluster.objects(cluster.path(STATEFUL_ROUTE)):
        lag.record(STATEFUL_ROUTE, route)
        count += 1
        ready += condition(route, ConditionType.READY).get("status") == "True"
        found = [*_conditions(route), *_overfull(route)]
        troubled += bool(found)
        for each in found:
            yield each
    if not troubled:
        yield CheckResult(_ROUTES, Level.OK, _tally(ready, count, "Ready"), count=count)


def _conditions(route: Object) -> Iterator[CheckResult]:
    """The conditions that are False; of those that follow from one another, the first."""
    for kind in (ConditionType.WORKLOAD_FOUND, ConditionType.READY, ConditionType.LOAD_FRESH):
        found = condition(route, kind)
        if found.get("status") == "False":
            reason = found["reason"]
            level = Level.NOTICE if _may_be_meant(route, reason) else Level.PROBLEM
            message = f"{_name(route)} is not {kind} ({reason}): {found['message']}"
            yield CheckResult(_ROUTES, level, message, ROUTE_FIXES.get(reason, ""), 1, _name(route))
            return


def _may_be_meant(route: Object, reason: str) -> bool:
    """Whether somebody may want it so: a service that is shut down, or one whose pods have never told a load."""
    if reason != RouteReason.NO_LOAD_REPORTED:
        return reason == RouteReason.SHUTDOWN
    is_asked = route["spec"].get("load", {}).get("source") == LoadSource.HTTP
    return not is_asked and not any("reportTime" in pod for pod in route["status"].get("pods", ()))


def _overfull(route: Object) -> Iterator[CheckResult]:
    most = route["spec"].get("placement", {}).get("maxLinksPerPod", 0)
    over = [pod for pod in route.get("status", {}).get("pods", ()) if most and pod.get("links", 0) > most]
    if over:
        first = max(over, key=lambda pod: int(pod["links"]))
        message = (
            f"{_name(route)}: {len(over)} of its pods carry more links than maxLinksPerPod ({most:,}), "
            f"as {first['name']} with {first['links']:,}"
        )
        remedy = "move users to other pods (statefulroute move), or raise placement.maxLinksPerPod"
        yield CheckResult(
            _CAPACITY, Level.PROBLEM, message, remedy, len(over), f"{route['metadata']['namespace']}/{first['name']}"
        )


async def check_links(cluster: Cluster, lag: OperatorLag, clock: Clock = utc_now) -> AsyncIterator[CheckResult]:
    """Which links wait, are lost or rejected, by reason."""
    counted: dict[tuple[str, str], Occurrences] = {}
    bound = count = 0
    async for link in _links(cluster):
        if _is_expired(link, clock(), lag):
            continue
        count += 1
        lag.record(POD_LINK, link)
        phase = link.get("status", {}).get("phase", "")
        if phase == LinkPhase.BOUND:
            bound += 1
        elif phase:
            ready = condition(link, ConditionType.READY)
            key = (phase, ready.get("reason", ""))
            counted.setdefault(key, Occurrences()).add(link, ready.get("message", ""))
    for (phase, reason), found in sorted(counted.items()):
        message = f"{_all(found.count, 'link')} {phase} ({reason}), as {found.example}: {found.message}"
        yield CheckResult(_LINKS, Level.PROBLEM, message, LINK_FIXES.get(reason, ""), found.count, found.example)
    if not counted:
        yield CheckResult(_LINKS, Level.OK, _tally(bound, count, "Bound"), count=count)


async def _links(cluster: Cluster) -> AsyncIterator[Object]:
    async for page in link_pages(cluster):
        for link in page:
            yield link


def _is_expired(link: Object, now: datetime, lag: OperatorLag) -> bool:
    """Whether a link's time is over: it counts as absent; the operator removes it, if it is alive."""
    ends = link_expire_time(link)
    if ends is None or ends > now:
        return False
    if ends + _EXPIRY_SLACK < now:
        lag.expired.add(link)
    return True


async def check_operator(cluster: Cluster, lag: OperatorLag) -> AsyncIterator[CheckResult]:
    """Whether the operator is alive, by what it has said."""
    is_silent = bool(lag.sample) and await _remain_unobserved(cluster, lag)
    if is_silent:
        count, example = lag.unobserved.count, lag.unobserved.example
        message = f"the operator has not said a word about the present spec of {count:,} objects, as {example}"
        yield CheckResult(_OPERATOR, Level.PROBLEM, message, _START_OPERATOR, count, example)
    if lag.expired.count:
        count, example = lag.expired.count, lag.expired.example
        message = f"the operator has not removed {_some(count, 'link')} whose time is over, as {example}"
        yield CheckResult(_OPERATOR, Level.PROBLEM, message, _START_OPERATOR, count, example)
    if not is_silent and not lag.expired.count:
        message = "it has said its word about every object" if lag.object_count else "there is nothing to tell it by"
        yield CheckResult(_OPERATOR, Level.OK, message)


async def _remain_unobserved(cluster: Cluster, lag: OperatorLag) -> bool:
    """Whether all of the sample are still without a word after a while."""
    for _ in range(_LOOKS):
        await asyncio.sleep(_PATIENCE_SECONDS / _LOOKS)
        for kind, item in lag.sample:
            place = item["metadata"]
            try:
                now = await cluster.get(
                    f"/apis/{API_VERSION}/namespaces/{place['namespace']}/{kind.plural}/{place['name']}"
                )
            except NotFoundError:
                return False
            if is_observed(now):
                return False
    return True


def _tally(part: int, whole: int, are: str) -> str:
    return f"{part:,} of {whole:,} {'is' if part == 1 else 'are'} {are}" if whole else "there is none"


def _all(count: int, what: str) -> str:
    return f"{_some(count, what)} {'is' if count == 1 else 'are'}"


def _some(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _name(item: Object) -> str:
    return f"{item['metadata']['namespace']}/{item['metadata']['name']}"
