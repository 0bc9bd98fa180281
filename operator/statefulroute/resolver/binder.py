"""Binds users who are new, within bounds, and has links that are in use live on."""

import asyncio
from collections.abc import Callable, Container
from functools import partial
from math import ceil

import structlog

from statefulroute.cluster.client import Client
from statefulroute.cluster.clock import Clock, utc_now
from statefulroute.cluster.errors import ClusterError
from statefulroute.cluster.link_store import LinkStore
from statefulroute.domain.assumed_placements import AssumedPlacements
from statefulroute.domain.errors import StatefulRouteError
from statefulroute.domain.keys import PodKey, RouteKey
from statefulroute.domain.link import Link
from statefulroute.domain.operations import renew_link
from statefulroute.domain.route import Route
from statefulroute.resolver.cache import ResolverCache
from statefulroute.resolver.problems import ProblemError, ProblemKind
from statefulroute.resolver.rate_limiter import RateLimiter

log = structlog.get_logger(__name__)

#: Renewals under way at the same time; a link whose turn does not come is renewed at a later use.
_MAX_CONCURRENT_RENEWALS = 64


class Binder:
    """Writes links: at the first request of a uid, and when a temporary one is used that will soon end.

    Args:
        client: how to reach the API server.
        cache: what is known.
        bindings_per_second: how many new links of one route there may be in a second.
        temporary: whether a new link is temporary where nobody says how long it lives; then the route says it.
        deadline_seconds: how long it may take to ask or to write.
        clock: the time of day.
        on_result: is told of each link that is `bound`, `refused` (there are too many) or `renewed`.
    """

    def __init__(  # noqa: PLR0913 - all but three have a default
        self,
        client: Client,
        cache: ResolverCache,
        bindings_per_second: float,
        *,
        temporary: bool = False,
        deadline_seconds: float = 2.0,
        clock: Clock = utc_now,
        on_result: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._client = client
        self._cache = cache
        self._temporary = temporary
        self._deadline_seconds = deadline_seconds
        self._clock = clock
        self._on_result = on_result
        self._rate_limiter = RateLimiter(bindings_per_second)
        self._stores: dict[str, LinkStore] = {}
        self._placements = AssumedPlacements()
        self._renewals: dict[tuple[RouteKey, str], asyncio.Task[None]] = {}
        cache.routes.cache.listen(self._placements.observe_route)

    async def read(self, key: RouteKey, uid: str) -> Link | None:
        """The link of a uid as the API server has it now, or None.

        Raises:
            StatefulRouteError: there is no such service, the uid cannot be right, or no answer came in time.
            ClusterError: the API server answered with an error.
        """
        self._cache.route(key)  # whatever else a path may say is never sent on
        return await self._store(key).get(key.name, uid, fresh=True)

    async def read_all(self, key: RouteKey, uids: list[str]) -> dict[str, Link | None]:
        """The same for many uids. Raises as `read` does."""
        self._cache.route(key)
        return await self._store(key).get_all(key.name, uids, fresh=True)

    async def bind(
        self, key: RouteKey, uid: str, *, ttl_seconds: int | None = None, among: Container[PodKey] | None = None
    ) -> Link:
        """Bind a uid to the best pod, unless it is bound; gives its link.

        Calls at the same time share one flight; among resolvers the API server decides, and all have its answer.

        Args:
            key: the route.
            uid: whom to bind.
            ttl_seconds: how long the link lives; None is as this binder was told.
            among: the pods that may be chosen; None leaves all.

        Raises:
            ProblemError: too many new links are made for this route.
            StatefulRouteError: there is no such service, no pod takes the uid, or no answer came in time.
            ClusterError: the API server answered with an error.
        """
        route = self._cache.route(key)
        if ttl_seconds is None and self._temporary:
            ttl_seconds = route.spec.links.temporary_seconds
        choose = partial(self._choose, route, among)
        await self._store(key).compute_if_absent(key.name, uid, choose, ttl_seconds=ttl_seconds)
        link = self._cache.link(key, uid)
        if link is None:  # whoever has made it has deleted it, too
            raise ProblemError(ProblemKind.CONTENDED, "the link was deleted as soon as it was made: try again")
        return link

    def best_pod(self, route: Route, among: Container[PodKey] | None = None) -> PodKey:
        """The pod that takes the next user. Raises `PodNotAvailableError`."""
        return self._placements.best_pod(route, self._clock(), among)

    def renew_if_due(self, link: Link) -> None:
        """Take note that a link is in use: a temporary one of which less than half of its time is left is renewed."""
        if link.expire_time is None or renew_link(link, self._clock()).write is None:
            return
        turn = (link.route, link.uid)
        if turn in self._renewals or len(self._renewals) >= _MAX_CONCURRENT_RENEWALS:
            return
        task = self._renewals[turn] = asyncio.create_task(self._renew(link))
        task.add_done_callback(lambda _: self._renewals.pop(turn, None))

    async def aclose(self) -> None:
        """Wait for what is being written."""
        await asyncio.gather(*self._renewals.values(), return_exceptions=True)

    async def _choose(self, route: Route, among: Container[PodKey] | None) -> PodKey:
        available = self._cache.available_addresses(route)
        allowed = available.keys() if among is None else {pod for pod in available if pod in among}
        pod = self._placements.best_pod(route, self._clock(), allowed)
        if (wait := self._rate_limiter.take(route.key)) > 0:
            self._on_result("refused")
            raise ProblemError(
                ProblemKind.TOO_MANY_BINDINGS,
                f"uids that nobody has seen come too fast in StatefulRoute {route.name!r}: try again later",
                ceil(wait),
            )
        self._on_result("bound")
        self._placements.assume(route, pod)
        return pod

    async def _renew(self, link: Link) -> None:
        try:
            if await self._store(link.route).renew(link.route.name, link.uid):
                self._on_result("renewed")
        except (StatefulRouteError, ClusterError) as error:
            # It is tried again at the next use; if there is none, it was not needed.
            log.info("a link in use was not renewed", link=link.name, namespace=link.route.namespace, error=str(error))

    def _store(self, key: RouteKey) -> LinkStore:
        store = self._stores.get(key.namespace)
        if store is None:
            links = self._cache.links.reflector_of(key.namespace)
            store = self._stores[key.namespace] = LinkStore(
                self._client,
                key.namespace,
                links=links,
                clock=self._clock,
                deadline_seconds=self._deadline_seconds,
            )
        return store
