"""The causes of the losses of pods."""

import pytest

from statefulroute.api.vocabulary import LossCause, RoutingState, ServiceState
from statefulroute.domain.keys import PodKey
from statefulroute.domain.loss import current_cause, end_cause, find_losses
from statefulroute.domain.pod import Node, Pod
from statefulroute.domain.route import RouteView
from unit.domain.builders import deployment, named_pod, pod, route, view, workload

NOW, GRACE = 1000.0, 30.0
TERMINATING, FAILED = ServiceState.TERMINATING, ServiceState.FAILED
NOT_READY_NODE = {"n": Node(name="n", resource_version=1, is_ready=False)}


def cause(*views: RouteView, key: PodKey = 1) -> LossCause:
    """Returns the cause of the loss of a pod after these views, each a second later, and the grace period."""
    absent, now = find_losses(views[0], [key], {}, NOW).absent, NOW
    for route_view in views[1:]:
        now += 1
        absent = find_losses(route_view, [key], absent, now).absent
    return find_losses(views[-1], [key], absent, now + GRACE).lost[key].cause


def disrupted(reason: str, state: ServiceState = TERMINATING) -> Pod:
    return pod(1, state, disruption=reason)


@pytest.mark.parametrize(
    ("route_view", "expected"),
    [
        (view(), LossCause.POD_DELETED),
        (view(pod(1, TERMINATING)), LossCause.POD_DELETED),
        (view(pod(1, FAILED)), LossCause.POD_FAILED),
        (view(disrupted("EvictionByEvictionAPI")), LossCause.POD_EVICTED),
        (view(disrupted("PreemptionByScheduler")), LossCause.POD_EVICTED),
        (view(disrupted("TerminationByKubelet", FAILED)), LossCause.POD_EVICTED),
        (view(disrupted("DeletionByTaintManager")), LossCause.NODE_NOT_READY),
        (view(disrupted("DeletionByPodGC", FAILED)), LossCause.NODE_GONE),
        (view(disrupted("AReasonOfALaterKubernetes")), LossCause.POD_EVICTED),
        (view(pod(1, node_name="n"), nodes=NOT_READY_NODE), LossCause.NODE_NOT_READY),
        (view(workload=workload(1)), LossCause.SCALED_DOWN),
        (view(pod(1, reported_routing_state=RoutingState.SHUTDOWN)), LossCause.SHUTDOWN),
        (view(workload=None), LossCause.WORKLOAD_GONE),
    ],
)
def test_loss_has_the_cause_that_is_visible(route_view: RouteView, expected: LossCause) -> None:
    assert cause(route_view) is expected
    assert current_cause(route_view, 1) is expected


@pytest.mark.parametrize(
    "views",
    [
        (view(disrupted("EvictionByEvictionAPI")), view()),
        (view(pod(1, node_name="n", disruption="EvictionByEvictionAPI"), nodes=NOT_READY_NODE), view()),
    ],
    ids=["evicted", "node not ready"],
)
def test_cause_survives_the_deletion_of_the_pod(views: tuple[RouteView, ...]) -> None:
    assert cause(*views) is find_losses(views[0], [1], {}, NOW).absent[1].cause is not LossCause.POD_DELETED


def test_cause_of_a_named_pod_survives_its_deletion() -> None:
    evicted = named_pod("game-a", TERMINATING, disruption="EvictionByEvictionAPI")
    assert (
        cause(view(evicted, workload=deployment()), view(workload=deployment()), key="game-a") is LossCause.POD_EVICTED
    )


@pytest.mark.parametrize("pods", [(), (pod(1, TERMINATING),), (pod(1, FAILED),)], ids=["deleted", "ends", "failed"])
def test_cause_that_an_earlier_version_of_the_pod_showed_is_the_cause(pods: tuple[Pod, ...]) -> None:
    assert cause(view(*pods, end_causes={1: LossCause.POD_EVICTED})) is LossCause.POD_EVICTED


@pytest.mark.parametrize(
    ("tested_pod", "expected"),
    [
        (pod(1), None),
        (pod(1, TERMINATING), None),
        (pod(1, FAILED), LossCause.POD_FAILED),
        (disrupted("EvictionByEvictionAPI", ServiceState.READY), LossCause.POD_EVICTED),
    ],
)
def test_version_of_a_pod_shows_why_it_ends(tested_pod: Pod, expected: LossCause | None) -> None:
    assert end_cause(tested_pod) is expected


def test_scale_down_is_the_cause_even_if_the_pod_was_absent_before() -> None:
    assert cause(view(pod(1, TERMINATING)), view(workload=workload(1))) is LossCause.SCALED_DOWN


def test_cause_of_an_earlier_absence_is_forgotten_when_the_pod_returns() -> None:
    views = (view(pod(1, node_name="n"), nodes=NOT_READY_NODE), view(pod(1)), view())
    assert cause(*views) is LossCause.POD_DELETED


def test_lost_pod_of_a_route_without_a_grace_period_has_its_cause_at_once() -> None:
    route_view = view(disrupted("EvictionByEvictionAPI"), route=route(onPodLost={"graceSeconds": 0}))
    assert find_losses(route_view, [1], {}, NOW).lost[1].cause is LossCause.POD_EVICTED
