"""A workload is scaled down without a cut of users: pods close, and are removed when they are empty."""

from datetime import timedelta
from typing import Any

import pytest

from statefulroute.api.limits import CLOSING_PODS_MAX
from statefulroute.api.vocabulary import ClosingReason, ConditionType
from statefulroute.domain.closing import Closing
from statefulroute.domain.disruption.plan import Action, Plan, SetReplicas
from unit.domain.builders import NOON
from unit.domain.disruption_facts import absent_pod, closing, plan, pod


def scaled(of: Plan) -> tuple[bool, str]:
    """Returns the status and the reason of the condition Scaled."""
    holds, reason, _ = of.conditions[ConditionType.SCALED]
    return holds, reason


def test_a_route_without_replicas_plans_nothing() -> None:
    assert plan(pod(0), replicas=1) == Plan({}, [], {})


def test_pods_beyond_the_desired_number_close_and_stay_while_they_have_links() -> None:
    planned = plan(pod(0, 3), pod(1, 2), pod(2), pod(3, 1), replicas=4, spec_replicas=2)
    assert planned.closing == {3: closing(), 2: closing()}
    assert planned.actions == []
    assert scaled(planned) == (False, "WaitingForUsers")
    assert planned.desired_replicas == 2
    assert planned.next_check == NOON + timedelta(hours=1)


@pytest.mark.parametrize(
    ("pods", "replicas"),
    [
        pytest.param([pod(2, 0, closing()), pod(3, 0, closing())], 2, id="all that close are empty"),
        pytest.param([pod(2, 1, closing()), pod(3, 0, closing())], 3, id="the last one is empty"),
        pytest.param([pod(2, 0, closing()), pod(3, 1, closing())], 4, id="the last one has links"),
        pytest.param([pod(2, 0, closing()), pod(3, 0, closing(), is_announced=False)], 4, id="it is not announced"),
        pytest.param([pod(2), pod(3)], 4, id="they close since now"),
        pytest.param([pod(2, 0, closing())], 2, id="the last one does not exist"),
        pytest.param([pod(2, 0, closing()), absent_pod(3, 1)], 4, id="users wait for the last one"),
        pytest.param([pod(2, 0, closing(), is_ending=True), pod(3, 0, closing())], 2, id="one is deleted already"),
    ],
)
def test_the_last_pods_are_removed_when_clients_know_and_no_user_is_left(pods: list[Any], replicas: int) -> None:
    planned = plan(pod(0, 3), pod(1, 2), *pods, replicas=4, spec_replicas=2)
    assert planned.actions == ([] if replicas == 4 else [SetReplicas(replicas)])


@pytest.mark.parametrize(("seconds", "is_over"), [(3599, False), (3600, True)])
def test_users_are_moved_at_the_deadline(seconds: int, is_over: bool) -> None:
    now = NOON + timedelta(seconds=seconds)
    planned = plan(pod(0), pod(1, 2, closing()), replicas=2, spec_replicas=1, now=now)
    assert planned.closing[1] == closing(is_over=is_over)
    assert planned.actions == []


@pytest.mark.parametrize(
    ("fell_seconds_ago", "action", "actions"),
    [
        pytest.param(29, "Rebind", [], id="links leave"),
        pytest.param(30, "Rebind", [SetReplicas(1)], id="no link has left for a while"),
        pytest.param(0, "Keep", [SetReplicas(1)], id="links stay with their pod"),
        pytest.param(0, "Release", [], id="links are deleted"),
    ],
)
def test_a_pod_is_removed_with_links_when_none_leaves_after_the_deadline(
    fell_seconds_ago: int, action: str, actions: list[Action]
) -> None:
    known = closing(ago=7200, is_over=True)
    occupied = pod(1, 2, known, links_fell_at=NOON - timedelta(seconds=fell_seconds_ago))
    planned = plan(pod(0), occupied, replicas=2, spec_replicas=1, onPodLost={"action": action})
    assert planned.actions == actions


@pytest.mark.parametrize(("fell_seconds_ago", "actions"), [(49, []), (50, [SetReplicas(1)])])
def test_a_pod_that_hands_its_users_over_has_as_long_as_that_may_take(
    fell_seconds_ago: int, actions: list[Action]
) -> None:
    known = closing(ago=7200, is_over=True)
    occupied = pod(1, 2, known, links_fell_at=NOON - timedelta(seconds=fell_seconds_ago))
    planned = plan(pod(0), occupied, replicas=2, spec_replicas=1, handOver={"timeoutSeconds": 20})
    assert planned.actions == actions


