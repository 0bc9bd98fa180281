"""The status of a StatefulRoute: what the operator observes of one stateful service."""

from typing import Annotated

from pydantic import Field

from statefulroute.api.limits import LISTED_PODS_MAX, LOST_PODS_MAX
from statefulroute.api.model import LIST_TYPE_ATOMIC, Conditions, Generation, Model, Time
from statefulroute.api.vocabulary import ClosingReason, LossCause, RoutingState, ServiceState, WorkloadState


class PodClosing(Model):
    """Why a pod is about to be removed on purpose, and how long it keeps its users."""

    reason: ClosingReason = Field(description="Why the pod is closing.")
    since: Time = Field(description="Since when the pod takes no new users.")
    deadline: Time = Field(description="Until when the pod keeps its users.")


class PodStatus(Model):
    """The observed state of one pod of the route."""

    index: int | None = Field(
        default=None, description="The index of the pod; absent if the workload's pods have no index.", ge=0
    )
    name: str = Field(description="The name of the pod.")
    service_state: ServiceState = Field(description="The state of the pod in Kubernetes.")
    routing_state: RoutingState = Field(
        description="Which users the pod accepts: the most restrictive routing state from all sources."
    )
    load_state: int | None = Field(default=None, description="The load that the pod reported.")
    waiting_tasks: int | None = Field(default=None, description="The waiting tasks that the pod reported.")
    weighted_load_milli: int | None = Field(
        default=None, description="The weighted load, in thousandths.", json_schema_extra={"format": "int64"}
    )
    load_stale: bool | None = Field(
        default=None,
        description="True if the load is older than load.staleAfterSeconds.",
    )
    not_serving_reason: str | None = Field(
        default=None,
        description="Why the pod does not serve its users, for example Unschedulable, CrashLoopBackOff or Shutdown; "
        "absent if it serves them.",
    )
    links: int = Field(default=0, description="The number of links of the pod in this route.", ge=0)
    total_links: int | None = Field(
        default=None,
        description="The number of links of the pod in all routes to its workload, and of users who are handed over to "
        "it; absent if it is that of links.",
        ge=0,
    )
    slots: int | None = Field(
        default=None,
        description="The number of slots of the pod; one that is handed over counts for the pod that takes it. Absent "
        "if the route has no slots.",
        ge=0,
    )
    new_links: int | None = Field(
        default=None,
        description="The change of the number of links, in all routes to the workload, since the load was reported; "
        "absent if it did not change.",
    )
    report_time: Time | None = Field(
        default=None,
        description="When the pod first reported this load. Later reports of the same load do not change it.",
    )
    revision: str | None = Field(
        default=None,
        description="The revision of the workload's template that the pod has; absent if the route has no rollout.",
    )
    closing: PodClosing | None = Field(
        default=None, description="Why the pod is about to be removed on purpose; absent if it is not."
    )
    handing_over: bool | None = Field(
        default=None,
        description="True if the pod hands its users over to other pods, because it is shut down or its deadline is "
        "over; absent if it does not.",
    )


class OmittedPods(Model):
    """The pods that a status does not list, because the route has too many."""

    count: int = Field(default=0, description="The number of pods that are not listed.", ge=0)
    ready: int = Field(default=0, description="How many of them are ready.", ge=0)
    routable: int = Field(default=0, description="How many of them serve their users.", ge=0)
    available: int = Field(default=0, description="How many of them accept new users.", ge=0)
    fresh_load: int = Field(default=0, description="How many of the available ones have fresh load.", ge=0)
    stale_load: int = Field(default=0, description="How many of the available ones have stale load.", ge=0)
    links: int = Field(default=0, description="The number of their links in this route.", ge=0)


class LostPodStatus(Model):
    """A lost pod that has links."""

    index: int | None = Field(
        default=None, description="The index of the pod; absent if the workload's pods have no index.", ge=0
    )
    name: str = Field(description="The name of the pod.")
    cause: LossCause = Field(description="Why the pod is lost.")
    links: int = Field(description="The number of links of the pod in this route when it was lost.", ge=0)
    lost_time: Time = Field(description="When it was lost.")


class ObservedWorkload(Model):
    """The workload that a status describes."""

    api_version: str = Field(description="The API version of the workload.")
    kind: str = Field(description="The kind of the workload.")
    name: str = Field(description="The name of the workload.")


class StatefulRouteStatus(Model):
    """The observed state of a route."""

    observed_generation: Generation | None = Field(
        default=None, description="The generation of the spec that this status is for."
    )
    routing_state: RoutingState | None = Field(default=None, description="Which users the service accepts.")
    workload_state: WorkloadState | None = Field(default=None, description="How busy the service is.")
    workload_load: int | None = Field(
        default=None,
        description="The mean weighted load of the pods with fresh load, rounded down; compare it with "
        "workloadThresholds.",
    )
    replicas: int | None = Field(default=None, description="The desired number of pods of the workload.", ge=0)
    desired_replicas: int | None = Field(
        default=None,
        description="The number of pods that the workload will have once closing pods are removed; absent if the route "
        "does not scale its workload.",
        ge=0,
    )
    selector: str | None = Field(
        default=None,
        description="The label selector of the pods, for scalers; absent if the route does not scale its workload, "
        "or if the selector is longer than 2048 bytes.",
    )
    ready_replicas: int | None = Field(default=None, description="The number of ready pods.", ge=0)
    routable_pods: int | None = Field(default=None, description="The number of pods that serve users.", ge=0)
    links: int | None = Field(default=None, description="The number of links of the route.", ge=0)
    unserved_links: int | None = Field(
        default=None,
        description="The number of links whose pod does not serve users now, whatever their phase.",
        ge=0,
    )
    best_pod_index: int | None = Field(
        default=None,
        description="The index of the pod that the next user is bound to; absent if no pod is available, or if pods "
        "have no index.",
        ge=0,
    )
    best_pod_name: str | None = Field(
        default=None, description="The name of the pod that the next user is bound to; absent if no pod is available."
    )
    pods: Annotated[tuple[PodStatus, ...], Field(json_schema_extra=LIST_TYPE_ATOMIC)] = Field(
        default=(),
        description=f"The pods of the route; if it has more than {LISTED_PODS_MAX} (fewer with very long names), those "
        "that are drained or do not serve their users, and the best ones for new users. omittedPods counts the others.",
    )
    omitted_pods: OmittedPods | None = Field(
        default=None, description="The pods that are not listed; absent if all are listed."
    )
    lost_pods: Annotated[tuple[LostPodStatus, ...], Field(json_schema_extra=LIST_TYPE_ATOMIC)] = Field(
        default=(),
        description="The lost pods, until they serve their users again or have no links any more; at most "
        f"{LOST_PODS_MAX}.",
    )
    workload: ObservedWorkload | None = Field(
        default=None,
        description="The workload that the operator annotates. If spec.workloadRef names another, the operator removes "
        "its annotations from this one and its pods.",
    )
    operator: str | None = Field(
        default=None,
        description="The operator that has written this status: the holder in its Lease.",
    )
    conditions: Conditions = ()
