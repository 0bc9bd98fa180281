"""Pods of older revisions are replaced without a cut of users."""

from typing import Any

import pytest

from statefulroute.api.limits import CLOSING_PODS_MAX
from statefulroute.api.vocabulary import ClosingReason, ConditionType
from statefulroute.domain.disruption.plan import EvictPod, Plan, SetReplicas
from unit.domain import disruption_facts
from unit.domain.disruption_facts import closing, pod

OLD, NEW = "game-a", "game-b"


def old(key: int, links: int = 0, *, is_closing: bool = False, **more: Any) -> Any:
    return pod(key, links, closing(ClosingReason.ROLLOUT) if is_closing else None, revision=OLD, **more)


def new(key: int, links: int = 0, **more: Any) -> Any:
    return pod(key, links, revision=NEW, **more)


def plan(*pods: Any, rollout: dict[str, Any] | None = None, **more: Any) -> Plan:
    """Returns the plan for a StatefulSet with these pods whose latest revision is NEW."""
    fields = {"replicas": len(pods), "update_revision": NEW, "update_strategy": "OnDelete"}
    return disruption_facts.plan(*pods, rollout=rollout or {}, **{**fields, **more})


def evicted(of: Plan) -> list[str]:
    return [action.name for action in of.actions if isinstance(action, EvictPod)]


def rolled_out(of: Plan) -> tuple[bool, str]:
    holds, reason, _ = of.conditions[ConditionType.ROLLED_OUT]
    return holds, reason


def test_the_last_pod_closes_first_and_waits_for_its_users() -> None:
    planned = plan(old(0, 1), old(1, 1), old(2, 1))
    assert planned.closing == {2: closing(ClosingReason.ROLLOUT)}
    assert (planned.actions, rolled_out(planned)) == ([], (False, "WaitingForUsers"))
    _, _, message = planned.conditions[ConditionType.ROLLED_OUT]
    assert message == (
        "3 pods have an older revision of the StatefulSet 'game'; the next ones wait for the users of game-2 (1 link, "
        "until 2026-01-01T13:00:00Z)"
    )


def test_a_pod_without_users_is_evicted_when_clients_know_it() -> None:
    assert evicted(plan(old(0, 1), old(1, 1), old(2, is_closing=True, is_announced=False))) == []
    planned = plan(old(0, 1), old(1, 1), old(2, is_closing=True))
    assert planned.actions == [EvictPod(2, "game-2", "uid-of-game-2")]
    assert rolled_out(planned) == (False, "RollingOut")


def test_the_next_pod_closes_when_the_replaced_one_is_ready() -> None:
    assert plan(old(0), old(1), old(2, is_ending=True, is_ready=False)).closing == {}
    starting = plan(old(0), old(1), new(2, is_ready=False))
    assert (starting.closing, rolled_out(starting)) == ({}, (False, "NewRevisionNotReady"))
    assert plan(old(0), old(1), new(2)).closing.keys() == {1}


def test_all_pods_have_the_latest_revision() -> None:
    planned = plan(new(0), new(1))
    assert (planned.closing, planned.actions, rolled_out(planned)) == ({}, [], (True, "RolledOut"))
    assert rolled_out(plan(new(0), new(1, is_ready=False))) == (False, "NewRevisionNotReady")


@pytest.mark.parametrize(
    ("pods", "rollout", "closed"),
    [
        pytest.param([old(0), old(1), old(2)], {"maxUnavailable": 2}, {1, 2}, id="two at once"),
        pytest.param([old(0), old(1), old(2, is_ready=False)], {}, {2}, id="one is not ready and serves nobody"),
        pytest.param([old(0), old(1, is_closing=True), old(2)], {}, {1}, id="one that closes goes on"),
        pytest.param([old(0), old(1, is_closing=True), new(2, is_ready=False)], {}, set(), id="one is not available"),
        pytest.param([old(0), old(1), old(2)], {"partition": 2}, {2}, id="a partition"),
        pytest.param([old(0), old(1), new(2)], {"partition": 2}, set(), id="all of a partition have it"),
        pytest.param([old(0), old(1, is_closing=True)], {"paused": True}, set(), id="paused"),
        pytest.param([old(0), old(1)], {"maxUnavailable": 9}, {1}, id="one remains"),
        pytest.param([old(0)], {}, set(), id="the only one"),
        pytest.param([old(0, is_ready=False)], {}, {0}, id="the only one serves nobody"),
        pytest.param([old(0, is_ready=False), new(1, is_ready=False)], {}, set(), id="the latest is not ready"),
    ],
)
def test_so_many_pods_close_that_enough_others_are_available(
    pods: list[Any], rollout: dict[str, Any], closed: set[int]
) -> None:
    assert plan(*pods, rollout=rollout).closing.keys() == closed


