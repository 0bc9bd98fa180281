"""What a plan depends on: a route, its workload, and its pods at one moment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from statefulroute.api.statefulroute import StatefulRouteSpec
from statefulroute.domain.closing import Closing
from statefulroute.domain.disruption.autoscaling import Recommendation
from statefulroute.domain.keys import PodKey
from statefulroute.domain.workload import Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class PodFacts:
    """A pod of the workload, or the key of a pod that has links and does not exist.

    Attributes:
        key: the key by which links refer to the pod.
        name: the name of the pod.
        uid: the `metadata.uid` of the pod; empty if the pod does not exist.
        links: the number of its links in all routes to the workload.
        is_ready: whether the pod is ready.
        is_ending: whether the pod has failed, or terminates.
        revision: the revision of the workload's template that the pod has; empty if it is not known.
        deletion_cost: the stored deletion cost of the pod.
        is_node_drained: whether the node of the pod is unschedulable, or tainted because it will be removed.
        closing: why the pod is closing by the previous plan; None if it is not.
        is_announced: whether the stored status of each route to the workload shows that the pod is closing.
        links_fell_at: when the pod had more links for the last time, as far as that was observed.
    """

    key: PodKey
    name: str
    uid: str = ""
    links: int = 0
    is_ready: bool = True
    is_ending: bool = False
    revision: str = ""
    deletion_cost: int = 0
    is_node_drained: bool = False
    closing: Closing | None = None
    is_announced: bool = False
    links_fell_at: datetime | None = None

    @property
    def exists(self) -> bool:
        """Whether the pod exists."""
        return bool(self.uid)


@dataclass(frozen=True, slots=True, kw_only=True)
class DisruptionFacts:
    """What a plan depends on.

    Attributes:
        route_name: the name of the route that plans for the workload.
        spec: its spec.
        workload: the workload.
        pods: the pods, and the keys of absent pods with links, sorted.
        now: the current time.
        can_rank_pods: whether the operator sets the order in which the workload's controller removes pods.
        scale_refusal: why the API server refused the last change of the number of pods; None if it did not.
        recommendation: how many pods the route has to have by its autoscaling; None without autoscaling.
        is_route_contested: whether something else changes `spec.replicas` back again and again.
        is_workload_contested: whether something else changes the number of pods of the workload back again and again.
        eviction_refusals: why the API server refused the last eviction of pods.
    """

    route_name: str
    spec: StatefulRouteSpec
    workload: Workload
    pods: Mapping[PodKey, PodFacts]
    now: datetime
    can_rank_pods: bool = False
    scale_refusal: str | None = None
    eviction_refusals: Mapping[PodKey, str] = field(default_factory=dict)
    recommendation: Recommendation | None = None
    is_route_contested: bool = False
    is_workload_contested: bool = False

    @property
    def desired_replicas(self) -> int | None:
        """The number of pods that the workload will have; None if the route does not scale it."""
        return self.spec.replicas if self.recommendation is None else self.recommendation.replicas
