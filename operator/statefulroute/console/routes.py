"""The routes in memory: each as the API server returns it, encoded, and what its card shows."""

from datetime import datetime
from typing import Any

import msgspec

from statefulroute.api.group import API_VERSION, STATEFUL_ROUTE
from statefulroute.api.vocabulary import ConditionType, RoutingState
from statefulroute.cli.checks.results import CheckResult, Level
from statefulroute.cli.checks.state import check_route
from statefulroute.cli.closing_pods import closing_pods
from statefulroute.cli.cluster import Object
from statefulroute.cli.commands.routes import state_label
from statefulroute.cli.objects import condition, is_observed, workload_label
from statefulroute.cli.output.loads import overload_threshold
from statefulroute.cluster.clock import utc_now
from statefulroute.cluster.resource_type import ResourceType
from statefulroute.domain.keys import RouteKey

#: The order of levels: problems come first.
SEVERITIES = {Level.OK: 0, Level.NOTICE: 1, Level.PROBLEM: 2}


class Problem(msgspec.Struct, frozen=True):
    """Something that is wrong, or worth knowing.

    Attributes:
        level: `problem`, `notice` or `ok`.
        message: what is wrong.
        fix: how to fix it; empty if it is not known.
        check: the check of `statefulroute check` that has found it.
    """

    level: str
    message: str
    fix: str = ""
    check: str = ""

    @classmethod
    def of(cls, result: CheckResult) -> "Problem":
        """Returns the result of a check for the console."""
        return cls(result.level.value, result.message, result.fix, result.check)


class Card(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """What the overview shows of a route; the fields of the status are None before the operator has written it."""

    namespace: str
    name: str
    state: str
    is_ready: bool
    routing_state: str
    workload: str
    workload_state: str | None
    replicas: int | None
    desired_replicas: int | None
    routable_pods: int | None
    unserved_links: int
    load: int | None
    overloaded: int
    max_links: int
    slots: int | None
    best_pod: str | None
    closing: int
    closing_links: int
    is_paused: bool


class RouteRecord(msgspec.Struct, frozen=True, gc=False):
    """A version of a route.

    Attributes:
        namespace: the namespace.
        name: the name.
        resource_version: the resource version.
        data: the object in JSON, without managedFields.
        card: what the overview shows.
        problems: what is wrong by the status.
        is_observed: whether the status is of the present spec.
        is_deleting: whether it is deleted and waits for its finalizer.
        seen_at: when this process received this version.
    """

    namespace: str
    name: str
    resource_version: int
    data: bytes
    card: Card
    problems: tuple[Problem, ...]
    is_observed: bool
    is_deleting: bool
    seen_at: datetime

    @property
    def partition(self) -> str:
        """The partition of the cache: the namespace."""
        return self.namespace

    @property
    def key(self) -> RouteKey:
        """The key of the route."""
        return RouteKey(self.namespace, self.name)

    def decoded(self) -> Object:
        """Returns the object as the API server returns it."""
        item: Object = msgspec.json.decode(self.data)
        return item


def make_record(item: dict[str, Any]) -> RouteRecord:
    """Returns the record of a route.

    Raises:
        ValueError: the object is not a route.
    """
    now = utc_now()
    try:
        metadata = item["metadata"]
        metadata.pop("managedFields", None)
        return RouteRecord(
            namespace=metadata["namespace"],
            name=metadata["name"],
            resource_version=int(metadata["resourceVersion"]),
            data=msgspec.json.encode(item),
            card=make_card(item, now),
            problems=route_problems(item, now),
            is_observed=is_observed(item),
            is_deleting="deletionTimestamp" in metadata,
            seen_at=now,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"the object is not a StatefulRoute: {error!r}") from error


def route_problems(route: Object, now: datetime) -> tuple[Problem, ...]:
    """Returns what is wrong with a route by its own status, as `statefulroute check` does."""
    return tuple(Problem.of(result) for result in check_route(route, now) if result.level is not Level.OK)


def make_card(route: Object, now: datetime) -> Card:
    """Returns what the overview shows of a route."""
    spec, status = route["spec"], route.get("status", {})
    closing = closing_pods(route)
    return Card(
        namespace=route["metadata"]["namespace"],
        name=route["metadata"]["name"],
        state=state_label(route, now),
        is_ready=condition(route, ConditionType.READY).get("status") == "True",
        routing_state=spec.get("routingState", RoutingState.READY),
        workload=workload_label(route),
        workload_state=status.get("workloadState"),
        replicas=status.get("replicas"),
        desired_replicas=status.get("desiredReplicas"),
        routable_pods=status.get("routablePods"),
        unserved_links=status.get("unservedLinks", 0),
        load=status.get("workloadLoad"),
        overloaded=overload_threshold(route),
        max_links=spec.get("placement", {}).get("maxLinksPerPod", 0),
        slots=spec.get("slots"),
        best_pod=status.get("bestPodName"),
        closing=len(closing),
        closing_links=sum(pod.links for pod in closing),
        is_paused=spec.get("rollout", {}).get("paused", False),
    )


ROUTE_RECORDS = ResourceType(f"/apis/{API_VERSION}/{STATEFUL_ROUTE.plural}", dict[str, Any], make_record)
