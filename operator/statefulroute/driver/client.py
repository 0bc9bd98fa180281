"""The driver of a caller: finds the pod of a user, and binds new users."""

import asyncio
from collections.abc import Iterable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Self

from statefulroute.api.limits import ENCODED_UID_PREFIX
from statefulroute.api.statefulroute import PodStatus
from statefulroute.cluster.client import Client
from statefulroute.cluster.clock import IntervalClock, utc_interval
from statefulroute.cluster.codec import ENDPOINTS
from statefulroute.cluster.errors import ClusterError
from statefulroute.cluster.link_store import LinkStore
from statefulroute.cluster.reflector import Reflector
from statefulroute.domain import service as services
from statefulroute.domain.address import Address, link_address
from statefulroute.domain.assumed_placements import AssumedPlacements
from statefulroute.domain.errors import (
    DeadlineExceededError,
    InternalError,
    ServiceNotFoundError,
)
from statefulroute.domain.keys import PodKey, RouteKey
from statefulroute.domain.link import Link
from statefulroute.domain.operations import active_link
from statefulroute.domain.pod import Endpoint
from statefulroute.domain.route import Route
from statefulroute.domain.unlisted_pods import linked_pod_name, pod_name, unlisted_pods
from statefulroute.driver import events
from statefulroute.driver.link_cache import MAX_LINKS, LinkCache
from statefulroute.driver.operation_log import log_operation, make_logger
from statefulroute.driver.parts import Logger
from statefulroute.driver.routes import BACKOFF_SECONDS, RouteCache

#: The time limit of an operation, and of the first synchronization of the caches.
_DEADLINE_SECONDS = 10.0
_CONNECTIONS = 32


