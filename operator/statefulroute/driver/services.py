"""The services and the pods of a namespace, as a client driver sees them by its watches."""

import asyncio
from collections.abc import Container
from contextlib import suppress
from typing import Any, Self

from statefulroute.api.route_status import PodStatus
from statefulroute.cluster.client import Client
from statefulroute.cluster.clock import IntervalClock
from statefulroute.cluster.codec import ENDPOINTS
from statefulroute.cluster.reflector import Reflector
from statefulroute.domain import service as rules
from statefulroute.domain.address import Address, link_address, pod_address
from statefulroute.domain.assumed_placements import AssumedPlacements
from statefulroute.domain.errors import ServiceNotFoundError
from statefulroute.domain.keys import PodKey
from statefulroute.domain.link import Link
from statefulroute.domain.pod import Endpoint
from statefulroute.domain.route import Route
from statefulroute.domain.unlisted_pods import linked_pod_name, pod_name, unlisted_pods
from statefulroute.driver.routes import BACKOFF_SECONDS, RouteCache


class Services:
    """Answers questions about services and their pods from the caches; an async context manager that runs the watches.

    Args:
        client: the client of the API server.
        namespace: the namespace of the services.
        clock: the time of day by both clocks.

    Attributes:
        routes: the cached routes.
    """

    def __init__(self, client: Client, namespace: str, clock: IntervalClock) -> None:
        self.routes = RouteCache(client, namespace)
        self._namespace = namespace
        self._clock = clock
        self._pods = Reflector(client, ENDPOINTS.in_namespace(namespace), BACKOFF_SECONDS)
        self._pod_watch: asyncio.Task[None] | None = None
        self._placements = AssumedPlacements()
        self.routes.listen_all(self._placements.observe_route)

    async def __aenter__(self) -> Self:
        await self.routes.__aenter__()
        self._pod_watch = asyncio.create_task(self._pods.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._pod_watch is not None:
            self._pod_watch.cancel()
            with suppress(asyncio.CancelledError):
                await self._pod_watch
        await self.routes.__aexit__()

    @property
    def reflectors(self) -> tuple[Reflector[Any], ...]:
        """The reflectors of the caches."""
        return (self.routes.reflector, self._pods)

    def route(self, service: str) -> Route:
        """Returns the route of a service. Raises `ServiceNotFoundError`."""
        route = self.routes.get(service)
        if route is None:
            raise ServiceNotFoundError(f"there is no service {service!r} in namespace {self._namespace!r}")
        return route

    def find_pod(self, service: str, pod: PodKey) -> PodStatus:
        """Returns the status of a pod. Raises `ServiceNotFoundError` and `PodNotFoundError`."""
        route = self.route(service)
        return rules.find_pod(route, pod, pod_name(route, pod), self._endpoint)

    def pods_matching(self, service: str, predicate: rules.PodPredicate) -> list[PodKey]:
        """Returns the pods of a service whose status meets a condition. Raises `ServiceNotFoundError`."""
        route = self.route(service)
        unlisted = unlisted_pods(route, self._pods.cache.in_partition(self._namespace).values())
        return [rules.pod_key(pod) for pod in (*route.status.pods, *unlisted) if predicate(pod)]

    def address(self, link: Link | None, service: str, pod: PodKey) -> Address:
        """Returns the address of the pod that holds a user.

        Args:
            link: the link of the user, if it is known.
            service: the service.
            pod: the pod.

        Raises:
            ServiceNotFoundError: the service does not exist.
            PodNotFoundError: the pod does not exist at present.
            PodNotRoutableError: the pod does not serve its users at present.
        """
        route = self.route(service)
        is_linked = link is not None and link.pod == pod
        name = linked_pod_name(route, link) if link is not None and is_linked else pod_name(route, pod)
        pod_status = rules.find_pod(route, pod, name, self._endpoint)
        endpoint = self._endpoint(pod_status.name)
        if link is not None and is_linked:
            return link_address(link, route, pod_status, endpoint)
        return pod_address(route, pod_status, endpoint, endpoint.host if endpoint is not None else None)

    def best_pod(self, service: str) -> PodKey:
        """Returns the pod for the next user. Raises `ServiceNotFoundError` and `PodNotAvailableError`."""
        route = self.route(service)
        return self._placements.best_pod(route, self._clock().earliest, self._available_pods(route))

    async def assume_best_pod(self, service: str) -> PodKey:
        """Chooses the pod for a new user, and counts the user. Raises as `best_pod` does."""
        route = self.route(service)
        return self._placements.assume_best_pod(route, self._clock().earliest, self._available_pods(route))

    def _available_pods(self, route: Route) -> Container[PodKey]:
        """Returns the pods that accept new users also by the watch of pods: the status of the route may be behind."""
        endpoints = ((pod, self._endpoint(pod.name)) for pod in route.status.pods)
        return {rules.pod_key(pod) for pod, endpoint in endpoints if endpoint is not None and endpoint.is_available}

    def _endpoint(self, name: str) -> Endpoint | None:
        return self._pods.cache.get(self._namespace, name)
