"""The driver of a caller: finds the pod of a user, and binds new users."""

import time
from collections.abc import Iterable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any, Self

from statefulroute.api.vocabulary import BoundBy
from statefulroute.cluster.client import Client
from statefulroute.cluster.clock import IntervalClock, utc_interval
from statefulroute.cluster.errors import ClusterError
from statefulroute.cluster.link_store import LinkStore
from statefulroute.cluster.reflector import Reflector
from statefulroute.domain.address import Address
from statefulroute.domain.errors import DriverAlreadyRunningError, InternalError
from statefulroute.domain.keys import PodKey
from statefulroute.domain.link_limiter import LinkLimiter
from statefulroute.domain.route import Route
from statefulroute.domain.validation import validate_route, validate_strings
from statefulroute.driver import events
from statefulroute.driver.client_services import ClientServices
from statefulroute.driver.first_sync import wait_first_sync
from statefulroute.driver.lifetime import Lifetime
from statefulroute.driver.link_cache import MAX_LINKS, LinkCache
from statefulroute.driver.link_reader import CountingLinkReader, LinkReader
from statefulroute.driver.metrics import DriverMetrics
from statefulroute.driver.operation_log import make_logger
from statefulroute.driver.operations import Operations, observe_request
from statefulroute.driver.parts import Logger
from statefulroute.driver.services import Services
from statefulroute.driver.tracing import DriverTracing

#: The time limit of an operation, and of the first synchronization of the caches.
DEADLINE_SECONDS = 10.0
_CONNECTIONS = 32


