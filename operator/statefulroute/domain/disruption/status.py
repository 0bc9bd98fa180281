"""What the status of a route shows of planned disruptions."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from statefulroute.api.route_status import StatefulRouteStatus
from statefulroute.api.vocabulary import ConditionType, RouteReason
from statefulroute.domain.conditions import ConditionState
from statefulroute.domain.disruption.features import protects_pods, scales_workload
from statefulroute.domain.route import Route
from statefulroute.domain.workload import MissingWorkload


@dataclass(frozen=True, slots=True)
class DisruptionStatus:
    """What the last plan for a route states.

    Attributes:
        generation: the generation of the route that was planned for.
        conditions: the conditions of planned disruptions.
        desired_replicas: the number of pods that the workload will have; None if the route does not scale it.
    """

    generation: int = 0
    conditions: Mapping[ConditionType, ConditionState] = field(default_factory=dict)
    desired_replicas: int | None = None


#: The conditions of planned disruptions.
CONDITION_TYPES = frozenset({ConditionType.SCALED, ConditionType.ROLLED_OUT, ConditionType.EVICTIONS_GUARDED})


def stored_status(status: StatefulRouteStatus) -> DisruptionStatus:
    """Returns what the last plan has stated by the status of a route, before this process has planned for it."""
    stored = [each for each in status.conditions if each.type in CONDITION_TYPES]
    return DisruptionStatus(
        min((each.observed_generation or 0 for each in stored), default=0),
        {each.type: (each.status == "True", each.reason, each.message) for each in stored},
        status.desired_replicas,
    )


def other_planner_status(route: Route, planner: str) -> DisruptionStatus:
    """Returns what the status of a route shows if another route plans for its workload.

    Args:
        route: the route.
        planner: the name of the other route.
    """
    message = f"StatefulRoute {planner!r} plans for the same workload, because its name comes first"
    return DisruptionStatus(route.generation, _conditions(route, (False, RouteReason.ANOTHER_ROUTE_SCALES, message)))


def switched_off_status(route: Route) -> DisruptionStatus:
    """Returns what the status of a route shows if planned disruptions are switched off in the operator."""
    message = "planned disruptions are switched off in the operator (--no-plan-disruptions)"
    return DisruptionStatus(route.generation, _conditions(route, (False, RouteReason.SWITCHED_OFF, message)))


def unplanned_status(route: Route, missing: MissingWorkload) -> DisruptionStatus:
    """Returns what the status of a route shows while its workload is missing."""
    conditions = _conditions(route, (False, missing.reason, missing.message))
    return DisruptionStatus(route.generation, conditions, route.spec.replicas)


def _conditions(route: Route, state: ConditionState) -> Mapping[ConditionType, ConditionState]:
    conditions = {}
    if scales_workload(route.spec):
        conditions[ConditionType.SCALED] = state
    if route.spec.rollout is not None:
        conditions[ConditionType.ROLLED_OUT] = state
    if protects_pods(route.spec):
        conditions[ConditionType.EVICTIONS_GUARDED] = state
    return conditions
