"""The driver of a caller: which pod holds a user, and which one takes the next."""

import asyncio
from collections.abc import Iterable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Self

import structlog

from statefulroute.cluster.client import Client
from statefulroute.cluster.clock import Clock, utc_now
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
from statefulroute.domain.route import Route
from statefulroute.driver import events
from statefulroute.driver.link_cache import MAX_LINKS, LinkCache
from statefulroute.driver.operation_log import log_operation
from statefulroute.driver.parts import Logger
from statefulroute.driver.routes import BACKOFF_SECONDS, RouteCache

#: How long an operation may take, and `start` for the first reading.
_DEADLINE_SECONDS = 10.0
_CONNECTIONS = 32


class ClientDriver:
    """Runs in whatever calls a stateful service: a gateway, another service, a script.

    An async context manager. Routes, links and pods are followed by watches, so most questions cost no request, and
    are answered on while the API server is away. A write of its own is read back at once. All methods may be
    called from many tasks at the same time. Operations that ask or write something log one line; reads from the
    caches log nothing.

    Args:
        client: how to reach the API server; it may be shared, and stays open.
        namespace: where the services are.
        services: those whose links are kept in the cache; None keeps all, an empty list none.
        max_links: how many links the cache may hold; where there are more, each link is asked for.
        deadline_seconds: how long an operation may take.
        clock: the time of day.
        logger: where its lines go.
    """

    def __init__(  # noqa: PLR0913 - all but two have a default
        self,
        client: Client,
        namespace: str,
        *,
        services: Iterable[str] | None = None,
        max_links: int = MAX_LINKS,
        deadline_seconds: float = _DEADLINE_SECONDS,
        clock: Clock = utc_now,
        logger: Logger | None = None,
    ) -> None:
        self._namespace = namespace
        self._deadline_seconds = deadline_seconds
        self._clock = clock
        self._log: Logger = logger or structlog.get_logger(__name__)
        self._routes = RouteCache(client, namespace)
        self._cache = LinkCache(client, namespace, services, max_links)
        self._pods = Reflector(client, ENDPOINTS.in_namespace(namespace), BACKOFF_SECONDS)
        self._store = LinkStore(client, namespace, links=self._cache, clock=clock, deadline_seconds=deadline_seconds)
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
    ) -> Self:
        """A driver with a connection of its own, for the ServiceAccount of this pod or for a kubeconfig outside.

        Use it as a context manager: `async with await ClientDriver.connect() as client`.

        Args:
            namespace: where the services are; None is the namespace of this pod.
            kubeconfig: a kubeconfig; None looks where kubectl looks.
            context: the kubeconfig's context; None is its current one.
            services: as for the class.
            max_links: as for the class.
            logger: as for the class.

        Raises:
            InvalidParameterError: no namespace is given, and this is no pod.
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
        driver = cls(client, namespace, services=services, max_links=max_links, logger=logger)
        driver._stack = stack
        return driver

    async def __aenter__(self) -> Self:
        try:
            self._stack.callback(self._events.end)
            await self._stack.enter_async_context(self._routes)
            await self._stack.enter_async_context(self._cache)
            watching = asyncio.create_task(self._pods.run())
            self._stack.push_async_callback(_cancel, watching)
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

    # Who is where.

    async def get_linked_pod(self, uid: str, service: str, *, fresh: bool = False) -> PodKey | None:
        """The pod that holds a uid, or None.

        Args:
            uid: the user.
            service: the name of the StatefulRoute.
            fresh: ask the API server, and not the cache.

        Raises:
            InvalidParameterError: a parameter cannot be right; nothing was asked for.
            DeadlineExceededError: no answer came in time.
            StatefulRouteError: the API server answered with an error.
        """
        if not fresh and (link := self._cached_link(uid, service)) is not None:
            return link.pod
        link = await self._get(uid, service, fresh=fresh)
        return link.pod if link else None

    async def get_linked_pod_if_persistent(self, uid: str, service: str, *, fresh: bool = False) -> PodKey | None:
        """The pod that holds a uid by a link that does not end by itself. Takes and raises as `get_linked_pod` does."""
        link = None if fresh else self._cached_link(uid, service)
        link = link or await self._get(uid, service, fresh=fresh)
        return link.pod if link and link.ttl_seconds is None else None

    async def links_of(self, uid: str, among: Iterable[str] | None = None) -> dict[str, PodKey]:
        """Where a uid is bound: the pod of each service that holds it. Raises as `get_linked_pod` does.

        Args:
            uid: the user.
            among: the services to look at; None is every one of the namespace.
        """
        looked_at = [route.name for route in self._routes.all()] if among is None else list(among)
        with log_operation(self._log, "links_of", uid=uid) as outcome:
            found = await self._store.links_of(uid, looked_at)
            outcome.add(links=found)
            return found

    async def batch_get(self, uids: Iterable[str], service: str) -> dict[PodKey, list[str]]:
        """Which of the uids each pod holds; those that none holds are left out. Raises as `get_linked_pod` does."""
        uids = list(uids)
        with log_operation(self._log, "batch_get", uids=len(uids), service=service):
            return await self._store.batch_get(service, uids)

    async def address_of(self, uid: str, service: str) -> Address | None:
        """Where the pod that holds a uid is reached; None where none holds it. Raises as `get_linked_pod` does.

        Raises:
            PodNotFoundError: its pod does not exist now.
            PodNotRoutableError: its pod does not serve its users now.
        """
        link = self._cached_link(uid, service) or await self._get(uid, service, fresh=False)
        if link is None or link.pod is None:
            return None
        route = self._route(service)
        said = services.find_pod(route, link.pod)
        return link_address(link, route, said, self._pods.cache.get(self._namespace, said.name))

    # Binding.

    async def link_if_absent(self, uid: str, service: str, pod: PodKey, *, ttl_seconds: int | None = None) -> PodKey:
        """Bind a uid to a pod, unless it is bound. A temporary link that is found is renewed.

        Args:
            uid: whom to bind.
            service: the name of the StatefulRoute.
            pod: the pod's index in a StatefulSet, else its name.
            ttl_seconds: how long the link lives; None is persistent.

        Returns:
            The pod that holds the uid now.

        Raises:
            InvalidParameterError: a parameter cannot be right; nothing was asked for.
            DeadlineExceededError: no answer came in time.
            StatefulRouteError: the API server answered with an error.
        """
        with log_operation(
            self._log, "link_if_absent", uid=uid, service=service, pod=pod, ttl_seconds=ttl_seconds
        ) as outcome:
            holder = await self._store.set_if_absent(service, uid, pod, ttl_seconds=ttl_seconds)
            outcome.add(holder=holder)
            return holder

    async def compute_link_if_absent(self, uid: str, service: str, *, ttl_seconds: int | None = None) -> PodKey:
        """Bind a uid to the best pod, unless it is bound. Calls for the same uid and service share one flight.

        Args:
            uid: whom to bind.
            service: the name of the StatefulRoute.
            ttl_seconds: how long the link lives; None is persistent.

        Returns:
            The pod that holds the uid now.

        Raises:
            ServiceNotFoundError: there is no such service.
            PodNotAvailableError: no pod of it takes new users now.
            InvalidParameterError: a parameter cannot be right; nothing was asked for.
            DeadlineExceededError: no answer came in time.
            StatefulRouteError: the API server answered with an error.
        """
        with log_operation(
            self._log, "compute_link_if_absent", uid=uid, service=service, ttl_seconds=ttl_seconds
        ) as outcome:

            async def choose() -> PodKey:
                return self._placements.assume_best_pod(self._route(service), self._clock())

            holder = await self._store.compute_if_absent(service, uid, choose, ttl_seconds=ttl_seconds)
            outcome.add(holder=holder)
            return holder

    async def renew(self, uid: str, service: str) -> bool:
        """Have a temporary link live on from now; gives whether there is a link. Raises as `get_linked_pod` does.

        Written only when less than half of its time is left, so it may be called at every use.
        """
        with log_operation(self._log, "renew", uid=uid, service=service) as outcome:
            is_there = await self._store.renew(service, uid)
            outcome.add(is_there=is_there)
            return is_there

    # The services.

    def best_pod(self, service: str) -> PodKey:
        """The pod that takes the next user, by the operator's rule.

        Raises:
            ServiceNotFoundError: there is no such service.
            PodNotAvailableError: no pod of it takes new users now.
        """
        return self._placements.best_pod(self._route(service), self._clock())

    def alive_pods(self, service: str) -> list[PodKey]:
        """The pods that are ready. Raises `ServiceNotFoundError`."""
        return self._pods_matching(service, services.is_ready)

    def routable_pods(self, service: str) -> list[PodKey]:
        """The pods that serve their own users: ready and not shut down. Raises `ServiceNotFoundError`."""
        return self._pods_matching(service, services.is_routable)

    def is_routable(self, service: str, pod: PodKey) -> bool:
        """Whether a pod serves its own users.

        Raises:
            ServiceNotFoundError: there is no such service.
            PodNotFoundError: it has no such pod now.
        """
        return services.is_routable(services.find_pod(self._route(service), pod))

    def is_available(self, service: str, pod: PodKey) -> bool:
        """Whether a pod takes new users. Raises as `is_routable` does."""
        return services.is_available(services.find_pod(self._route(service), pod))

    def is_workload_ready(self, service: str) -> bool:
        """Whether a service is ready for more users: a pod takes them, and it is neither Overloaded nor Shutdown.

        Raises:
            ServiceNotFoundError: there is no such service.
        """
        return services.is_workload_ready(self._route(service))

    def services_of_tag(self, tag: str) -> list[str]:
        """The names of the services that have a tag, in their order."""
        return sorted(route.name for route in self._routes.all() if tag in route.spec.tags)

    def events(self) -> events.Subscription:
        """Every change of a routing state, or of a link that is followed, from now on.

        It is an async iterator that ends with the driver. Where there are more links than `max_links`, it says
        `LinksNotFollowed`, and tells of routing states only.
        """
        subscription = self._events.subscribe()
        if self._cache.is_disabled:
            subscription.put(events.LinksNotFollowed())
        return subscription

    # How it does that.

    def _cached_link(self, uid: str, service: str) -> Link | None:
        """The link as the cache has it; None where it has none that counts, or the parameters are odd."""
        try:
            if uid.startswith("x-"):  # the name of another uid's link
                return None
            key = self._keys.get(service)
        except (AttributeError, TypeError):  # no text at all
            return None
        if key is None:
            key = RouteKey(self._namespace, service)
        link = self._cache.get(key, f"{service}.{uid}")
        if link is None:
            return None
        self._keys[service] = key  # only of services that have links: a caller may ask for anything
        if link.expire_time is None:
            return link if link.assigned_pod is not None else None
        return active_link(link, self._clock())

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

    def _pods_matching(self, service: str, holds: services.PodPredicate) -> list[PodKey]:
        return [services.pod_key(pod) for pod in self._route(service).status.pods if holds(pod)]

    def _route_changed(self, old: Route | None, new: Route | None) -> None:
        self._placements.observe_route(old, new)
        self._events.publish(events.routing_state_changes(old, new))


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