class ClientDriver(ClientServices):
    """Runs in a caller of a stateful service: a gateway, another service, or a script. An async context manager.

    The driver caches routes, links and pods by watches, so most reads cost no request, and work while the API server
    is unavailable. It sees its own writes at once. All methods may be called concurrently from many tasks. Operations
    that send requests log one line; reads from the caches log nothing.

    Args:
        client: the client of the API server; it may be shared, and stays open.
        namespace: the namespace of the services.
        services: the services whose links are cached; None caches all, an empty list none.
        max_links: the maximal number of cached links; if there are more, those that were used last are cached.
        deadline_seconds: the time limit of an operation.
        clock: the time of day by both clocks.
        logger: the driver's logger, of the logging module or of structlog; None is one of the logging module.
        hash_uids: whether logs have hashes instead of uids, in all lines of the library in this process.
        keep_managed_fields: whether the managedFields of links stay; otherwise each write of a spec removes them.
        metrics: counts what the driver does; None counts nothing.
        tracing: records spans of the operations that send requests; None records nothing.
    """

    def __init__(  # noqa: PLR0913 - all but two have a default
        self,
        client: Client,
        namespace: str,
        *,
        services: Iterable[str] | None = None,
        max_links: int = MAX_LINKS,
        deadline_seconds: float = DEADLINE_SECONDS,
        clock: IntervalClock = utc_interval,
        logger: Logger | None = None,
        hash_uids: bool = False,
        keep_managed_fields: bool = False,
        metrics: DriverMetrics | None = None,
        tracing: DriverTracing | None = None,
    ) -> None:
        self._namespace = namespace
        self._deadline_seconds = deadline_seconds
        counts = self._counts = None if metrics is None else metrics.in_namespace(namespace)
        self._operations = Operations(
            make_logger(logger, __name__, hash_uids=hash_uids),
            None if counts is None else counts.observe_operation,
            None if tracing is None else tracing.in_namespace(namespace, hash_uids=hash_uids),
        )
        if self._operations.is_observed:
            client = client.observed(observe_request)
        super().__init__(Services(client, namespace, clock), Lifetime())
        self._routes = self._services.routes
        cached = None if services is None else [validate_route(each) for each in validate_strings("services", services)]
        self._cache = LinkCache(client, namespace, cached, max_links)
        expiry_clock = client.expiry_clock.following(clock)
        self._store = LinkStore(
            client,
            namespace,
            links=self._cache,
            clock=expiry_clock,
            deadline_seconds=deadline_seconds,
            keep_managed_fields=keep_managed_fields,
            limiter=LinkLimiter(lambda key: self._routes.get(key.name), self._count_links),
            slots_of=self._read_slots,
            on_write=None if counts is None else counts.observe_write,
        )
        reader = LinkReader(self._routes, self._cache, self._store, expiry_clock, self._operations)
        self._reader: LinkReader | CountingLinkReader = reader
        self._cached_link = reader.find
        if counts is not None:
            self._reader = CountingLinkReader(reader, counts.count_cached)
            self._cache.listen(counts.observe_change)
        self._events: events.EventBroadcaster[events.Change] = events.EventBroadcaster(self._lifetime.check_place)
        self._stack = AsyncExitStack()
        self._cache.listen(lambda old, new: self._events.publish(events.link_changes(old, new)))
        self._cache.on_completeness(lambda complete: self._events.publish([events.completeness_change(complete)]))
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
        deadline_seconds: float = DEADLINE_SECONDS,
        logger: Logger | None = None,
        hash_uids: bool = False,
        keep_managed_fields: bool = False,
        metrics: DriverMetrics | None = None,
        tracing: DriverTracing | None = None,
    ) -> Self:
        """Returns a driver with its own connection, by the ServiceAccount of this pod, or by a kubeconfig outside one.

        Use it as a context manager, `async with await ClientDriver.connect() as client`, or call `start` and `close`.

        Args:
            namespace: the namespace of the services; None is the namespace of this pod.
            kubeconfig: the path of a kubeconfig; None uses the one that kubectl uses.
            context: the kubeconfig's context; None is its current one.
            services: as for the class.
            max_links: as for the class.
            deadline_seconds: as for the class.
            logger: as for the class.
            hash_uids: as for the class.
            keep_managed_fields: as for the class.
            metrics: as for the class.
            tracing: as for the class.

        Raises:
            InvalidParameterError: a parameter is invalid, or the namespace is None outside of a pod.
            StatefulRouteError: no cluster is configured.
        """
        from statefulroute.cluster.connection import connect  # noqa: PLC0415 - slow to import
        from statefulroute.driver.environment import namespace_of_pod  # noqa: PLC0415

        namespace = namespace or namespace_of_pod()
        async with AsyncExitStack() as stack:
            try:
                connection = await stack.enter_async_context(connect(kubeconfig, context))
            except ClusterError as error:
                raise InternalError(str(error)) from error
            driver = cls(
                await stack.enter_async_context(Client(connection, _CONNECTIONS)),
                namespace,
                services=services,
                max_links=max_links,
                deadline_seconds=deadline_seconds,
                logger=logger,
                hash_uids=hash_uids,
                keep_managed_fields=keep_managed_fields,
                metrics=metrics,
                tracing=tracing,
            )
            driver._stack = stack.pop_all()
        driver._lifetime.bind()
        return driver

    async def start(self) -> None:
        """Starts the watches, and waits until the caches are read for the first time.

        Raises:
            DriverAlreadyRunningError: the driver is open.
            DriverNotOpenError: it was closed, before or meanwhile.
            ForbiddenError: this account may not watch routes, links or pods.
            DeadlineExceededError: the API server did not respond in time.
        """
        if self._lifetime.is_open:
            raise DriverAlreadyRunningError
        self._lifetime.begin()
        try:
            self._stack.callback(self._events.end)
            if self._counts is not None:
                self._stack.enter_context(self._counts.following(self))
            await self._stack.enter_async_context(self._services)
            await self._stack.enter_async_context(self._cache)
            with self._operations.run("connect", namespace=self._namespace):
                await self._lifetime.during(wait_first_sync(self._reflectors, self._deadline_seconds))
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Ends the watches, the iterators of events and a `start` in progress, and closes the driver's own connection.

        Has no effect on a closed driver, and in a forked process: the connections belong to its parent.

        Raises:
            DriverNotOpenError: the driver belongs to another event loop.
        """
        if not self._lifetime.is_forked:
            self._lifetime.check_place()
            self._lifetime.end()
            await self._stack.aclose()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def is_healthy(self) -> bool:
        """Whether the driver is open and all of its watches work. Reads from the caches work also without them."""
        return self._lifetime.is_open and all(reflector.is_healthy for reflector in self._reflectors)

    @property
    def staleness_seconds(self) -> float:
        """How old an answer from the caches may be: the time since a watch has received the last event or bookmark.

        Without changes, the API server sends a bookmark about once a minute.
        """
        return time.monotonic() - min(reflector.last_update_at for reflector in self._reflectors)

    @property
    def cached_links(self) -> int:
        """The number of cached links."""
        return self._cache.size

    @property
    def _reflectors(self) -> tuple[Reflector[Any], ...]:
        return (*self._services.reflectors, *self._cache.reflectors)

    # Reads of links.

    async def get_linked_pod(self, uid: str, service: str, *, fresh: bool = False) -> PodKey | None:
        """Returns the pod that holds a uid, or None. In a service with slots, it is never None.

        Args:
            uid: the user.
            service: the name of the StatefulRoute.
            fresh: whether to read from the API server instead of the cache.

        Raises:
            PodNotAvailableError: the uid has no link of its own, and its slot is not bound to a pod yet.
            InvalidParameterError: a parameter is invalid; no request was sent.
            DeadlineExceededError: the API server did not respond in time.
            StatefulRouteError: the API server responded with an error.
        """
        self._lifetime.check()
        if not fresh and (link := self._reader.find(uid, service)) is not None:
            return link.pod
        link = await self._reader.read(uid, service, fresh=fresh)
        return link.pod if link else None

    async def get_linked_pod_if_persistent(self, uid: str, service: str, *, fresh: bool = False) -> PodKey | None:
        """Returns the pod that holds a uid by a persistent link, or None.

        Takes the parameters of `get_linked_pod` and raises the same errors.
        """
        self._lifetime.check()
        link = None if fresh else self._reader.find(uid, service)
        link = link or await self._reader.read(uid, service, fresh=fresh)
        return link.pod if link and link.ttl_seconds is None else None

    async def bound_by(self, uid: str, service: str) -> BoundBy | None:
        """Returns whether a uid is bound by a link of its own, or by the link of its slot; None if by neither.

        Takes the parameters of `get_linked_pod` and raises the same errors.
        """
        self._lifetime.check()
        link = self._reader.find(uid, service) or await self._reader.read(uid, service, fresh=False)
        if link is None:
            return None
        return BoundBy.SLOT if link.is_of_slot else BoundBy.LINK

    async def links_of(self, uid: str, among: Iterable[str] | None = None) -> dict[str, PodKey]:
        """Returns the pod that holds a uid, by service. Raises the errors of `get_linked_pod`.

        Args:
            uid: the user.
            among: the services to search; None searches all of the namespace.
        """
        self._lifetime.check()
        routes = (route.name for route in self._routes.all()) if among is None else among
        searched = validate_strings("among", routes)
        with self._operations.run("links_of", uid=uid) as outcome:
            pods = await self._store.links_of(uid, searched)
            outcome.add(links=pods)
            return pods

    async def batch_get(self, uids: Iterable[str], service: str) -> dict[PodKey, list[str]]:
        """Returns the given uids by the pod that holds them; omits unlinked uids. Raises as `get_linked_pod` does."""
        self._lifetime.check()
        uids = validate_strings("uids", uids)
        with self._operations.run("batch_get", uids=len(uids), service=service):
            return await self._store.batch_get(service, uids)

    async def address_of(self, uid: str, service: str) -> Address | None:
        """Returns the address of the pod that holds a uid, or None if no pod does.

        Raises:
            StatefulRouteError: as `get_linked_pod`.
            PodNotFoundError: the pod does not exist at present.
            PodNotRoutableError: the pod does not serve its users at present.
        """
        self._lifetime.check()
        link = self._reader.find(uid, service) or await self._reader.read(uid, service, fresh=False)
        if link is None or link.pod is None:
            return None
        return self._services.address(link, service, link.pod)

    # Binding.

    async def link_if_absent(self, uid: str, service: str, pod: PodKey, *, ttl_seconds: int | None = None) -> PodKey:
        """Binds a uid to a pod, unless it is bound. Renews an existing temporary link.

        In a service with slots, each uid is bound, by its own link or by its slot, so this creates no link.

        Args:
            uid: the user.
            service: the name of the StatefulRoute.
            pod: the pod's index in a StatefulSet, otherwise its name.
            ttl_seconds: the TTL of the link; None makes a persistent link.

        Returns:
            The pod that holds the uid now.

        Raises:
            PodNotAvailableError: the service has slots, and that of the uid is not bound to a pod yet.
            LinkLimitReachedError: the service or its namespace has as many links as it may have.
            InvalidParameterError: a parameter is invalid; no request was sent.
            DeadlineExceededError: the API server did not respond in time.
            StatefulRouteError: the API server responded with an error.
        """
        self._lifetime.check()
        fields = {"service": service, "pod": pod, "ttl_seconds": ttl_seconds}
        with self._operations.run("link_if_absent", uid=uid, **fields) as outcome:
            holder = await self._reader.find_or_renew(uid, service)
            if holder is None:
                holder = await self._store.set_if_absent(service, uid, pod, ttl_seconds=ttl_seconds)
            outcome.add(holder=holder)
            return holder

    async def compute_link_if_absent(self, uid: str, service: str, *, ttl_seconds: int | None = None) -> PodKey:
        """Binds a uid to the best pod, unless it is bound. Concurrent calls for a uid and service share one request.

        In a service with slots, each uid is bound, by its own link or by its slot, so this creates no link.

        Args:
            uid: the user.
            service: the name of the StatefulRoute.
            ttl_seconds: the TTL of the link; None makes a persistent link.

        Returns:
            The pod that holds the uid now.

        Raises:
            ServiceNotFoundError: the service does not exist.
            PodNotAvailableError: no pod of the service accepts new users at present, or the service has slots, and that
                of the uid is not bound to a pod yet.
            LinkLimitReachedError: the service or its namespace has as many links as it may have.
            InvalidParameterError: a parameter is invalid; no request was sent.
            DeadlineExceededError: the API server did not respond in time.
            StatefulRouteError: the API server responded with an error.
        """
        self._lifetime.check()
        link = self._reader.find_slotted(uid, service)
        if link is not None and link.is_of_slot and link.pod is not None:
            return link.pod
        fields = {"service": service, "ttl_seconds": ttl_seconds}
        with self._operations.run("compute_link_if_absent", uid=uid, **fields) as outcome:
            holder = await self._reader.find_or_renew(uid, service)
            if holder is None:
                choose = partial(self._services.assume_best_pod, service)
                holder = await self._store.compute_if_absent(service, uid, choose, ttl_seconds=ttl_seconds)
            outcome.add(holder=holder)
            return holder

    async def bind(self, uid: str, service: str, *, ttl_seconds: int | None = None) -> Address:
        """Binds a uid to the best pod, unless it is bound, and returns the address of the pod that holds it.

        Takes the parameters of `compute_link_if_absent`.

        Raises:
            StatefulRouteError: as `compute_link_if_absent`.
            PodNotFoundError: the pod does not exist at present. The uid is bound.
            PodNotRoutableError: the pod does not serve its users at present. The uid is bound.
        """
        holder = await self.compute_link_if_absent(uid, service, ttl_seconds=ttl_seconds)
        return self._services.address(self._cached_link(uid, service), service, holder)

    async def renew(self, uid: str, service: str) -> bool:
        """Renews a temporary link; returns whether there is a link. Raises the errors of `get_linked_pod`.

        Writes only when less than half of the TTL is left, so it may be called at every use of the link. The link of a
        slot counts, and needs no renewal.
        """
        self._lifetime.check()
        with self._operations.run("renew", uid=uid, service=service) as outcome:
            is_there = await self._reader.find_or_renew(uid, service) is not None
            is_there = is_there or await self._store.renew(service, uid)
            outcome.add(is_there=is_there)
            return is_there

    # Changes.

    def events(self) -> events.Subscription[events.Change]:
        """Returns an async iterator of all changes of routing states and cached links from now on.

        It ends when the driver closes. If there are more links than `max_links`, it yields one `LinksNotFollowed`, and
        after that only changes of routing states and of links that the driver has used, until it yields
        `LinksFollowed`. If its consumer is too slow, it yields an `EventsLost`.
        """
        self._lifetime.check_place()
        subscription = self._events.subscribe()
        if not self._cache.is_complete:
            subscription.put(events.LinksNotFollowed())
        return subscription

    # Implementation.

    def _count_links(self, route: Route) -> int:
        """Returns the number of links of a service: cached, or by its status if the driver does not follow all."""
        cached = self._cache.count(route.key)
        return (route.status.links or 0) if cached is None else cached

    async def _read_slots(self, service: str) -> int | None:
        return self._routes.slots_of(service)

    def _route_changed(self, old: Route | None, new: Route | None) -> None:
        self._events.publish(events.routing_state_changes(old, new))