@pytest.mark.parametrize(("fell_seconds_ago", "actions"), [(29, []), (30, [SetReplicas(1)])])
def test_no_pod_is_removed_with_links_while_those_of_other_pods_are_moved(
    fell_seconds_ago: int, actions: list[Action]
) -> None:
    known = closing(ago=7200, is_over=True)
    moving = pod(1, 5, known, links_fell_at=NOON - timedelta(seconds=fell_seconds_ago))
    waiting = pod(2, 5, known, links_fell_at=NOON - timedelta(seconds=3600))
    planned = plan(pod(0), moving, waiting, replicas=3, spec_replicas=1)
    assert planned.actions == actions
    assert planned.next_check == (NOON + timedelta(seconds=1) if not actions else None)


def test_a_pod_that_closes_since_a_later_time_by_another_clock_closes_since_now() -> None:
    planned = plan(pod(0), pod(1, 2, closing(ago=-36_000)), replicas=2, spec_replicas=1)
    assert planned.closing == {1: closing()}


def test_an_edit_of_the_deadline_counts_from_the_beginning() -> None:
    edited = {"replicas": 2, "spec_replicas": 1, "disruption": {"deadlineSeconds": 60}}
    assert plan(pod(0), pod(1, 2, closing(ago=59)), **edited).closing[1] == closing(ago=59, seconds=60)
    assert plan(pod(0), pod(1, 2, closing(ago=60)), **edited).closing[1] == closing(ago=60, seconds=60, is_over=True)


def test_a_reversal_opens_the_pods_and_scales_up_at_once() -> None:
    pods = [pod(0), pod(1, 1, closing()), pod(2, 1, closing())]
    planned = plan(*pods, replicas=3, spec_replicas=2)
    assert planned.closing.keys() == {2}
    planned = plan(*pods, replicas=3, spec_replicas=5)
    assert (planned.closing, planned.actions) == ({}, [SetReplicas(5)])
    assert scaled(planned) == (False, "Scaling")


def test_the_desired_number_is_reached() -> None:
    planned = plan(pod(0), pod(1), replicas=2, spec_replicas=2)
    assert (planned.closing, planned.actions, planned.next_check) == ({}, [], None)
    assert scaled(planned) == (True, "Scaled")


def test_a_refused_scale_is_explained_and_tried_again() -> None:
    planned = plan(pod(0), replicas=1, spec_replicas=2, scale_refusal="the operator may not")
    assert planned.conditions[ConditionType.SCALED] == (
        False,
        "ScaleRefused",
        "the StatefulSet was not scaled to 2 pods: the operator may not",
    )
    assert planned.actions == [SetReplicas(2)]
    assert scaled(plan(pod(0), replicas=1, spec_replicas=1, scale_refusal="the operator may not")) == (True, "Scaled")


def test_the_condition_names_the_users_who_are_waited_for() -> None:
    planned = plan(*[pod(index, index) for index in range(6)], replicas=6, spec_replicas=1)
    _, _, message = planned.conditions[ConditionType.SCALED]
    assert message == (
        "the StatefulSet is scaled down from 6 to 1 pod, and waits for the users of game-5 (5 links, until "
        "2026-01-01T13:00:00Z), game-4 (4 links, until 2026-01-01T13:00:00Z), game-3 (3 links, until "
        "2026-01-01T13:00:00Z) and 2 more pods"
    )


def test_indexes_may_start_at_another_number() -> None:
    planned = plan(pod(5), pod(6, 0, closing()), replicas=2, spec_replicas=1, first=5)
    assert (planned.closing.keys(), planned.actions) == ({6}, [SetReplicas(1)])


def test_of_many_pods_the_last_ones_close_first() -> None:
    planned = plan(*[pod(index, 1) for index in range(300)], replicas=300, spec_replicas=1)
    assert planned.closing.keys() == set(range(300 - CLOSING_PODS_MAX, 300))


def test_indexes_that_no_pod_has_are_removed_at_once() -> None:
    assert plan(pod(0), pod(1, 2), replicas=1_000_000, spec_replicas=1).actions == [SetReplicas(2)]


