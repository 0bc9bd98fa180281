"""The PodDisruptionBudgets of the namespaces in which routes protect their pods, read from time to time."""

import asyncio
import random
from collections.abc import Callable, Sequence

import structlog

from statefulroute.cluster.budgets import BudgetClient
from statefulroute.cluster.errors import APIError, ClusterError
from statefulroute.cluster.fair_limiter import FairLimiter
from statefulroute.cluster.retry_after import retry_pause
from statefulroute.controllers.deadlines import Deadlines
from statefulroute.domain.disruption.budgets import Budget
from statefulroute.domain.fair_slots import FairSlots
from statefulroute.domain.keys import RouteKey

log = structlog.get_logger(__name__)

#: How often the budgets of a namespace are read: another budget is noticed so late at most.
_PERIOD_SECONDS = 15.0
_JITTER = 0.2

#: How many namespaces are read at the same time.
_PARALLEL_READS = 4

_FORBIDDEN = 403


class NamespaceBudgets:
    """Reads the budgets of each namespace that has a route which protects its pods; nothing else is read.

    Budgets are not watched: a watch would deliver every status that the disruption controller writes, which is one
    for each change of each pod that a budget selects.

    Args:
        client: reads the budgets.
        changed: called with each route of a namespace whose budgets have changed, or could be read again.
    """

    def __init__(self, client: BudgetClient, changed: Callable[[RouteKey], object]) -> None:
        self._client = client
        self._changed = changed
        self._routes: dict[str, set[RouteKey]] = {}
        self._budgets: dict[str, tuple[Budget, ...]] = {}
        self._refusals: dict[str, str] = {}
        self._due: Deadlines[str] = Deadlines(self._start_read)
        self._reads: dict[str, asyncio.Task[None]] = {}
        self._limiter = FairLimiter(FairSlots(_PARALLEL_READS))

    def of(self, route: RouteKey) -> Sequence[Budget] | None:
        """Returns the budgets of a route's namespace; None before they were read. Reads them from now on."""
        namespace = route.namespace
        routes = self._routes.setdefault(namespace, set())
        routes.add(route)
        if namespace not in self._due and namespace not in self._reads:
            self._start_read(namespace)
        return self._budgets.get(namespace)

    def refusal(self, namespace: str) -> str | None:
        """Returns why the API server refused the last read of a namespace; None if it did not."""
        return self._refusals.get(namespace)

    def read_again(self, namespace: str) -> None:
        """Reads the budgets of a namespace soon: some were written."""
        if namespace in self._routes:
            self._due.set(namespace, 0.0)

    def forget(self, route: RouteKey) -> None:
        """Handles a route that does not protect its pods any more; a namespace without such a route is not read."""
        routes = self._routes.get(route.namespace)
        if routes is None:
            return
        routes.discard(route)
        if not routes:
            self._drop(route.namespace)

    def clear(self) -> None:
        """Drops everything: this operator does not lead any more."""
        for namespace in tuple(self._routes):
            self._drop(namespace)

    def _drop(self, namespace: str) -> None:
        del self._routes[namespace]
        self._due.cancel(namespace)
        self._budgets.pop(namespace, None)
        self._refusals.pop(namespace, None)
        if (task := self._reads.pop(namespace, None)) is not None:
            task.cancel()

    def _start_read(self, namespace: str) -> None:
        if namespace in self._routes and namespace not in self._reads:
            self._due.cancel(namespace)
            self._reads[namespace] = asyncio.get_running_loop().create_task(self._read(namespace))

    async def _read(self, namespace: str) -> None:
        before = self._budgets.get(namespace), self._refusals.get(namespace)
        pause = _PERIOD_SECONDS * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - no secret
        try:
            async with self._limiter.slot(RouteKey(namespace, "")):
                self._budgets[namespace] = await self._client.list(namespace)
            self._refusals.pop(namespace, None)
        except ClusterError as error:
            pause = retry_pause(pause, error.retry_after_seconds)
            if isinstance(error, APIError) and error.status == _FORBIDDEN:
                self._refusals[namespace] = error.message
                self._budgets.setdefault(namespace, ())
            log.warning("PodDisruptionBudgets were not read: trying again", namespace=namespace, error=str(error))
        finally:
            if self._reads.get(namespace) is asyncio.current_task():
                del self._reads[namespace]
        if namespace not in self._routes:
            return
        if namespace not in self._due:
            self._due.set(namespace, pause)
        if before != (self._budgets.get(namespace), self._refusals.get(namespace)):
            for route in tuple(self._routes[namespace]):
                self._changed(route)
