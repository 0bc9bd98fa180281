"""Guards pods with links against evictions: by a label of these pods, and a PodDisruptionBudget that selects it."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from statefulroute.api.vocabulary import RouteReason
from statefulroute.cluster.budgets import BudgetClient
from statefulroute.cluster.client import Client
from statefulroute.cluster.errors import APIError, ClusterError, ConflictError, NotFoundError, is_outage
from statefulroute.cluster.fair_limiter import FairLimiter
from statefulroute.cluster.informers import Informers
from statefulroute.cluster.writes import PodWriter
from statefulroute.controllers.disruption.namespace_budgets import NamespaceBudgets
from statefulroute.controllers.state_store import RouteStore
from statefulroute.domain.closing import Closing
from statefulroute.domain.conditions import ConditionState
from statefulroute.domain.disruption.budgets import (
    Budget,
    BudgetPlan,
    Owner,
    budget_name,
    make_budget,
    plan_budget,
    refused,
)
from statefulroute.domain.disruption.facts import DisruptionFacts
from statefulroute.domain.disruption.features import plans_disruptions, protects_pods
from statefulroute.domain.disruption.node_drain import mark_changes
from statefulroute.domain.fair_slots import FairSlots
from statefulroute.domain.keys import PodKey, RouteKey
from statefulroute.domain.pod import Pod
from statefulroute.domain.route import Route, RouteView
from statefulroute.domain.workload import Workload

log = structlog.get_logger(__name__)

#: How many labels and budgets are written at the same time, half of them in a single namespace.
_WRITE_SLOTS = 8

#: How soon a write that has failed is repeated.
_RETRY = timedelta(seconds=10)

_NODES_NOT_WATCHED = (
    "the operator serves only some namespaces, so it sees no nodes: pods do not close when their node is drained, and "
    "evictions are not refused"
)


@dataclass(slots=True)
class _Guarded:
    """What is known of a route that protects its pods.

    Attributes:
        state: the state of the condition EvictionsGuarded; None before anything is known.
        emptied: since when each open pod with the label has no links.
        decided: what the last decision about the budget was made from.
        mark_refusal: why the API server refused the last label of a pod; None if it did not.
    """

    state: ConditionState | None = None
    emptied: Mapping[PodKey, datetime] = field(default_factory=dict)
    decided: tuple[Sequence[Budget], Budget, int] | None = None
    mark_refusal: str | None = None


class EvictionGuard:
    """Keeps labels of pods and budgets of workloads as the routes configure them.

    Args:
        client: the client for the API server.
        informers: the caches; without that of nodes, nothing is guarded.
        route_store: the views of routes.
    """

    def __init__(self, client: Client, informers: Informers, route_store: RouteStore) -> None:
        self._client = BudgetClient(client)
        self._informers = informers
        self._route_store = route_store
        self._writer = PodWriter(client, informers.pods)
        self._namespaces = NamespaceBudgets(self._client, self._changed)
        self._guarded: dict[RouteKey, _Guarded] = {}
        self._limiter = FairLimiter(FairSlots(_WRITE_SLOTS))
        self._listeners: list[Callable[[RouteKey], object]] = []

    def listen(self, listener: Callable[[RouteKey], object]) -> None:
        """Calls a function with a route whose guard has to be applied again, because other budgets have changed."""
        self._listeners.append(listener)

    def is_guarding(self, route: RouteKey) -> bool:
        """Returns whether the pods of a route are guarded, or were the last time."""
        return route in self._guarded

    def state(self, route: RouteKey) -> ConditionState | None:
        """Returns the state of the condition EvictionsGuarded of a route that protects its pods; None if unknown."""
        if self._informers.nodes is None:
            return False, RouteReason.NODES_NOT_WATCHED, _NODES_NOT_WATCHED
        guarded = self._guarded.get(route)
        if guarded is None:
            return None
        return guarded.state if guarded.mark_refusal is None else refused("the label of a pod", guarded.mark_refusal)

    async def apply(
        self, view: RouteView, facts: DisruptionFacts, closing: Mapping[PodKey, Closing]
    ) -> datetime | None:
        """Writes the labels of pods and the budget of a route's workload where they are not as they should be.

        Args:
            view: the route, which protects its pods.
            facts: the facts by which it was planned which pods close.
            closing: the closing pods.

        Returns:
            When it has to be applied again, without any change; None if it has not.
        """
        guarded, pods = self._guarded.setdefault(view.route.key, _Guarded()), self._current_pods(view)
        marked = {key for key, pod in pods.items() if pod.is_marked_occupied}
        if self._informers.nodes is None:  # an operator that sees nodes may have marked pods
            is_complete = await self._write_marks(view.route.key, [(pods[key], False) for key in marked], guarded)
            return None if is_complete else facts.now + _RETRY
        is_complete = await self._apply_budget(view, guarded)
        changes = mark_changes(facts, closing, marked, guarded.emptied)
        guarded.emptied = changes.emptied
        is_complete &= await self._write_marks(
            view.route.key,
            [
                *((pods[key], True) for key in changes.mark if key in pods),
                *((pods[key], False) for key in changes.unmark if key in pods),
            ],
            guarded,
        )
        times = (changes.next_check, None if is_complete else facts.now + _RETRY)
        return min((time for time in times if time is not None), default=None)

    def is_left(self, route: Route) -> bool:
        """Returns whether a label or a budget may be left of a route that does not protect its pods any more."""
        if protects_pods(route.spec) or route.key in self._guarded:
            return True
        workload = self._informers.workloads.get(route)
        pods = self._route_store.pods_of(workload) if isinstance(workload, Workload) else ()
        return any(pod.is_marked_occupied for pod in pods)

    async def remove(self, route: Route) -> bool:
        """Removes labels and budget of a workload that a route does not protect any more, unless another route does.

        Returns:
            False if the API server failed, so that another attempt may succeed.
        """
        is_complete = any(each.name != route.name for each in self._owners(route)) or await self._remove_all(route)
        if is_complete and (route.is_deleting or not protects_pods(route.spec)):
            self.forget(route.key)
        return is_complete

    async def _remove_all(self, route: Route) -> bool:
        workload = self._informers.workloads.get(route)
        pods = self._route_store.pods_of(workload) if isinstance(workload, Workload) else ()
        marked = [(pod, False) for pod in pods if pod.is_marked_occupied]
        is_complete = await self._write_marks(route.key, marked, _Guarded())
        try:
            async with self._limiter.slot(route.key):
                await self._delete_budget(route)
        except ClusterError as error:
            log.info("a PodDisruptionBudget was not removed", route=route.key, error=str(error))
            return is_complete and not is_outage(error)
        return is_complete

    def clear(self) -> None:
        """Forgets all routes: this operator does not lead any more."""
        self._guarded.clear()
        self._namespaces.clear()

    def forget(self, route: RouteKey) -> None:
        """Forgets a route. Another operator may continue."""
        self._guarded.pop(route, None)
        self._namespaces.forget(route)

    def _changed(self, route: RouteKey) -> None:
        for listener in self._listeners:
            listener(route)

    async def _delete_budget(self, route: Route) -> None:
        if self._informers.nodes is None:
            return  # this operator makes none
        for budget in await self._client.list(route.namespace):
            if budget.name == budget_name(route.workload_key) and budget.owners:
                await self._client.delete(route.namespace, budget.name, budget.uid)

    async def _apply_budget(self, view: RouteView, guarded: _Guarded) -> bool:
        """Creates or deletes the budget of a workload if necessary; returns False if that has to be repeated."""
        route, workload = view.route, view.workload
        present = self._namespaces.of(route.key)
        if present is None or workload is None:
            return True  # it is applied again when they are known
        if (refusal := self._namespaces.refusal(route.namespace)) is not None:
            guarded.state = refused("reading PodDisruptionBudgets", refusal)
            return True
        try:
            wanted = make_budget(route.workload_key, workload, self._owners(route))
        except ValueError as error:
            guarded.state = refused("a PodDisruptionBudget", str(error))
            return True
        basis = (present, wanted, len(view.pods))
        if guarded.decided is not None and guarded.decided[0] is present and guarded.decided[1:] == basis[1:]:
            return True
        plan = plan_budget(wanted, present, [pod.pod.labels for pod in view.pods.values()])
        try:
            await self._write_budget(route, plan)
        except ClusterError as error:
            log.warning("a PodDisruptionBudget was not written: trying again", route=route.key, error=str(error))
            has_changed = isinstance(error, ConflictError)  # since it was read, for example by the last write
            if isinstance(error, APIError) and not (has_changed or is_outage(error)):
                guarded.state = refused("a PodDisruptionBudget", error.message)
            return False
        guarded.decided, guarded.state = basis, plan.state
        return True

    async def _write_budget(self, route: Route, plan: BudgetPlan) -> None:
        if plan.delete is None and plan.create is None:
            return
        async with self._limiter.slot(route.key):
            try:
                if plan.delete is not None:
                    await self._client.delete(route.namespace, plan.delete.name, plan.delete.uid)
                if plan.create is not None:
                    await self._client.create(route.namespace, plan.create)
            finally:
                self._namespaces.read_again(route.namespace)

    async def _write_marks(self, route: RouteKey, changes: Sequence[tuple[Pod, bool]], guarded: _Guarded) -> bool:
        """Writes labels of pods; returns False if some of them have to be written again."""
        guarded.mark_refusal = None
        if not changes:
            return True
        return all(await asyncio.gather(*(self._write_mark(route, *change, guarded) for change in changes)))

    async def _write_mark(self, route: RouteKey, pod: Pod, is_occupied: bool, guarded: _Guarded) -> bool:  # noqa: FBT001
        async with self._limiter.slot(route):
            try:
                await self._writer.mark_occupied(pod, is_occupied=is_occupied)
            except (ConflictError, NotFoundError):
                return True  # the pod is gone, and its label with it
            except ClusterError as error:
                log.info(
                    "the label of a pod was not written: trying again",
                    pod=pod.name,
                    namespace=pod.namespace,
                    error=str(error),
                )
                if isinstance(error, APIError) and not is_outage(error):
                    guarded.mark_refusal = error.message
                return False
        return True

    def _owners(self, route: Route) -> list[Owner]:
        """Returns the routes that protect the pods of a route's workload; none if the one that plans for it does not.

        Nothing would remove the labels of pods that become empty.
        """
        routes = [each for each in self._route_store.routes_to(route.workload_key) if not each.is_deleting]
        planner = next((each for each in routes if plans_disruptions(each.spec)), None)
        if planner is None or not protects_pods(planner.spec):
            return []
        return [Owner(each.name, each.uid) for each in routes if protects_pods(each.spec)]

    def _current_pods(self, view: RouteView) -> dict[PodKey, Pod]:
        """Returns the current versions of a route's pods: a view does not follow changes of the label."""
        cache, namespace = self._informers.pods.cache, view.route.namespace
        pods = ((key, cache.get(namespace, pod.pod.name)) for key, pod in view.pods.items())
        return {key: pod for key, pod in pods if pod is not None}