def deployment(*pods: Any, replicas: int, spec_replicas: int, can_rank_pods: bool = True) -> Plan:
    return plan(*pods, replicas=replicas, spec_replicas=spec_replicas, first=None, can_rank_pods=can_rank_pods)


def test_the_emptiest_pods_of_a_deployment_close() -> None:
    pods = [pod("a", 3), pod("b"), pod("c", 1), pod("d", 2)]
    assert deployment(*pods, replicas=4, spec_replicas=2).closing.keys() == {"b", "c"}


def test_pods_that_are_not_ready_close_first_because_a_replica_set_removes_them_first() -> None:
    pods = [pod("a", 0), pod("b", 5, is_ready=False)]
    assert deployment(*pods, replicas=2, spec_replicas=1).closing.keys() == {"b"}


def test_a_pod_that_closes_goes_on_closing_while_others_get_empty() -> None:
    pods = [pod("a", 3, closing()), pod("b")]
    assert deployment(*pods, replicas=2, spec_replicas=1).closing.keys() == {"a"}


CLOSING: Closing = closing()


@pytest.mark.parametrize(
    ("pods", "replicas"),
    [
        pytest.param([pod("a", 0, CLOSING, deletion_cost=-2), pod("b", 0)], 1, id="it is first in the order"),
        pytest.param([pod("a", 0, CLOSING, deletion_cost=-2), pod("b", 1, deletion_cost=-2)], 2, id="not alone"),
        pytest.param([pod("a", 0, CLOSING, deletion_cost=-1), pod("b", 1, deletion_cost=-2)], 2, id="it is second"),
        pytest.param([pod("a", 0, CLOSING), pod("b", 0)], 2, id="its order is not stored yet"),
        pytest.param([pod("a", 1, CLOSING, deletion_cost=-2), pod("b", 0)], 2, id="it has a link"),
        pytest.param([pod("a", 0, CLOSING, is_ready=False), pod("b", 0)], 1, id="it is not ready"),
        pytest.param(
            [pod("a", 0, CLOSING, deletion_cost=-2), pod("b", 1, is_ready=False)], 2, id="another is not ready"
        ),
        pytest.param([pod("a", 0, CLOSING, is_ending=True), pod("b", 0)], 1, id="it is deleted already"),
    ],
)
def test_a_deployment_is_scaled_when_its_controller_removes_empty_pods_only(pods: list[Any], replicas: int) -> None:
    planned = deployment(*pods, replicas=2, spec_replicas=1)
    assert planned.actions == ([] if replicas == 2 else [SetReplicas(replicas)])


@pytest.mark.parametrize(("spec_replicas", "closed"), [(1, {"a", "b"}), (2, {"a"}), (3, {"a"})])
def test_pods_close_until_the_controller_has_removed_them(spec_replicas: int, closed: set[str]) -> None:
    pods = [pod("a", 0, CLOSING, deletion_cost=-2), pod("b", 1, CLOSING, deletion_cost=-1), pod("c", 2)]
    planned = deployment(*pods, replicas=2, spec_replicas=spec_replicas)
    assert planned.closing.keys() == closed
    assert planned.actions == ([SetReplicas(3)] if spec_replicas == 3 else [])


def test_the_costs_of_pods_are_compared_again_because_no_change_announces_them() -> None:
    planned = deployment(pod("a", 0, CLOSING), pod("b", 0), replicas=2, spec_replicas=1)
    assert planned.next_check == NOON + timedelta(seconds=1)


def test_no_costs_are_compared_while_no_pod_is_scaled_down() -> None:
    drained = pod("a", 0, closing(ClosingReason.NODE_DRAIN), is_node_drained=True)
    facts = {"first": None, "can_rank_pods": True, "disruption": {}}
    planned = plan(drained, pod("b", 0), replicas=2, spec_replicas=2, **facts)
    assert (planned.closing.keys(), planned.next_check) == ({"a"}, None)


def test_workloads_whose_pods_are_not_ranked_are_scaled_at_once() -> None:
    planned = deployment(pod("a", 1), pod("b", 1), replicas=2, spec_replicas=1, can_rank_pods=False)
    assert (planned.closing, planned.actions) == ({}, [SetReplicas(1)])
