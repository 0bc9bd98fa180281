"""Checks of routes and the operator: page by page, with one example per result."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import datetime

from statefulroute.api.annotations import OCCUPIED_LABEL
from statefulroute.api.group import API_VERSION, STATEFUL_ROUTE
from statefulroute.api.vocabulary import ConditionType, RouteReason
from statefulroute.cli.checks.hand_overs import HandOvers, check_hand_over_settings
from statefulroute.cli.checks.loads import has_no_load, has_reported_load, is_polled, requires_load
from statefulroute.cli.checks.observations import Occurrences, OperatorLag, ServingPods
from statefulroute.cli.checks.results import CheckResult, Level, tally
from statefulroute.cli.cluster import Cluster, Object
from statefulroute.cli.disruptions import disruption_obstacles
from statefulroute.cli.objects import (
    condition,
    is_deletion_blocked,
    is_observed,
    namespaced_name,
    omitted_pods,
    total_links,
)
from statefulroute.cli.output.ages import age
from statefulroute.cli.output.messages import pluralize
from statefulroute.cluster.clock import Clock, utc_now
from statefulroute.cluster.errors import NotFoundError

_OPERATOR, _ROUTES, _CAPACITY = "operator", "routes", "capacity"

_START_OPERATOR = "start it (statefulroute operator), or read its log"

_ROUTE_FIXES: dict[str, str] = {
    RouteReason.NO_ROUTABLE_POD: "find out why no pod is Ready (kubectl get pods), or revert a Shutdown",
    RouteReason.SHUTDOWN: "if this is not intended: statefulroute set-state ROUTE Ready",
    RouteReason.WORKLOAD_NOT_FOUND: "create the workload, or name another in spec.workloadRef",
    RouteReason.WORKLOAD_KIND_NOT_SUPPORTED: "name a workload that has a scale subresource in spec.workloadRef",
    RouteReason.WORKLOAD_FORBIDDEN: "give the operator the permission that the message names",
    RouteReason.WORKLOAD_UNREADABLE: "fix the scale subresource of the workload as the message says",
    RouteReason.NODES_LOST: "make the nodes Ready, or confirm the loss: statefulroute confirm-loss ROUTE",
    RouteReason.PODS_LOST: "bring the pods back, or confirm the loss: statefulroute confirm-loss ROUTE",
    RouteReason.LOAD_STALE: "find out why these pods do not report: their log, or for HTTP their endpoint",
    RouteReason.NO_LOAD_REPORTED: "find out why no pod reports: their log, or for HTTP their endpoint",
    RouteReason.SCALE_REFUSED: "give the operator the permission that the message names, or fix what it names",
    RouteReason.ANOTHER_ROUTE_SCALES: "remove replicas, rollout, autoscaling and disruption from the spec of one "
    "of the routes",
    RouteReason.ANOTHER_SCALER: "remove the other scaler (kubectl get hpa), or let it scale the route, without "
    "spec.autoscaling, in place of the workload",
    RouteReason.ANOTHER_BUDGET: "let the other budget leave out pods with links: add "
    f"{{key: {OCCUPIED_LABEL}, operator: DoesNotExist}} to its selector.matchExpressions, and set minAvailable to a "
    "number, which counts only the pods that it selects",
    RouteReason.GUARD_REFUSED: "give the operator the permission that the message names (the chart's planDisruptions)",
    RouteReason.NODES_NOT_WATCHED: "serve the whole cluster, or set spec.disruption.protect to false",
    RouteReason.SWITCHED_OFF: "start the operator without --no-plan-disruptions (the chart's planDisruptions)",
    RouteReason.UPDATE_STRATEGY_NOT_ON_DELETE: "kubectl patch statefulset NAME --type=merge -p "
    """'{"spec": {"updateStrategy": {"type": "OnDelete", "rollingUpdate": null}}}'""",
    RouteReason.NEW_REVISION_NOT_READY: "wait until it is Ready, or find out why it is not (kubectl describe pod), and "
    "correct the template (kubectl rollout undo)",
    RouteReason.NO_OTHER_AVAILABLE_POD: "make another pod Ready, or let the rollout add one: set spec.rollout.surge",
    RouteReason.EVICTION_REFUSED: "let the PodDisruptionBudget allow a disruption: kubectl get pdb",
    RouteReason.SLOTS_UNEVEN: "set spec.rebalance.strategy to Even, unless slots must not move",
    RouteReason.SLOTS_REFUSED: "give the operator the permission that the message names (the chart's createSlots), or "
    "raise the quota",
    RouteReason.PAUSED: "if this is not intended: statefulroute rollout resume ROUTE",
}

#: Planned disruptions with these reasons may be as they should be: a pause, or a pod that starts.
_MAY_BE_INTENDED = frozenset({RouteReason.PAUSED, RouteReason.NEW_REVISION_NOT_READY})

#: How long the operator may take to observe a change, and how often that is checked meanwhile.
_OBSERVE_SECONDS, _OBSERVE_CHECKS = 5.0, 5


async def check_routes(
    cluster: Cluster, lag: OperatorLag, serving: ServingPods, hand_overs: HandOvers, clock: Clock = utc_now
) -> AsyncIterator[CheckResult]:
    """Check the conditions and deletions of routes, and which pods carry more links than allowed."""
    with_results = ready = count = 0
    without_port, without_load = Occurrences(), Occurrences()
    async for route in cluster.objects(cluster.path(STATEFUL_ROUTE)):
        lag.record(STATEFUL_ROUTE, route)
        serving.record(route)
        hand_overs.record_route(route)
        count += 1
        ready += condition(route, ConditionType.READY).get("status") == "True"
        results = check_route(route, clock())
        with_results += bool(results)
        for result in results:
            yield result
        if route["spec"].get("port") is None:
            without_port.add(route)
        if has_no_load(route) and not requires_load(route):
            without_load.add(route)
    if not with_results:
        level, fix = (Level.OK, "") if ready == count else (Level.NOTICE, _START_OPERATOR)
        yield CheckResult(_ROUTES, level, tally(ready, count, "Ready"), fix, count)
    if without_port.count:
        yield _port_notice(without_port)
    if without_load.count:
        yield _load_hint(without_load)


def check_route(route: Object, now: datetime) -> list[CheckResult]:
    """Returns what is wrong with a route by its own status."""
    return [
        *_check_deletion(route, now),
        *_check_conditions(route),
        *_check_suspension(route),
        *_check_disruptions(route),
        *_check_slots(route),
        *_check_capacity(route),
        *_check_link_limit(route),
        *check_hand_over_settings(route),
    ]


def _port_notice(routes: Occurrences) -> CheckResult:
    verb = "has" if routes.count == 1 else "have"
    message = (
        f"{pluralize(routes.count, 'route')} {verb} no spec.port, for example {routes.example}: the resolver answers "
        "no-port to gateways, so they cannot reach its users' pods"
    )
    fix = "if a gateway uses them: set spec.port to the number or the name of the container port"
    return CheckResult(_ROUTES, Level.NOTICE, message, fix, routes.count, routes.example)


def _load_hint(routes: Occurrences) -> CheckResult:
    message = (
        f"the pods of {pluralize(routes.count, 'route')}, for example {routes.example}, report no load, which is "
        "optional: new users go to the pods with the fewest links"
    )
    return CheckResult(_ROUTES, Level.OK, message, "", routes.count, routes.example)


def _check_deletion(route: Object, now: datetime) -> Iterator[CheckResult]:
    """Yield a deletion that waits for the finalizer of the operator; the namespace of the route waits as well."""
    if is_deletion_blocked(route, now):
        name, namespace = namespaced_name(route), route["metadata"]["namespace"]
        message = (
            f"{name} was deleted {age(route['metadata']['deletionTimestamp'], now)} ago and still exists: no operator "
            "removes its finalizer"
        )
        fix = f"start the operator for this namespace, or without one: statefulroute release --namespace {namespace}"
        yield CheckResult(_ROUTES, Level.PROBLEM, message, fix, 1, name)


def _check_conditions(route: Object) -> Iterator[CheckResult]:
    """Yield the first condition that is False; the following ones are its consequences.

    `check_links` reports the links that are not served, if the status of the route lists all pods.
    """
    for condition_type in (
        ConditionType.WORKLOAD_FOUND,
        ConditionType.READY,
        *((ConditionType.LINKS_SERVED,) if omitted_pods(route) else ()),
        ConditionType.LOAD_FRESH,
    ):
        false = condition(route, condition_type)
        if false.get("status") == "False":
            reason, name = false["reason"], namespaced_name(route)
            if reason == RouteReason.NO_ROUTABLE_POD and _sleeps(route):
                yield CheckResult(_ROUTES, Level.OK, f"{name} sleeps: it has no pods until a user comes", "", 1, name)
                return
            if reason == RouteReason.NO_LOAD_REPORTED and not requires_load(route):
                return
            level = Level.NOTICE if _may_be_intended(route, reason) else Level.PROBLEM
            message = f"{name} is not {condition_type} ({reason}): {false['message']}"
            yield CheckResult(_ROUTES, level, message, _ROUTE_FIXES.get(reason, ""), 1, name)
            return


def _sleeps(route: Object) -> bool:
    """Returns whether autoscaling has removed the last pod, because the route has no links."""
    return bool(route["spec"].get("autoscaling")) and route.get("status", {}).get("desiredReplicas") == 0


def _check_suspension(route: Object) -> Iterator[CheckResult]:
    suspended = condition(route, ConditionType.LOSS_SUSPENDED)
    if suspended.get("status") == "True":
        reason, name = suspended["reason"], namespaced_name(route)
        message = f"{name} is {ConditionType.LOSS_SUSPENDED} ({reason}): {suspended['message']}"
        yield CheckResult(_ROUTES, Level.PROBLEM, message, _ROUTE_FIXES.get(reason, ""), 1, name)


def _check_slots(route: Object) -> Iterator[CheckResult]:
    unbound = condition(route, ConditionType.SLOTS_BOUND)
    if unbound.get("reason") == RouteReason.SLOTS_REFUSED:
        reason, name = unbound["reason"], namespaced_name(route)
        message = f"{name} is not {ConditionType.SLOTS_BOUND} ({reason}): {unbound['message']}"
        yield CheckResult(_ROUTES, Level.PROBLEM, message, _ROUTE_FIXES[reason], 1, name)
    uneven = condition(route, ConditionType.SLOTS_BALANCED)
    if uneven.get("reason") == RouteReason.SLOTS_UNEVEN:  # may be intended
        reason, name = uneven["reason"], namespaced_name(route)
        message = f"{name} is not {ConditionType.SLOTS_BALANCED} ({reason}): {uneven['message']}"
        yield CheckResult(_ROUTES, Level.NOTICE, message, _ROUTE_FIXES[reason], 1, name)


def _check_disruptions(route: Object) -> Iterator[CheckResult]:
    """Yield the planned disruptions that do not go on, for another reason than that they wait for users."""
    by_reason = {each["reason"]: each for each in reversed(disruption_obstacles(route))}
    for obstacle in reversed(by_reason.values()):
        reason, name = obstacle["reason"], namespaced_name(route)
        level = Level.NOTICE if reason in _MAY_BE_INTENDED else Level.PROBLEM
        message = f"{name} is not {obstacle['type']} ({reason}): {obstacle['message']}"
        yield CheckResult(_ROUTES, level, message, _ROUTE_FIXES.get(reason, ""), 1, name)


def _may_be_intended(route: Object, reason: str) -> bool:
    """Returns whether a state may be intended: a service that is shut down, or whose pods have never reported."""
    if reason == RouteReason.NO_LOAD_REPORTED:
        return not is_polled(route) and not has_reported_load(route)
    return reason == RouteReason.SHUTDOWN


def _check_capacity(route: Object) -> Iterator[CheckResult]:
    limit = route["spec"].get("placement", {}).get("maxLinksPerPod", 0)
    pods = route.get("status", {}).get("pods", ()) if limit else ()
    overfull = [pod for pod in pods if total_links(pod) > limit]
    if overfull:
        fullest, at_least = max(overfull, key=total_links), "at least " if omitted_pods(route) else ""
        message = (
            f"{namespaced_name(route)}: {at_least}{len(overfull)} of its pods carry more links than maxLinksPerPod "
            f"({limit:,}), for example {fullest['name']} with {total_links(fullest):,}"
        )
        fix = "move users to other pods (statefulroute move), or raise placement.maxLinksPerPod"
        example = f"{route['metadata']['namespace']}/{fullest['name']}"
        yield CheckResult(_CAPACITY, Level.PROBLEM, message, fix, len(overfull), example)


def _check_link_limit(route: Object) -> Iterator[CheckResult]:
    limit, links = route["spec"].get("links", {}).get("max", 0), route.get("status", {}).get("links", 0)
    if limit and links >= limit:
        name = namespaced_name(route)
        message = (
            f"{name} takes no new users from resolvers and drivers: its links are {links:,} of {limit:,} (links.max)"
        )
        fix = "raise links.max, or remove links of invented uids (statefulroute unlink)"
        yield CheckResult(_CAPACITY, Level.PROBLEM, message, fix, 1, name)


async def check_operator(cluster: Cluster, lag: OperatorLag) -> AsyncIterator[CheckResult]:
    """Check whether the operator runs, by the objects that it must process."""
    is_behind = bool(lag.sample) and await _remain_unobserved(cluster, lag)
    if is_behind:
        count, example = lag.unobserved.count, lag.unobserved.example
        message = (
            f"the operator has not observed the present spec of {pluralize(count, 'object')}, for example {example}"
        )
        yield CheckResult(_OPERATOR, Level.PROBLEM, message, _START_OPERATOR, count, example)
    if lag.expired.count:
        count, example = lag.expired.count, lag.expired.example
        message = f"the operator has not removed {pluralize(count, 'expired link')}, for example {example}"
        yield CheckResult(_OPERATOR, Level.PROBLEM, message, _START_OPERATOR, count, example)
    if not is_behind and not lag.expired.count:
        message = "it has observed every object" if lag.object_count else "there are no objects that show its state"
        yield CheckResult(_OPERATOR, Level.OK, message)


async def _remain_unobserved(cluster: Cluster, lag: OperatorLag) -> bool:
    """Returns whether the operator observes none of the sample for a while."""
    for _ in range(_OBSERVE_CHECKS):
        await asyncio.sleep(_OBSERVE_SECONDS / _OBSERVE_CHECKS)
        for kind, item in lag.sample:
            namespace, name = item["metadata"]["namespace"], item["metadata"]["name"]
            try:
                version = await cluster.get(f"/apis/{API_VERSION}/namespaces/{namespace}/{kind.plural}/{name}")
            except NotFoundError:
                return False
            if is_observed(version):
                return False
    return True
