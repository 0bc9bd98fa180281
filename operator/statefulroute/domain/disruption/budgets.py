"""The PodDisruptionBudget of a workload: it refuses the eviction of the pods that are marked as occupied."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256

from statefulroute.api.annotations import OCCUPIED, OCCUPIED_LABEL
from statefulroute.api.vocabulary import RouteReason
from statefulroute.domain.conditions import ConditionState
from statefulroute.domain.keys import WorkloadKey
from statefulroute.domain.label_selector import label_selector
from statefulroute.domain.selector import Membership, Selector
from statefulroute.domain.workload import Workload

_NAME_MAX_LENGTH = 253
_HASH_LENGTH = 10


@dataclass(frozen=True, slots=True)
class Owner:
    """A route that a budget belongs to: Kubernetes deletes the budget when none of its owners exists any more."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Budget:
    """A PodDisruptionBudget.

    Attributes:
        name: the name.
        selector: selects the pods; None selects none.
        owners: the routes that it belongs to; empty if the operator has not made it.
        is_as_made: whether it refuses all evictions but those of unhealthy pods, as the operator makes it.
        uid: the `metadata.uid`; empty if it does not exist yet.
    """

    name: str
    selector: Selector | None
    owners: frozenset[Owner] = frozenset()
    is_as_made: bool = True
    uid: str = ""

    def selects(self, labels: Mapping[str, str]) -> bool:
        """Returns whether the budget selects a pod with these labels."""
        return self.selector is not None and self.selector.matches(labels)

    def is_same(self, other: "Budget") -> bool:
        """Returns whether two budgets differ in their identity at most."""
        return (self.selector, self.owners, self.is_as_made) == (other.selector, other.owners, other.is_as_made)


@dataclass(frozen=True, slots=True)
class BudgetPlan:
    """What to do about the budget of a workload.

    Attributes:
        delete: the budget to delete first; None if there is none.
        create: the budget to create; None if there is none.
        state: the state of the condition EvictionsGuarded once this is done.
    """

    delete: Budget | None
    create: Budget | None
    state: ConditionState


def budget_name(workload: WorkloadKey) -> str:
    """Returns the name of the budget of a workload."""
    name = f"{workload.name}-{workload.kind.lower()}-occupied"
    if len(name) <= _NAME_MAX_LENGTH:
        return name
    digest = sha256(name.encode()).hexdigest()[:_HASH_LENGTH]
    return f"{name[: _NAME_MAX_LENGTH - _HASH_LENGTH - 1].rstrip('-.')}-{digest}"


def make_budget(key: WorkloadKey, workload: Workload, owners: Iterable[Owner]) -> Budget:
    """Returns the budget that a workload should have.

    Raises:
        ValueError: a budget cannot select the pods of the workload.
    """
    pods = workload.selector or Selector.parse(workload.selector_text)
    if pods.is_empty:
        raise ValueError("the workload has no label selector")
    occupied = Membership(OCCUPIED_LABEL, frozenset({OCCUPIED}), is_in=True)
    selector = Selector(pods.memberships | {occupied}, pods.comparisons)
    label_selector(selector)  # a budget can express it
    return Budget(budget_name(key), selector, frozenset(owners))


def plan_budget(wanted: Budget, present: Collection[Budget], pods: Collection[Mapping[str, str]]) -> BudgetPlan:
    """Returns what to do about the budget of a workload.

    The API server refuses every eviction of a pod that two budgets select, with an error after which `kubectl drain`
    gives up. So the operator makes none where there is another one.

    Args:
        wanted: the budget that the workload should have.
        present: the budgets of the namespace.
        pods: the labels of the workload's pods.
    """
    own = next((each for each in present if each.name == wanted.name), None)
    if own is not None and not own.owners:
        return BudgetPlan(None, None, _another(own))
    # Of two budgets of the operator that select the same pods, the first one stays.
    others = (each for each in present if each.name != wanted.name and (not each.owners or each.name < wanted.name))
    occupied = [{**labels, OCCUPIED_LABEL: OCCUPIED} for labels in pods]
    other = min((each for each in others if any(map(each.selects, occupied))), key=lambda each: each.name, default=None)
    if other is not None:
        return BudgetPlan(own, None, _another(other))
    state = (
        True,
        RouteReason.EVICTIONS_GUARDED,
        f"PodDisruptionBudget {wanted.name!r} refuses the eviction of pods with links",
    )
    if own is not None and own.is_same(wanted):
        return BudgetPlan(None, None, state)
    return BudgetPlan(own, wanted, state)


def _another(budget: Budget) -> ConditionState:
    message = (
        f"PodDisruptionBudget {budget.name!r} selects the pods as well, and Kubernetes evicts no pod that two budgets "
        f"select: exclude pods with links from it (add to its selector the expression {OCCUPIED_LABEL} DoesNotExist), "
        "delete it, or set spec.disruption.protect to false"
    )
    return False, RouteReason.ANOTHER_BUDGET, message


def refused(what: str, error: str) -> ConditionState:
    """Returns the state of the condition when the API server has refused a write.

    Args:
        what: what was refused.
        error: the API server's answer.
    """
    return False, RouteReason.GUARD_REFUSED, f"{what} was refused, so evictions do not wait for users: {error}"
