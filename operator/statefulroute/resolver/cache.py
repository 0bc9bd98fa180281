"""What a resolver knows without asking: links, routes, and where their pods are."""

import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from types import MappingProxyType
from typing import Any

from statefulroute.api.statefulroute import PodStatus
from statefulroute.cluster.client import Client
from statefulroute.cluster.clock import Clock, utc_now
from statefulroute.cluster.codec import ENDPOINTS, LINKS, ROUTES
from statefulroute.cluster.informer import Informer, run_reflectors, wait_synced
from statefulroute.cluster.reflector import Reflector
from statefulroute.domain import service
from statefulroute.domain.address import Address, link_address, pod_address
from statefulroute.domain.errors import (
    PodNotAvailableError,
    PodNotFoundError,
    PodNotRoutableError,
    ServiceNotFoundError,
)
from statefulroute.domain.keys import PodKey, RouteKey, link_name
from statefulroute.domain.link import Link
from statefulroute.domain.operations import active_link
from statefulroute.domain.pod import Endpoint
from statefulroute.domain.route import Route
from statefulroute.domain.validation import validate_uid
from statefulroute.resolver.problems import ProblemError, ProblemKind

_NO_PODS: Mapping[PodKey, PodStatus] = MappingProxyType({})


class ResolverCache:
    """A copy of all that look-ups need, kept by watches; it answers on while the API server is away.

    Args:
        client: how to reach the API server.
        namespaces: what is followed; none is the whole cluster.
        clock: the time of day.

    Attributes:
        links: who is where.
        routes: the services.
        endpoints: their pods, and all others.
    """

    def __init__(self, client: Client, namespaces: Sequence[str] = (), clock: Clock = utc_now) -> None:
        self.links = Informer(client, LINKS, namespaces)
        self.routes = Informer(client, ROUTES, namespaces)
        self.endpoints = Informer(client, ENDPOINTS, namespaces)
        self._clock = clock
        self._pod_statuses: dict[RouteKey, Mapping[PodKey, PodStatus]] = {}
        """What each route's status says of its pods; a look-up does not search for one among a thousand."""
        sources = zip(self.links.reflectors, self.routes.reflectors, self.endpoints.reflectors, strict=True)
        self._reflectors_by_namespace = dict(zip(namespaces, sources, strict=False))
        """What tells of the objects of each namespace, where only some are followed."""
        self._cluster_reflectors = (self.links.reflectors[0], self.routes.reflectors[0], self.endpoints.reflectors[0])
        self.routes.cache.listen(self._route_changed)

    @property
    def reflectors(self) -> tuple[Reflector[Any], ...]:
        """Everything that follows the API server."""
        return (*self.links.reflectors, *self.routes.reflectors, *self.endpoints.reflectors)

    def run(self) -> AbstractAsyncContextManager[None]:
        """Follow the API server while the context lasts."""
        return run_reflectors(self.reflectors)

    async def wait_synced(self) -> None:
        """Wait until everything was read for the first time."""
        await wait_synced(self.reflectors)

    def age(self, namespace: str) -> float:
        """Seconds since the API server has told something last, of each kind: so old an answer may be.

        Where nothing happens, it says so about once a minute.
        """
        links, routes, endpoints = self._reflectors_by_namespace.get(namespace, self._cluster_reflectors)
        return time.monotonic() - min(links.last_update_at, routes.last_update_at, endpoints.last_update_at)

    def route(self, key: RouteKey) -> Route:
        """A service.

        Raises:
            ProblemError: its namespace is none that is followed.
            ServiceNotFoundError: there is none.
        """
        route = self.routes.cache.get(key.namespace, key.name)
        if route is not None:
            return route
        if self.routes.reflector_of(key.namespace) is None:
            raise ProblemError(
                ProblemKind.NAMESPACE_NOT_SERVED,
                f"this resolver does not serve namespace {key.namespace!r}: it was started with --watch-namespace",
            )
        raise ServiceNotFoundError(f"there is no StatefulRoute {key.name!r} in namespace {key.namespace!r}")

    def link(self, key: RouteKey, uid: str) -> Link | None:
        """The link of a uid, or None; an expired one is none.

        Raises:
            InvalidParameterError: no link can bind such a uid.
        """
        cache = self.links.cache
        # Most uids stand in their link's name as they are: those are found without being checked.
        link = None if uid.startswith("x-") else cache.get(key, f"{key.name}.{uid}")
        if link is None:
            link = cache.get(key, link_name(key.name, validate_uid(uid)))
        return active_link(link, self._clock())

    def address(self, link: Link) -> Address:
        """Where the pod of a link is reached.

        Raises:
            ProblemError: the link still waits for a pod.
            ServiceNotFoundError: there is no such service any more.
            PodNotFoundError: its pod does not exist now.
            PodNotRoutableError: its pod does not serve its users now.
        """
        route = self.route(link.route)
        if link.pod is None:
            raise ProblemError(ProblemKind.WAITS_FOR_POD, "the uid is linked, and still waits for a pod")
        said = self._pod_statuses.get(link.route, _NO_PODS).get(link.pod)
        if said is None:
            raise PodNotFoundError(f"the service {route.name!r} has no pod {link.pod!r} now")
        return link_address(link, route, said, self._endpoint(link.route, said))

    def available_addresses(self, route: Route) -> Mapping[PodKey, Address]:
        """Where the pods are reached that take new users."""
        pods = self._pod_statuses.get(route.key, _NO_PODS)
        return {key: address for key, said in pods.items() if (address := self._available_address(route, said))}

    def any_available_address(self, route: Route, turn: int) -> Address:
        """Where one of these pods is reached; as many turns as there are pods give each its turn.

        Raises:
            PodNotAvailableError: there is none.
        """
        pods = list(self._pod_statuses.get(route.key, _NO_PODS).values())
        for offset in range(len(pods)):
            if (address := self._available_address(route, pods[(turn + offset) % len(pods)])) is not None:
                return address
        raise PodNotAvailableError(f"no pod of the service {route.name!r} takes new users now")

    def reachable_addresses(self, route: Route) -> Mapping[PodKey, Address]:
        """Where its pods are reached, those that take nobody new among them."""
        pods = self._pod_statuses.get(route.key, _NO_PODS)
        return {key: address for key, said in pods.items() if (address := self._reachable_address(route, said))}

    def _available_address(self, route: Route, pod_status: PodStatus) -> Address | None:
        return self._reachable_address(route, pod_status) if service.is_available(pod_status) else None

    def _reachable_address(self, route: Route, pod_status: PodStatus) -> Address | None:
        try:
            return pod_address(route, pod_status, self._endpoint(route.key, pod_status))
        except (PodNotFoundError, PodNotRoutableError):  # the operator may have looked before that
            return None

    def _endpoint(self, key: RouteKey, pod_status: PodStatus) -> Endpoint | None:
        return self.endpoints.cache.get(key.namespace, pod_status.name)

    def _route_changed(self, old: Route | None, new: Route | None) -> None:
        if new is not None:
            self._pod_statuses[new.key] = {service.pod_key(pod): pod for pod in new.status.pods}
        elif old is not None:
            self._pod_statuses.pop(old.key, None)
