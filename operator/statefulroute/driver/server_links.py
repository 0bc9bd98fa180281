"""The operations of a server driver on the links of users."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from statefulroute.domain import service as rules
from statefulroute.domain.address import Address, link_address
from statefulroute.domain.errors import (
    InternalError,
    NotLocalNamespaceError,
    PodNotAvailableError,
    ServiceNotFoundError,
)
from statefulroute.domain.keys import PodKey
from statefulroute.domain.link import Link
from statefulroute.domain.operations import Attempt
from statefulroute.domain.slots.lookup import describe_unbound_slot
from statefulroute.domain.unlisted_pods import linked_pod_name
from statefulroute.domain.validation import validate_route, validate_strings, validate_uid
from statefulroute.driver.deadline import deadline
from statefulroute.driver.lazy_parts import LazyParts
from statefulroute.driver.operation_log import OperationFields
from statefulroute.driver.operations import Operations
from statefulroute.driver.parts import ServerParts, ServiceReader


class ServerLinks:
    """Reads and changes the links of the pod's namespace.

    Args:
        namespace: the pod's namespace; operations on any other raise `NotLocalNamespaceError`.
        parts: the parts of the driver.
        deadline_seconds: the time limit of an operation.
        operations: runs the operations.
    """

    def __init__(self, namespace: str, parts: LazyParts, deadline_seconds: float, operations: Operations) -> None:
        self._namespace = namespace
        self._parts = parts
        self._deadline_seconds = deadline_seconds
        self._operations = operations

    async def set_linked_pod(
        self, namespace: str, uid: str, service: str, pod: PodKey, *, ttl_seconds: int | None = None
    ) -> PodKey | None:
        """Binds a uid to a pod, and replaces any other binding.

        In a service with slots, the user has a link of its own then, which binds before that of the slot.

        Args:
            namespace: the driver's namespace.
            uid: the user.
            service: the name of the StatefulRoute.
            pod: the pod's index in a StatefulSet, otherwise its name.
            ttl_seconds: the TTL of the link; None makes a persistent link.

        Returns:
            The pod that held the uid by a link before, or None. Pod 0 is a pod.

        Raises:
            NotLocalNamespaceError: the namespace is not the driver's; no request was sent.
            InvalidParameterError: a parameter is invalid; no request was sent.
            DeadlineExceededError: the API server did not respond in time.
            StatefulRouteError: the API server responded with an error.
        """
        fields = {"pod": pod, "ttl_seconds": ttl_seconds}
        async with self._operation("set_linked_pod", namespace, uid, service, **fields) as (parts, outcome):
            previous = await parts.links.set(service, uid, pod, ttl_seconds=ttl_seconds)
            outcome.add(previous=previous)
            return previous

    async def try_set_linked_pod(
        self, namespace: str, uid: str, service: str, pod: PodKey, *, ttl_seconds: int | None = None
    ) -> Attempt:
        """Binds a uid to a pod, unless it has a persistent link to another pod.

        Takes the parameters of `set_linked_pod` and raises the same errors.

        Returns:
            Whether the uid is bound to the pod, and the pod that holds it now.
        """
        fields = {"pod": pod, "ttl_seconds": ttl_seconds}
        async with self._operation("try_set_linked_pod", namespace, uid, service, **fields) as (parts, outcome):
            attempt = await parts.links.try_set(service, uid, pod, ttl_seconds=ttl_seconds)
            outcome.add(won=attempt.won, holder=attempt.holder)
            return attempt

    async def remove_linked_pod(
        self, namespace: str, uid: str, service: str, *, grace_seconds: int | None = None
    ) -> bool:
        """Removes a link to any pod. Raises the errors of `set_linked_pod`.

        In a service with slots, the user belongs to its slot then.

        Args:
            namespace: the driver's namespace.
            uid: the user.
            service: the name of the StatefulRoute.
            grace_seconds: how long the link remains, as a temporary link; None and 0 remove it at once.

        Returns:
            Whether there was a link.
        """
        fields = {"grace_seconds": grace_seconds}
        async with self._operation("remove_linked_pod", namespace, uid, service, **fields) as (parts, outcome):
            removed = await parts.links.remove(service, uid, grace_seconds=grace_seconds)
            outcome.add(removed=removed)
            return removed

    async def remove_linked_pod_with_id(
        self, namespace: str, uid: str, service: str, pod: PodKey, *, grace_seconds: int | None = None
    ) -> bool:
        """Removes a link only if it is to the given pod. Raises the errors of `set_linked_pod`.

        Args:
            namespace: the driver's namespace.
            uid: the user.
            service: the name of the StatefulRoute.
            pod: the pod's index in a StatefulSet, otherwise its name.
            grace_seconds: how long the link remains, as a temporary link; None and 0 remove it at once.

        Returns:
            Whether the link was to the pod.
        """
        fields = {"pod": pod, "grace_seconds": grace_seconds}
        async with self._operation("remove_linked_pod_with_id", namespace, uid, service, **fields) as (parts, outcome):
            removed = await parts.links.remove_if_linked_to(service, uid, pod, grace_seconds=grace_seconds)
            outcome.add(removed=removed)
            return removed

    async def get_linked_pod(self, namespace: str, uid: str, service: str, *, fresh: bool = False) -> PodKey | None:
        """Returns the pod that holds a uid, or None.

        In a service with slots, that is the pod of the user's slot, unless the user has a link.

        Args:
            namespace: the driver's namespace.
            uid: the user.
            service: the name of the StatefulRoute.
            fresh: whether to read from the API server, even if the driver follows the links of its service.

        Raises:
            StatefulRouteError: as `set_linked_pod`.
            PodNotAvailableError: the user belongs to a slot that is not bound to a pod yet.
        """
        async with self._operation("get_linked_pod", namespace, uid, service) as (parts, outcome):
            link = await _bound_link(parts, service, uid, fresh=fresh)
            pod = link.pod if link else None
            outcome.add(pod=pod)
            return pod

    async def links_of(self, namespace: str, uid: str, among: Iterable[str] | None = None) -> dict[str, PodKey]:
        """Returns the pod that holds a uid, by service. Raises the errors of `set_linked_pod`.

        Args:
            namespace: the driver's namespace.
            uid: the user.
            among: the services to search; None searches all of the namespace.
        """
        searched = None if among is None else validate_strings("among", among)
        async with self._operation("links_of", namespace, uid) as (parts, outcome):
            searched = await _reader(parts).names() if searched is None else searched
            pods = await parts.links.links_of(uid, searched)
            outcome.add(links=pods)
            return pods

    async def address_of(self, namespace: str, uid: str, service: str) -> Address | None:
        """Returns the address of the pod that holds a uid, or None if no pod does.

        Takes the parameters of `get_linked_pod`.

        Raises:
            StatefulRouteError: as `set_linked_pod`.
            ServiceNotFoundError: the service does not exist.
            PodNotAvailableError: as `get_linked_pod`.
            PodNotFoundError: the pod does not exist at present.
            PodNotRoutableError: the pod does not serve its users at present.
        """
        async with self._operation("address_of", namespace, uid, service) as (parts, outcome):
            link = await _bound_link(parts, service, uid)
            if link is None or link.pod is None:
                return None
            route = parts.routes.get(service) or await _reader(parts).route(service)
            if route is None:
                raise ServiceNotFoundError(f"there is no service {service!r} in namespace {namespace!r}")
            listed = next((pod.name for pod in route.status.pods if rules.pod_key(pod) == link.pod), None)
            name = listed or linked_pod_name(route, link)
            endpoint = await _reader(parts).endpoint(name) if name else None
            pod_status = rules.find_pod(route, link.pod, name, lambda _: endpoint)
            address = link_address(link, route, pod_status, endpoint)
            outcome.add(pod=address.pod)
            return address

    # Implementation.

    @asynccontextmanager
    async def _operation(
        self, name: str, namespace: str, uid: str, service: str | None = None, **fields: object
    ) -> AsyncIterator[tuple[ServerParts, OperationFields]]:
        """Logs an operation, validates its parameters, and yields the parts, within the deadline.

        No request precedes the validation.
        """
        named = {} if service is None else {"service": service}
        with self._operations.run(name, namespace=namespace, uid=uid, **named, **fields) as outcome:
            if namespace != self._namespace:
                raise NotLocalNamespaceError
            if service is not None:
                validate_route(service)
            validate_uid(uid)
            async with deadline(self._deadline_seconds):
                yield await self._parts.get(), outcome


async def _bound_link(parts: ServerParts, service: str, uid: str, *, fresh: bool = False) -> Link | None:
    """Returns the link that binds a uid, or None.

    Raises:
        PodNotAvailableError: it is that of a slot that is not bound to a pod yet.
    """
    link, slot = await parts.links.find_bound(service, uid, fresh=fresh)
    if slot is not None and (link is None or link.pod is None):
        raise PodNotAvailableError(describe_unbound_slot(service, slot))
    return link


def _reader(parts: ServerParts) -> ServiceReader:
    if parts.services is None:
        raise InternalError("the driver was made from parts without `services`")
    return parts.services
