"""Caches links, routes and endpoints for look-ups."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from types import MappingProxyType
from typing import Any

from statefulroute.api.limits import ENCODED_UID_PREFIX
from statefulroute.api.route_status import PodStatus
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
from statefulroute.domain.keys import PodKey, RouteKey, link_name, slot_link_name
from statefulroute.domain.link import Link
from statefulroute.domain.operations import active_link
from statefulroute.domain.pod import Endpoint, ordinal
from statefulroute.domain.route import Route
from statefulroute.domain.slots.lookup import binding_slot, describe_unbound_slot
from statefulroute.domain.unlisted_pods import linked_pod_name, may_omit_available_pods, pod_name, unlisted_pods
from statefulroute.domain.validation import is_dns_label, validate_uid
from statefulroute.rest.problems import ProblemError, ProblemKind

_NO_PODS: Mapping[PodKey, PodStatus] = MappingProxyType({})


class ResolverCache:
    """Caches the objects that look-ups need, by watches. It can be read while the API server is unavailable.

    Args:
        client: the client of the API server.
        namespaces: the namespaces to watch; none is the whole cluster.
        clock: the time by which links end.
        max_age_seconds: the age above which routes cannot be read any more; None is unlimited.
        on_too_old: called for each read that failed because of the age.

    Attributes:
        links: the informer of links.
        routes: the informer of routes.
        endpoints: the informer of pods' endpoints.
    """

    def __init__(
        self,
        client: Client,
        namespaces: Sequence[str] = (),
        clock: Clock = utc_now,
        *,
        max_age_seconds: float | None = None,
        on_too_old: Callable[[], object] = lambda: None,
    ) -> None:
        self.links = Informer(client, LINKS, namespaces)
        self.routes = Informer(client, ROUTES, namespaces)
        self.endpoints = Informer(client, ENDPOINTS, namespaces)
        self._clock = clock
        self._max_age_seconds = max_age_seconds
        self._on_too_old = on_too_old
        self._pod_statuses: dict[RouteKey, Mapping[PodKey, PodStatus]] = {}
        """The pods in each route's status by key, so that a look-up does not scan a thousand pods."""
        self._slots: dict[RouteKey, int] = {}
        sources = zip(self.links.reflectors, self.routes.reflectors, self.endpoints.reflectors, strict=True)
        self._reflectors_by_namespace = dict(zip(namespaces, sources, strict=False))
        """The reflectors of each namespace, if only some namespaces are watched."""
        self._cluster_reflectors = (self.links.reflectors[0], self.routes.reflectors[0], self.endpoints.reflectors[0])
        self.routes.cache.listen(self._route_changed)

    @property
    def reflectors(self) -> tuple[Reflector[Any], ...]:
        """All reflectors of the cache."""
        return (*self.links.reflectors, *self.routes.reflectors, *self.endpoints.reflectors)

    def run(self) -> AbstractAsyncContextManager[None]:
        """Runs the watches while the context lasts."""
        return run_reflectors(self.reflectors)

    async def wait_synced(self) -> None:
        """Waits until everything is read for the first time."""
        await wait_synced(self.reflectors)

    def age(self, namespace: str) -> float:
        """Returns how many seconds old a response may be.

        That is the time since the last event of the kind that got none for the longest time. Without changes, the API
        server sends a bookmark about once a minute.
        """
        links, routes, endpoints = self._reflectors_by_namespace.get(namespace, self._cluster_reflectors)
        return time.monotonic() - min(links.last_update_at, routes.last_update_at, endpoints.last_update_at)

    def route(self, key: RouteKey) -> Route:
        """Returns a route. Each look-up reads one, so none succeeds while the cache is too old.

        Raises:
            ProblemError: its namespace is not watched, or the cache is too old.
            ServiceNotFoundError: the route does not exist.
        """
        if self._max_age_seconds is not None:
            self._require_age(key.namespace, self._max_age_seconds)
        route = self.routes.cache.get(key.namespace, key.name)
        if route is not None:
            return route
        if self.routes.reflector_of(key.namespace) is None:
            raise ProblemError(
                ProblemKind.NAMESPACE_NOT_SERVED,
                f"this resolver does not serve namespace {key.namespace!r}: it was started with --watch-namespace",
            )
        raise ServiceNotFoundError(f"there is no StatefulRoute {key.name!r} in namespace {key.namespace!r}")

    def _require_age(self, namespace: str, max_age_seconds: float) -> None:
        age = self.age(namespace)
        if age > max_age_seconds:
            self._on_too_old()
            raise ProblemError(
                ProblemKind.TOO_OLD,
                f"the last event of the API server came {age:.0f} s ago, and --max-age is {max_age_seconds:g} s",
                age_seconds=int(age),
            )

    def link(self, key: RouteKey, uid: str) -> Link | None:
        """Returns the link of a uid, or None; an expired link is None. The age of the cache is not limited.

        Raises:
            InvalidParameterError: the uid is invalid.
        """
        cache = self.links.cache
        # Most uids are part of their link's name unencoded: these are looked up without a validation.
        is_encoded = uid.startswith(ENCODED_UID_PREFIX)
        link = None if is_encoded else cache.get(key, f"{key.name}.{uid}")
        if link is None and (is_encoded or not is_dns_label(uid)):
            link = cache.get(key, link_name(key.name, validate_uid(uid)))
        if link is None or (link.expire_time is None and link.assigned_pod is not None):
            return link  # most links need no clock
        return active_link(link, self._clock())

    def bound_link(self, key: RouteKey, uid: str) -> Link | None:
        """Returns the link that binds a uid: its own if it has one, otherwise that of its slot; None if there is none.

        In a route with slots, each uid is bound as soon as the operator has created the links. The errors are those of
        `link`, and:

        Raises:
            ProblemError: the slot of the uid is not bound yet.
        """
        own = self.link(key, uid)
        if (slot := binding_slot(uid, own, self.slots_of(key))) is None:
            return own
        link = self.links.cache.get(key, slot_link_name(key.name, slot))
        if link is None or link.assigned_pod is None:
            raise slot_not_bound(key.name, slot)
        return link

    def slots_of(self, key: RouteKey) -> int | None:
        """Returns the number of slots of a route; None if it has none, or does not exist."""
        return self._slots.get(key)

    def slot(self, key: RouteKey, uid: str) -> int | None:
        """Returns the slot that a uid belongs to; None if the route has no slots."""
        return binding_slot(uid, None, self.slots_of(key))

    def address(self, link: Link) -> Address:
        """Returns the address of a link's pod.

        Raises:
            ProblemError: the link waits for a pod.
            ServiceNotFoundError: the service is deleted.
            PodNotFoundError: the pod does not exist at present.
            PodNotRoutableError: the pod does not serve its users at present.
        """
        route = self.route(link.route)
        if link.pod is None:
            raise ProblemError(ProblemKind.WAITS_FOR_POD, "the uid is linked, but its link waits for a pod")
        pod_status = self._pod_statuses.get(link.route, _NO_PODS).get(link.pod)
        if pod_status is None:
            namespace, name = link.route.namespace, linked_pod_name(route, link)
            pod_status = service.find_unlisted_pod(route, link.pod, name, partial(self.endpoints.cache.get, namespace))
        return link_address(link, route, pod_status, self._endpoint(link.route, pod_status))

    def pod_key(self, route: Route, name: str) -> PodKey:
        """Returns the key by which links of a route refer to the pod of this name, which need not exist."""
        for key, pod_status in self._pod_statuses.get(route.key, _NO_PODS).items():
            if pod_status.name == name:
                return key
        index = ordinal(name)
        return index if index is not None and pod_name(route, index) == name else name

    def pod_name(self, route: Route, key: PodKey) -> str | None:
        """Returns the name of a pod by its key; None if it is not known."""
        pod_status = self._pod_statuses.get(route.key, _NO_PODS).get(key)
        return pod_name(route, key) if pod_status is None else pod_status.name

    def require_pod(self, route: Route, key: PodKey) -> None:
        """Raises `PodNotFoundError` unless a pod with this key exists, whether it serves users or not."""
        if key not in self._pod_statuses.get(route.key, _NO_PODS):
            endpoint_of = partial(self.endpoints.cache.get, route.namespace)
            service.find_unlisted_pod(route, key, pod_name(route, key), endpoint_of)

    def available_addresses(self, route: Route) -> Mapping[PodKey, Address]:
        """Returns the addresses of the listed pods that accept new users."""
        pods = self._pod_statuses.get(route.key, _NO_PODS)
        return {key: address for key, pod in pods.items() if (address := self._available_address(route, pod))}

    def unlisted_available_addresses(self, route: Route) -> Iterator[Address]:
        """Yields the addresses of the pods that accept new users and that the status of the route does not list."""
        if not may_omit_available_pods(route):  # otherwise each request would look at thousands of pods in vain
            return
        endpoints = self.endpoints.cache.in_partition(route.namespace).values()
        for pod in unlisted_pods(route, (endpoint for endpoint in endpoints if endpoint.is_ready)):
            if (address := self._available_address(route, pod)) is not None:
                yield address

    def any_available_address(self, route: Route, turn: int) -> Address:
        """Returns the address of a pod that accepts new users. Consecutive values of `turn` go through all listed pods.

        Raises:
            PodNotAvailableError: no pod accepts new users.
        """
        pods = list(self._pod_statuses.get(route.key, _NO_PODS).values())
        for offset in range(len(pods)):
            if (address := self._available_address(route, pods[(turn + offset) % len(pods)])) is not None:
                return address
        if (unlisted := next(self.unlisted_available_addresses(route), None)) is not None:
            return unlisted
        raise PodNotAvailableError(f"no pod of the service {route.name!r} takes new users now")

    def reachable_addresses(self, route: Route) -> Mapping[PodKey, Address]:
        """Returns the addresses of all listed pods that are reachable, including those that accept no new users."""
        pods = self._pod_statuses.get(route.key, _NO_PODS)
        return {key: address for key, pod in pods.items() if (address := self._reachable_address(route, pod))}

    def _available_address(self, route: Route, pod_status: PodStatus) -> Address | None:
        return self._reachable_address(route, pod_status) if service.is_available(pod_status) else None

    def _reachable_address(self, route: Route, pod_status: PodStatus) -> Address | None:
        try:
            return pod_address(route, pod_status, self._endpoint(route.key, pod_status))
        except (PodNotFoundError, PodNotRoutableError):  # the route's status may be older than the endpoint
            return None

    def _endpoint(self, key: RouteKey, pod_status: PodStatus) -> Endpoint | None:
        return self.endpoints.cache.get(key.namespace, pod_status.name)

    def _route_changed(self, old: Route | None, new: Route | None) -> None:
        if new is not None and new.spec.slots is not None:
            self._slots[new.key] = new.spec.slots
        elif old is not None:
            self._slots.pop(old.key, None)
        if new is not None:
            self._pod_statuses[new.key] = {service.pod_key(pod): pod for pod in new.status.pods}
        elif old is not None:
            self._pod_statuses.pop(old.key, None)


def slot_not_bound(route: str, slot: int) -> ProblemError:
    """Returns the problem of a uid whose slot has no link yet."""
    return ProblemError(ProblemKind.WAITS_FOR_POD, describe_unbound_slot(route, slot))