def test_a_surge_adds_pods_that_let_others_close() -> None:
    surge = {"surge": 1}
    started = plan(old(0, 1), rollout=surge, spec_replicas=1)
    assert (started.closing, started.actions) == ({}, [SetReplicas(2)])
    assert rolled_out(started) == (False, "NoOtherAvailablePod")
    starting = plan(old(0, 1), new(1, is_ready=False), rollout=surge, spec_replicas=1)
    assert (starting.closing, starting.actions) == ({}, [])
    ready = plan(old(0, 1), new(1), rollout=surge, spec_replicas=1)
    assert ready.closing == {0: closing(ClosingReason.ROLLOUT)}
    assert ready.conditions[ConditionType.SCALED][:2] == (True, "Scaled")
    done = plan(new(0), new(1, 1), rollout=surge, spec_replicas=1)
    assert done.closing == {1: closing()}
    assert (done.actions, rolled_out(done)) == ([], (True, "RolledOut"))


def test_no_pod_is_kept_for_a_surge_if_none_is_desired() -> None:
    planned = plan(old(0, 1), rollout={"surge": 1}, spec_replicas=0)
    assert planned.closing == {0: closing()}
    empty = pod(0, 0, closing(), revision=OLD)
    assert plan(empty, rollout={"surge": 1}, spec_replicas=0).actions == [SetReplicas(0)]


def test_a_pause_keeps_the_pods_of_a_surge_and_adds_none() -> None:
    paused = {"surge": 2, "paused": True}
    planned = plan(old(0, 1), new(1, 1), rollout=paused, spec_replicas=1)
    assert (planned.closing, planned.actions) == ({}, [])
    planned = plan(old(0, 1), rollout=paused, spec_replicas=1)
    assert (planned.closing, planned.actions) == ({}, [])
    planned = plan(new(0, 1), new(1, 1), rollout=paused, spec_replicas=1)
    assert planned.closing.keys() == {1}


def test_a_stateful_set_that_replaces_its_pods_itself_is_reported() -> None:
    planned = plan(old(0), old(1), update_strategy="RollingUpdate")
    assert (planned.closing, planned.actions) == ({}, [])
    assert planned.conditions[ConditionType.ROLLED_OUT] == (
        False,
        "UpdateStrategyNotOnDelete",
        (
            "the StatefulSet 'game' replaces its pods itself, with or without users: set its spec.updateStrategy.type "
            "to OnDelete"
        ),
    )


def test_a_refused_eviction_is_reported_and_repeated() -> None:
    planned = plan(old(0), old(1, is_closing=True), eviction_refusals={1: "no"})
    assert evicted(planned) == ["game-1"]
    assert planned.conditions[ConditionType.ROLLED_OUT] == (
        False,
        "EvictionRefused",
        "2 pods have an older revision of the StatefulSet 'game', and the eviction of game-1 was refused: no",
    )


def test_pods_that_are_scaled_down_close_for_this_reason() -> None:
    planned = plan(old(0), old(1), old(2, 1, is_closing=True), spec_replicas=2)
    assert planned.closing == {2: closing(), 1: closing(ClosingReason.ROLLOUT)}
    assert evicted(planned) == []


def test_pods_that_are_scaled_down_do_not_count_as_available() -> None:
    planned = plan(old(0), old(1), pod(2, 1, closing(), revision=OLD), spec_replicas=2)
    assert planned.closing.keys() == {1, 2}
    planned = plan(old(0), new(1), spec_replicas=1)
    assert planned.closing.keys() == {1}
    planned = plan(old(0), pod(1, 1, closing(), revision=OLD), spec_replicas=1)
    assert planned.closing.keys() == {1}


def test_a_limited_number_of_pods_closes() -> None:
    pods = [old(index, 1) for index in range(300)]
    assert len(plan(*pods, rollout={"maxUnavailable": 250}).closing) == CLOSING_PODS_MAX


def test_pods_whose_revision_is_not_known_are_not_replaced() -> None:
    assert plan(pod(0), pod(1)).closing == {}
    planned = plan(old(0), old(1), update_revision="")
    assert (planned.closing, rolled_out(planned)) == ({}, (False, "RollingOut"))
