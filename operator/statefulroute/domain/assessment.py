"""Assesses how busy a service is."""

from dataclasses import dataclass
from datetime import datetime

from statefulroute.api.vocabulary import WorkloadState
from statefulroute.domain.load import workload_state
from statefulroute.domain.route import RouteView


@dataclass(frozen=True, slots=True)
class Assessment:
    """How busy a service is.

    Attributes:
        state: the workload state; None if no pod has fresh load.
        load_milli: the mean weighted load of the pods with fresh load, in thousandths; None if there are none.
    """

    state: WorkloadState | None = None
    load_milli: int | None = None


def assess(view: RouteView, now: datetime) -> Assessment:
    """Returns how busy the service is, from the pods that serve users and have fresh load."""
    spec = view.route.spec
    loads = [
        load.weighted_milli(spec.load.cpu_factor_percent)
        for pod in view.pods.values()
        if pod.is_routable and (load := view.fresh_load(pod.key, now)) is not None
    ]
    mean = sum(loads) // len(loads) if loads else None
    return Assessment(workload_state(mean, spec.workload_thresholds, spec.routing_state), mean)
