"""Binds new users at a limited rate, and renews temporary links that are in use."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Container, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from math import ceil
from typing import TypeVar

import structlog

from statefulroute.cluster.client import Client
from statefulroute.cluster.clock import IntervalClock, utc_interval
from statefulroute.cluster.errors import ClusterError
from statefulroute.cluster.fair_limiter import FairLimiter
from statefulroute.cluster.link_store import LinkStore
from statefulroute.cluster.retry_after import retry_pause
from statefulroute.domain.assumed_placements import AssumedPlacements
from statefulroute.domain.errors import (
    DeadlineExceededError,
    LinkLimitReachedError,
    PodNotAvailableError,
    StatefulRouteError,
)
from statefulroute.domain.fair_slots import FairSlots
from statefulroute.domain.keys import PodKey, RouteKey
from statefulroute.domain.link import Link
from statefulroute.domain.link_limiter import LinkLimiter
from statefulroute.domain.operations import Step, renew_link, request_pod
from statefulroute.domain.rate_limiter import RateLimiter
from statefulroute.domain.route import Route
from statefulroute.domain.times import TimeInterval
from statefulroute.resolver.cache import ResolverCache
from statefulroute.rest.problems import ProblemError, ProblemKind

ResultT = TypeVar("ResultT")

log = structlog.get_logger(__name__)

#: The maximal number of concurrent renewals. Beyond it, a link is renewed at a later use.
_MAX_CONCURRENT_RENEWALS = 64

#: The maximal number of concurrent reads and changes of links for callers: half of the connections, so that bindings
#: always have the others.
_MAX_CONCURRENT_READS = 16


class Binder:
    """Creates the link of a uid at its first request, and renews a temporary link at its use.

    Args:
        client: the client of the API server.
        cache: the resolver's cache.
        bindings_per_second: the maximal rate of new links of one route.
        temporary: whether a new link without an explicit TTL is temporary, with the TTL of its route.
        keep_managed_fields: whether the managedFields of links stay; otherwise each write of a spec removes them.
        deadline_seconds: the time limit of a read or write.
        clock: the time of day by both clocks.
        expiry_clock: the same, with the time by which links end as the earliest; None is `clock`.
        on_result: called for each link that is `bound`, `requested` (created for the operator to choose its pod),
            `refused` (above the rate), `limited` (the route or its namespace has as many links as it may have) or
            `renewed`.
    """

    def __init__(  # noqa: PLR0913 - all but three have a default
        self,
        client: Client,
        cache: ResolverCache,
        bindings_per_second: float,
        *,
        temporary: bool = True,
        keep_managed_fields: bool = False,
        deadline_seconds: float = 2.0,
        clock: IntervalClock = utc_interval,
        expiry_clock: IntervalClock | None = None,
        on_result: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._client = client
        self._cache = cache
        self._temporary = temporary
        self._keep_managed_fields = keep_managed_fields
        self._deadline_seconds = deadline_seconds
        self._clock = clock
        self._expiry_clock = expiry_clock or clock
        self._on_result = on_result
        self._rate_limiter = RateLimiter(bindings_per_second, time.monotonic)
        self._confirmations = RateLimiter(bindings_per_second, time.monotonic)
        self._reads = FairLimiter(FairSlots(_MAX_CONCURRENT_READS))
        self._stores: dict[str, LinkStore] = {}
        self._limiter = LinkLimiter(self._route_of, lambda route: len(cache.links.cache.in_partition(route.key)))
        self._placements = AssumedPlacements()
        self._renewals: dict[tuple[RouteKey, str], asyncio.Task[None]] = {}
        self._no_renewal_before = 0.0
        """Until when the API server asks not to renew links, in monotonic seconds."""
        cache.routes.cache.listen(self._placements.observe_route)

    async def read_bound(self, key: RouteKey, uid: str) -> Link | None:
        """Reads the link that binds a uid from the API server: its own, otherwise that of its slot; or None.

        Raises:
            StatefulRouteError: the service does not exist, the uid is invalid, or the API server did not respond.
            ClusterError: the API server responded with an error.
        """
        self._cache.route(key)  # only names of known routes reach the API server
        async with self._slot(key):
            return await self._store(key).get_bound(key.name, uid, fresh=True)

    async def execute(
        self, key: RouteKey, uid: str, rule: Callable[[Link | None, TimeInterval], Step[ResultT]]
    ) -> ResultT:
        """Executes a domain rule on the link of a uid and returns its result.

        Raises:
            LinkLimitReachedError: the link would be new, and there are as many as there may be.
            StatefulRouteError: the service does not exist, the uid is invalid, or the API server did not respond.
            ClusterError: the API server responded with an error.
        """
        self._cache.route(key)
        with self._counting_limits():
            async with self._slot(key):
                return await self._store(key).execute(key.name, uid, rule)

    async def read_all(self, key: RouteKey, uids: Iterable[str]) -> dict[str, Link | None]:
        """Reads the links that bind many uids. Raises the errors of `read_bound`."""
        links: dict[str, Link | None] = {}
        left = iter(uids)

        async def read_next() -> None:
            for uid in left:
                links[uid] = await self.read_bound(key, uid)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(_MAX_CONCURRENT_READS):
                    group.create_task(read_next())
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return links

    async def bind(
        self,
        key: RouteKey,
        uid: str,
        *,
        ttl_seconds: int | None = None,
        among: Container[PodKey] | None = None,
        may_wait: bool = False,
    ) -> Link:
        """Binds a uid to the best pod, unless it is bound; returns its link.

        Concurrent calls share one request. If several resolvers bind a uid, the API server accepts one link, which all
        of them return. The link of a uid that is not to be bound is read: the cache may not have it yet.

        Args:
            key: the route.
            uid: the user.
            ttl_seconds: the TTL of the link; None is the binder's default.
            among: the pods to choose from; None is all.
            may_wait: whether the request waits if no pod is available, or the rate is exceeded. It does not count as
                refused then, and its link is not read.

        Raises:
            ProblemError: the rate of new links of this route is exceeded.
            LinkLimitReachedError: the route or its namespace has as many links as it may have.
            StatefulRouteError: the service does not exist, no pod is available, or the API server did not respond.
            ClusterError: the API server responded with an error.
        """
        route = self._cache.route(key)
        choose = partial(self._choose, route, among)
        await self._bind(key, uid, choose, self.ttl_seconds(route, ttl_seconds), may_wait=may_wait)
        link = self._cache.link(key, uid)
        if link is None:  # deleted since
            raise ProblemError(ProblemKind.CONTENDED, "the link was deleted as soon as it was made: try again")
        return link

    async def bind_to(self, key: RouteKey, uid: str, pod: PodKey) -> PodKey:
        """Binds a uid to a pod, unless it is bound; returns the pod that it is bound to.

        A new link has the TTL of the binder's default. The errors are those of `bind`.
        """
        route = self._cache.route(key)
        return await self._bind(key, uid, partial(self._count_new, route, pod), self.ttl_seconds(route, None))

    def take_token(self, key: RouteKey) -> float:
        """Takes a token for a new link of a route; returns 0, or the seconds until there is one."""
        return self._rate_limiter.take(key)

    def give_back_token(self, key: RouteKey) -> None:
        """Gives back a token that was taken and not used."""
        self._rate_limiter.give_back(key)

    def count_refused(self) -> None:
        """Counts a uid that waited for a token in vain."""
        self._on_result("refused")

    async def create(self, key: RouteKey, uid: str, *, ttl_seconds: int | None = None) -> None:
        """Creates the link of a uid for which a token was taken, unless it exists.

        The link names the best pod. If no pod is available, it names none, and the operator chooses one later. The
        arguments and errors are those of `bind`.
        """
        route = self._cache.route(key)
        ttl_seconds = self.ttl_seconds(route, ttl_seconds)
        store = self._store(key)
        try:
            pod = self._placements.best_pod(route, self._clock().earliest, self._cache.available_addresses(route))
        except PodNotAvailableError:
            request = partial(request_pod, ttl_seconds=ttl_seconds)
            with self._counting_limits():
                await store.execute(key.name, uid, request, expect_absent=True)
            self._on_result("requested")
            return

        async def choose() -> PodKey:
            self._on_result("bound")
            self._placements.assume(route, pod)
            return pod

        with self._counting_limits():
            await store.compute_if_absent(key.name, uid, choose, ttl_seconds=ttl_seconds)

    def assume(self, route: Route, pod: PodKey) -> None:
        """Counts a user on a pod until the status of the route does."""
        self._placements.assume(route, pod)

    def ttl_seconds(self, route: Route, ttl_seconds: int | None) -> int | None:
        """Returns the TTL of a new link if its creator asks for this one; None asks for the default."""
        return route.spec.links.temporary_seconds if ttl_seconds is None and self._temporary else ttl_seconds

    def best_pod(self, route: Route, among: Container[PodKey] | None = None) -> PodKey:
        """Returns the pod for the next user. Raises `PodNotAvailableError`."""
        return self._placements.best_pod(route, self._clock().earliest, among)

    def renew_if_due(self, link: Link) -> None:
        """Starts the renewal of a link in use, if it is temporary and less than half of its TTL is left."""
        uid = link.uid
        if uid is None or link.expire_time is None or renew_link(link, self._expiry_clock()).write is None:
            return
        key = (link.route, uid)
        if key in self._renewals or len(self._renewals) >= _MAX_CONCURRENT_RENEWALS:
            return
        if time.monotonic() < self._no_renewal_before:
            return
        task = self._renewals[key] = asyncio.create_task(self._renew(link, uid))
        task.add_done_callback(lambda _: self._renewals.pop(key, None))

    async def aclose(self) -> None:
        """Waits for the renewals in progress."""
        await asyncio.gather(*self._renewals.values(), return_exceptions=True)

    @asynccontextmanager
    async def _slot(self, key: RouteKey) -> AsyncIterator[None]:
        """Waits for one of the slots for reads and changes of callers, within the time limit of an operation."""
        try:
            async with asyncio.timeout(self._deadline_seconds), self._reads.slot(key):
                yield
        except TimeoutError as error:
            raise DeadlineExceededError(
                f"the API server did not answer within {self._deadline_seconds:g} s, or too many links are being read"
            ) from error

    @contextmanager
    def _counting_limits(self) -> Iterator[None]:
        """Counts a link that a limit of the number of links refuses."""
        try:
            yield
        except LinkLimitReachedError:
            self._on_result("limited")
            raise

    async def _bind(
        self,
        key: RouteKey,
        uid: str,
        choose: Callable[[], Awaitable[PodKey]],
        ttl_seconds: int | None,
        *,
        may_wait: bool = False,
    ) -> PodKey:
        """Binds a uid to a chosen pod, unless it is bound; returns the pod that it is bound to."""
        with self._counting_limits():
            try:
                return await self._store(key).compute_if_absent(key.name, uid, choose, ttl_seconds=ttl_seconds)
            except (PodNotAvailableError, LinkLimitReachedError, ProblemError) as refusal:
                if may_wait and not isinstance(refusal, LinkLimitReachedError):
                    raise
                if (holder := await self._read_holder(key, uid)) is not None:
                    return holder
                if isinstance(refusal, ProblemError):
                    self._on_result("refused")
                raise

    async def _read_holder(self, key: RouteKey, uid: str) -> PodKey | None:
        """Reads the pod that the own link of a uid names; None if there is none, or too many are read.

        The reads have the rate of new links: invented uids that are refused must not cost more.
        """
        if self._confirmations.take(key) > 0:
            return None
        async with self._slot(key):
            link = await self._store(key).get(key.name, uid, fresh=True)
        return None if link is None else link.pod

    async def _choose(self, route: Route, among: Container[PodKey] | None) -> PodKey:
        available = self._cache.available_addresses(route)
        allowed = available.keys() if among is None else {pod for pod in available if pod in among}
        pod = self._placements.best_pod(route, self._clock().earliest, allowed)
        return await self._count_new(route, pod)

    async def _count_new(self, route: Route, pod: PodKey) -> PodKey:
        """Counts a user who is to be bound to a pod; returns the pod. Raises `ProblemError` if the rate is exceeded."""
        if (wait := self._rate_limiter.take(route.key)) > 0:
            raise ProblemError(
                ProblemKind.TOO_MANY_BINDINGS,
                f"too many new uids in StatefulRoute {route.name!r}: try again later",
                ceil(wait),
            )
        self._on_result("bound")
        self._placements.assume(route, pod)
        return pod

    async def _renew(self, link: Link, uid: str) -> None:
        try:
            if await self._store(link.route).renew(link.route.name, uid):
                self._on_result("renewed")
        except (StatefulRouteError, ClusterError) as error:
            # The next use tries again, after the pause that the API server asks for.
            if isinstance(error, ClusterError):
                self._no_renewal_before = time.monotonic() + retry_pause(0.0, error.retry_after_seconds)
            log.info("a link in use was not renewed", link=link.name, namespace=link.route.namespace, error=str(error))

    def _route_of(self, key: RouteKey) -> Route | None:
        return self._cache.routes.cache.get(key.namespace, key.name)

    async def _slots_of(self, namespace: str, name: str) -> int | None:
        return self._cache.slots_of(RouteKey(namespace, name))

    def _store(self, key: RouteKey) -> LinkStore:
        store = self._stores.get(key.namespace)
        if store is None:
            links = self._cache.links.reflector_of(key.namespace)
            store = self._stores[key.namespace] = LinkStore(
                self._client,
                key.namespace,
                links=links,
                clock=self._expiry_clock,
                deadline_seconds=self._deadline_seconds,
                keep_managed_fields=self._keep_managed_fields,
                limiter=self._limiter,
                slots_of=partial(self._slots_of, key.namespace),
            )
        return store