class ClientDriver:
    """Runs in a caller of a stateful service: a gateway, another service, or a script. An async context manager.

    The driver caches routes, links and pods by watches, so most reads cost no request, and work while the API server
    is unavailable. It sees its own writes at once. All methods may be called concurrently from many tasks. Operations
    that send requests log one line; reads from the caches log nothing.

    Args:
        client: the client of the API server; it may be shared, and stays open.
        namespace: the namespace of the services.
        services: the services whose links are cached; None caches all, an empty list none.
        max_links: the maximal number of cached links; if there are more, each link is read from the API server.
        deadline_seconds: the time limit of an operation.
        clock: the time of day by both clocks.
        logger: the driver's logger, of the logging module or of structlog; None is one of the logging module.
        hash_uids: whether logs have hashes instead of uids, in all lines of the library in this process.
        keep_managed_fields: whether the managedFields of links stay; otherwise each write of a spec removes them.
    """

    def __init__(  # noqa: PLR0913 - all but two have a default
        self,
        client: Client,
        namespace: str,
        *,
        services: Iterable[str] | None = None,
        max_links: int = MAX_LINKS,
        deadline_seconds: float = _DEADLINE_SECONDS,
        clock: IntervalClock = utc_interval,
        logger: Logger | None = None,
        hash_uids: bool = False,
        keep_managed_fields: bool = False,
    ) -> None:
        self._namespace = namespace
        self._deadline_seconds = deadline_seconds
        self._clock = clock
        self._log = make_logger(logger, __name__, hash_uids=hash_uids)
        self._routes = RouteCache(client, namespace)
        self._cache = LinkCache(client, namespace, services, max_links)
        self._pods = Reflector(client, ENDPOINTS.in_namespace(namespace), BACKOFF_SECONDS)
        self._store = LinkStore(
            client,
            namespace,
            links=self._cache,
            clock=clock,
            deadline_seconds=deadline_seconds,
            keep_managed_fields=keep_managed_fields,
        )
        self._keys: dict[str, RouteKey] = {}
        self._placements = AssumedPlacements()
        self._events = events.EventBroadcaster()
        self._stack = AsyncExitStack()
        self._cache.listen(lambda old, new: self._events.publish(events.link_changes(old, new)))
        self._cache.on_disabled(lambda: self._events.publish([events.LinksNotFollowed()]))
        self._routes.listen_all(self._route_changed)

    @classmethod
    async def connect(  # noqa: PLR0913 - each has a default
        cls,
        namespace: str | None = None,
        *,
        kubeconfig: Path | None = None,
        context: str | None = None,
        services: Iterable[str] | None = None,
        max_links: int = MAX_LINKS,
        logger: Logger | None = None,
        hash_uids: bool = False,
        keep_managed_fields: bool = False,
    ) -> Self:
        """Returns a driver with its own connection, by the ServiceAccount of this pod, or by a kubeconfig outside one.

        Use it as a context manager: `async with await ClientDriver.connect() as client`.

        Args:
            namespace: the namespace of the services; None is the namespace of this pod.
            kubeconfig: the path of a kubeconfig; None uses the one that kubectl uses.
            context: the kubeconfig's context; None is its current one.
            services: as for the class.
            max_links: as for the class.
            logger: as for the class.
            hash_uids: as for the class.
            keep_managed_fields: as for the class.

        Raises:
            InvalidParameterError: the namespace is None, and the process does not run in a pod.
            StatefulRouteError: no cluster is configured.
        """
        from statefulroute.cluster.connection import connect  # noqa: PLC0415 - slow to import
        from statefulroute.driver.environment import namespace_of_pod  # noqa: PLC0415

        namespace = namespace or namespace_of_pod()
        stack = AsyncExitStack()
        try:
            connection = await stack.enter_async_context(connect(kubeconfig, context))
        except ClusterError as error:
            raise InternalError(str(error)) from error
        client = await stack.enter_async_context(Client(connection, _CONNECTIONS))
        driver = cls(
            client,
            namespace,
            services=services,
            max_links=max_links,
            logger=logger,
            hash_uids=hash_uids,
            keep_managed_fields=keep_managed_fields,
        )
        driver._stack = stack
        return driver

    async def __aenter__(self) -> Self:
        try:
            self._stack.callback(self._events.end)
            await self._stack.enter_async_context(self._routes)
            await self._stack.enter_async_context(self._cache)
            pod_watch = asyncio.create_task(self._pods.run())
            self._stack.push_async_callback(_cancel, pod_watch)
            with log_operation(self._log, "connect", namespace=self._namespace):
                await self._wait_synced()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _wait_synced(self) -> None:
        try:
            async with asyncio.timeout(self._deadline_seconds):
                await self._routes.wait_synced()
                await self._cache.wait_synced()
                await self._pods.synced.wait()
        except TimeoutError as error:
            raise DeadlineExceededError(
                f"routes, links and pods of namespace {self._namespace!r} were not read within "
                f"{self._deadline_seconds:g} s: is the API server there, and may this account list them?"
            ) from error

    # Reads of links.

    async def get_linked_pod(self, uid: str, service: str, *, fresh: bool = False) -> PodKey | None:
        """Returns the pod that holds a uid, or None.

        Args:
            uid: the user.
            service: the name of the StatefulRoute.
            fresh: whether to read from the API server instead of the cache.

        Raises:
            InvalidParameterError: a parameter is invalid; no request was sent.
            DeadlineExceededError: the API server did not respond in time.
            StatefulRouteError: the API server responded with an error.
        """
        if not fresh and (link := self._cached_link(uid, service)) is not None:
            return link.pod
        link = await self._get(uid, service, fresh=fresh)
        return link.pod if link else None

    async def get_linked_pod_if_persistent(self, uid: str, service: str, *, fresh: bool = False) -> PodKey | None:
        """Returns the pod that holds a uid by a persistent link, or None.

        Takes the parameters of `get_linked_pod` and raises the same errors.
        """
        link = None if fresh else self._cached_link(uid, service)
        link = link or await self._get(uid, service, fresh=fresh)
        return link.pod if link and link.ttl_seconds is None else None

    async def links_of(self, uid: str, among: Iterable[str] | None = None) -> dict[str, PodKey]:
        """Returns the pod that holds a uid, by service. Raises the errors of `get_linked_pod`.

        Args:
            uid: the user.
            among: the services to search; None searches all of the namespace.
        """
        searched = [route.name for route in self._routes.all()] if among is None else list(among)
        with log_operation(self._log, "links_of", uid=uid) as outcome:
            pods = await self._store.links_of(uid, searched)
            outcome.add(links=pods)
            return pods

    async def batch_get(self, uids: Iterable[str], service: str) -> dict[PodKey, list[str]]:
        """Returns the given uids by the pod that holds them; omits unlinked uids. Raises as `get_linked_pod` does."""
        uids = list(uids)
        with log_operation(self._log, "batch_get", uids=len(uids), service=service):
            return await self._store.batch_get(service, uids)

    async def address_of(self, uid: str, service: str) -> Address | None:
        """Returns the address of the pod that holds a uid, or None if no pod does.

        Raises:
            StatefulRouteError: as `get_linked_pod`.
            PodNotFoundError: the pod does not exist at present.
            PodNotRoutableError: the pod does not serve its users at present.
        """
        link = self._cached_link(uid, service) or await self._get(uid, service, fresh=False)
        if link is None or link.pod is None:
            return None
        route = self._route(service)
        pod_status = services.find_pod(route, link.pod, linked_pod_name(route, link), self._endpoint)
        return link_address(link, route, pod_status, self._endpoint(pod_status.name))

    # Binding.

    async def link_if_absent(self, uid: str, service: str, pod: PodKey, *, ttl_seconds: int | None = None) -> PodKey:
        """Binds a uid to a pod, unless it is bound. Renews an existing temporary link.

        Args:
            uid: the user.
            service: the name of the StatefulRoute.
            pod: the pod's index in a StatefulSet, otherwise its name.
            ttl_seconds: the TTL of the link; None makes a persistent link.

        Returns:
            The pod that holds the uid now.

        Raises:
            InvalidParameterError: a parameter is invalid; no request was sent.
            DeadlineExceededError: the API server did not respond in time.
            StatefulRouteError: the API server responded with an error.
        """
        with log_operation(
            self._log, "link_if_absent", uid=uid, service=service, pod=pod, ttl_seconds=ttl_seconds
        ) as outcome:
            holder = await self._store.set_if_absent(service, uid, pod, ttl_seconds=ttl_seconds)
            outcome.add(holder=holder)
            return holder

    async def compute_link_if_absent(self, uid: str, service: str, *, ttl_seconds: int | None = None) -> PodKey:
        """Binds a uid to the best pod, unless it is bound. Concurrent calls for a uid and service share one request.

        Args:
            uid: the user.
            service: the name of the StatefulRoute.
            ttl_seconds: the TTL of the link; None makes a persistent link.

        Returns:
            The pod that holds the uid now.

        Raises:
            ServiceNotFoundError: the service does not exist.
            PodNotAvailableError: no pod of the service accepts new users at present.
            InvalidParameterError: a parameter is invalid; no request was sent.
            DeadlineExceededError: the API server did not respond in time.
            StatefulRouteError: the API server responded with an error.
        """
        with log_operation(
            self._log, "compute_link_if_absent", uid=uid, service=service, ttl_seconds=ttl_seconds
        ) as outcome:

            async def choose() -> PodKey:
                return self._placements.assume_best_pod(self._route(service), self._clock().earliest)

            holder = await self._store.compute_if_absent(service, uid, choose, ttl_seconds=ttl_seconds)
            outcome.add(holder=holder)
            return holder

    async def renew(self, uid: str, service: str) -> bool:
        """Renews a temporary link; returns whether there is a link. Raises the errors of `get_linked_pod`.

        Writes only when less than half of the TTL is left, so it may be called at every use of the link.
        """
        with log_operation(self._log, "renew", uid=uid, service=service) as outcome:
            is_there = await self._store.renew(service, uid)
            outcome.add(is_there=is_there)
            return is_there

    # Services and pods.

    def best_pod(self, service: str) -> PodKey:
        """Returns the pod for the next user, by the operator's placement rule.

        Raises:
            ServiceNotFoundError: the service does not exist.
            PodNotAvailableError: no pod of the service accepts new users at present.
        """
        return self._placements.best_pod(self._route(service), self._clock().earliest)

    def alive_pods(self, service: str) -> list[PodKey]:
        """Returns the pods that are ready. Raises `ServiceNotFoundError`.

        Of more than 500 pods, only those of a StatefulSet are all returned: those that the status of the route lists
        are the first.
        """
        return self._pods_matching(service, services.is_ready)

    def routable_pods(self, service: str) -> list[PodKey]:
        """Returns the pods that serve their users: ready and not shut down.

        The limit and the errors are those of `alive_pods`.
        """
        return self._pods_matching(service, services.is_routable)

    def is_routable(self, service: str, pod: PodKey) -> bool:
        """Returns whether a pod serves its users.

        Raises:
            ServiceNotFoundError: the service does not exist.
            PodNotFoundError: the pod does not exist at present.
        """
        return services.is_routable(self._find_pod(service, pod))

    def is_available(self, service: str, pod: PodKey) -> bool:
        """Returns whether a pod accepts new users. Raises the errors of `is_routable`."""
        return services.is_available(self._find_pod(service, pod))

    def is_workload_ready(self, service: str) -> bool:
        """Returns whether a service is ready for users: a pod accepts them, and it is not Overloaded or Shutdown.

        Raises:
            ServiceNotFoundError: the service does not exist.
        """
        return services.is_workload_ready(self._route(service))

    def services_of_tag(self, tag: str) -> list[str]:
        """Returns the sorted names of the services that have a tag."""
        return sorted(route.name for route in self._routes.all() if tag in route.spec.tags)

    def events(self) -> events.Subscription:
        """Returns an async iterator of all changes of routing states and cached links from now on.

        It ends when the driver closes. If there are more links than `max_links`, it yields one `LinksNotFollowed`, and
        after that only changes of routing states. If its consumer is too slow, it yields an `EventsLost`.
        """
        subscription = self._events.subscribe()
        if self._cache.is_disabled:
            subscription.put(events.LinksNotFollowed())
        return subscription

    # Implementation.

    def _cached_link(self, uid: str, service: str) -> Link | None:
        """Returns the cached link; None if there is no active one, or if a parameter is invalid."""
        try:
            if uid.startswith(ENCODED_UID_PREFIX):  # the name of another uid's link
                return None
            key = self._keys.get(service)
        except (AttributeError, TypeError):  # not a string
            return None
        if key is None:
            key = RouteKey(self._namespace, service)
        link = self._cache.get(key, f"{service}.{uid}")
        if link is None:
            return None
        self._keys[service] = key  # only services with links: a caller may pass any name
        if link.expire_time is None:
            return link if link.assigned_pod is not None else None
        return active_link(link, self._clock().earliest)

    async def _get(self, uid: str, service: str, *, fresh: bool) -> Link | None:
        if self._cache.has_synced(service) and not fresh:
            return await self._store.get(service, uid)
        with log_operation(self._log, "get_linked_pod", uid=uid, service=service) as outcome:
            link = await self._store.get(service, uid, fresh=fresh)
            outcome.add(pod=link.pod if link else None)
            return link

    def _route(self, service: str) -> Route:
        route = self._routes.get(service)
        if route is None:
            raise ServiceNotFoundError(f"there is no service {service!r} in namespace {self._namespace!r}")
        return route

    def _find_pod(self, service: str, pod: PodKey) -> PodStatus:
        route = self._route(service)
        return services.find_pod(route, pod, pod_name(route, pod), self._endpoint)

    def _pods_matching(self, service: str, predicate: services.PodPredicate) -> list[PodKey]:
        route = self._route(service)
        unlisted = unlisted_pods(route, self._pods.cache.in_partition(self._namespace).values())
        return [services.pod_key(pod) for pod in (*route.status.pods, *unlisted) if predicate(pod)]

    def _endpoint(self, name: str) -> Endpoint | None:
        return self._pods.cache.get(self._namespace, name)

    def _route_changed(self, old: Route | None, new: Route | None) -> None:
        self._placements.observe_route(old, new)
        self._events.publish(events.routing_state_changes(old, new))


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
