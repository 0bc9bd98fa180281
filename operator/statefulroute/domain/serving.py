"""Decides which pods serve their users, and counts the links of those that do not."""

from collections.abc import Mapping

from statefulroute.api.vocabulary import LossCause, NotServingReason, RoutingState, ServiceState
from statefulroute.domain.keys import PodKey
from statefulroute.domain.pod import Pod
from statefulroute.domain.route import RouteView

#: The reasons for states of a pod that Kubernetes does not explain.
_STATE_REASONS = {
    ServiceState.PENDING: NotServingReason.PENDING,
    ServiceState.NOT_READY: NotServingReason.NOT_READY,
    ServiceState.FAILED: NotServingReason.FAILED,
}


def unserved_links(view: RouteView) -> Mapping[PodKey, int]:
    """Returns the number of links of each pod that does not serve its users, or does not exist."""
    # Links may name any number of pods that do not exist, so there is no call for each of them.
    serving = {key for key, pod in view.pods.items() if pod.is_routable}
    return {key: view.link_counts[key] for key in view.link_counts.keys() - serving}


def not_serving_reason(view: RouteView, key: PodKey) -> str | None:
    """Returns why a pod does not serve its users: a `NotServingReason`, or a reason of Kubernetes, node or workload.

    Returns:
        None if the pod is routable.
    """
    if view.missing_workload is not None:
        return view.missing_workload.reason
    pod = view.pods.get(key)
    if pod is None:
        return NotServingReason.POD_NOT_FOUND
    return pod_not_serving_reason(pod.pod, pod.routing_state, node_loss=pod.node_loss)


def pod_not_serving_reason(pod: Pod, routing_state: RoutingState, *, node_loss: LossCause | None = None) -> str | None:
    """Returns why an existing pod does not serve its users.

    Args:
        pod: the pod.
        routing_state: its routing state, from all sources.
        node_loss: why its node is lost: NodeNotReady or NodeGone; None if it is not.
    """
    if pod.is_ready:
        return NotServingReason.SHUTDOWN if routing_state is RoutingState.SHUTDOWN else None
    if node_loss is not None:
        return node_loss
    if pod.service_state is ServiceState.TERMINATING:
        return NotServingReason.TERMINATING
    return pod.not_ready_reason or _STATE_REASONS.get(pod.service_state, NotServingReason.UNKNOWN)
