"""Which planned disruptions the spec of a route configures. What is not configured costs nothing."""

from statefulroute.api.statefulroute import StatefulRouteSpec


def scales_workload(spec: StatefulRouteSpec) -> bool:
    """Returns whether the route sets the number of pods of its workload."""
    return spec.replicas is not None or spec.autoscaling is not None


def protects_pods(spec: StatefulRouteSpec) -> bool:
    """Returns whether evictions of pods with links are refused."""
    return spec.disruption is not None and spec.disruption.protect


def plans_disruptions(spec: StatefulRouteSpec) -> bool:
    """Returns whether pods of the route may close."""
    return scales_workload(spec) or spec.rollout is not None or spec.disruption is not None
