"""The PodDisruptionBudget of a workload: what it selects, and when it is made."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from statefulroute.api.vocabulary import RouteReason
from statefulroute.domain.disruption.budgets import Budget, BudgetPlan, Owner, budget_name, make_budget, plan_budget
from statefulroute.domain.keys import WorkloadKey
from statefulroute.domain.selector import Selector
from unit.domain.builders import workload

GAME = WorkloadKey("play", "apps/v1", "StatefulSet", "game")
OWNER = Owner("game", "uid-1")
NAME = "game-statefulset-occupied"
WANTED = Budget(NAME, Selector.parse("app=game,statefulroute.io/occupied=true"), frozenset({OWNER}))
OWN = replace(WANTED, uid="u-1")
POD = {"app": "game", "statefulset.kubernetes.io/pod-name": "game-0"}


def other(selector: str | None = "app=game", name: str = "theirs", **more: Any) -> Budget:
    return Budget(name, None if selector is None else Selector.parse(selector), uid=f"u-{name}", **more)


def plan(*present: Budget, pods: Sequence[dict[str, str]] = (POD,)) -> BudgetPlan:
    return plan_budget(WANTED, present, pods)


def test_budget_selects_the_occupied_pods_of_the_workload() -> None:
    assert make_budget(GAME, replace(workload(), selector_text="app=game"), [OWNER]) == WANTED
    selected = replace(workload(), selector=Selector.parse("app=game"), first_index=None)
    assert make_budget(GAME, selected, [OWNER]) == WANTED
    assert WANTED.selects({**POD, "statefulroute.io/occupied": "true"})
    assert not WANTED.selects(POD)


@pytest.mark.parametrize("selector", ["", "app>1"], ids=["unknown", "not to be expressed"])
def test_workload_whose_pods_cannot_be_selected_has_no_budget(selector: str) -> None:
    with pytest.raises(ValueError, match="selector"):
        make_budget(GAME, replace(workload(), selector=Selector.parse(selector), selector_text=""), [OWNER])


def test_names_differ_by_kind_and_are_not_too_long() -> None:
    assert budget_name(GAME) == NAME
    assert budget_name(GAME._replace(kind="Deployment")) == "game-deployment-occupied"
    long = budget_name(GAME._replace(name="a" * 250)), budget_name(GAME._replace(name="a" * 251))
    assert [len(name) for name in long] == [253, 253]
    assert long[0] != long[1]


@pytest.mark.parametrize(
    "present",
    [
        other("app=chat"),
        other(None),
        other("app=game,!statefulroute.io/occupied"),
        other(name="z", owners=frozenset({OWNER})),
    ],
    ids=["of other pods", "of no pods", "of pods without links", "of the operator, for another workload"],
)
def test_budget_is_made_beside_others_that_do_not_concern_it(present: Budget) -> None:
    created = plan(present)
    assert (created.delete, created.create) == (None, WANTED)
    assert created.state == (
        True,
        RouteReason.EVICTIONS_GUARDED,
        f"PodDisruptionBudget '{NAME}' refuses the eviction of pods with links",
    )
    assert plan(present, OWN) == BudgetPlan(None, None, created.state)


@pytest.mark.parametrize(
    "present",
    [
        other(),
        other(""),
        other("statefulroute.io/occupied"),
        other(name="a", owners=frozenset({OWNER})),
    ],
    ids=["of the same pods", "of all pods", "of occupied pods", "of the operator, and earlier by name"],
)
def test_budget_is_not_made_where_another_one_selects_the_pods(present: Budget) -> None:
    refused = plan(present)
    assert (refused.delete, refused.create) == (None, None)
    holds, reason, message = refused.state
    assert (holds, reason) == (False, RouteReason.ANOTHER_BUDGET)
    assert f"PodDisruptionBudget '{present.name}' selects the pods as well" in message
    assert "add to its selector the expression statefulroute.io/occupied DoesNotExist" in message
    assert plan(present, OWN) == BudgetPlan(OWN, None, refused.state)


def test_budget_of_somebody_else_with_the_same_name_stays() -> None:
    theirs = other("app=game", NAME)
    assert (plan(theirs).delete, plan(theirs).create) == (None, None)
    assert plan(theirs).state[1] is RouteReason.ANOTHER_BUDGET


@pytest.mark.parametrize(
    "changed",
    [
        replace(OWN, selector=Selector.parse("app=chat")),
        replace(OWN, owners=frozenset({Owner("game", "uid-0")})),
        replace(OWN, is_as_made=False),
    ],
    ids=["selector", "owner", "limits"],
)
def test_budget_that_is_not_as_it_should_be_is_replaced(changed: Budget) -> None:
    replaced = plan(changed)
    assert (replaced.delete, replaced.create) == (changed, WANTED)
