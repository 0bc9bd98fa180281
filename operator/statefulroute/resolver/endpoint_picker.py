"""Where a gateway sends a request: to the pod that holds its user, and what becomes of one whom none holds."""

from collections.abc import Container
from itertools import count
from typing import NamedTuple

from statefulroute.domain.address import Address
from statefulroute.domain.errors import PodNotAvailableError, PodNotRoutableError
from statefulroute.domain.keys import PodKey, RouteKey
from statefulroute.domain.link import Link
from statefulroute.domain.route import Route
from statefulroute.resolver.binder import Binder
from statefulroute.resolver.cache import ResolverCache
from statefulroute.resolver.problems import ProblemError, ProblemKind, not_linked
from statefulroute.resolver.unlinked_uid import UnlinkedUidPolicy


class Pick(NamedTuple):
    """Where a request goes.

    Attributes:
        endpoint: IP and port of a pod.
        is_linked: whether that pod holds the user.
    """

    endpoint: str
    is_linked: bool


class EndpointPicker:
    """Picks pods for gateways.

    Args:
        cache: what is known.
        binder: binds who is new.
        unlinked_uid: what becomes of those who are not linked.
    """

    def __init__(self, cache: ResolverCache, binder: Binder, unlinked_uid: UnlinkedUidPolicy) -> None:
        self._cache = cache
        self._binder = binder
        self._unlinked_uid = unlinked_uid
        self._counter = count()

    async def pick(self, key: RouteKey, uid: str | None, subset: Container[str] | None = None) -> Pick:
        """Where a request goes.

        A user whose pod cannot be reached is sent nowhere: the route's rules move the link, and nothing else does.

        Args:
            key: the service.
            uid: whose request it is; None where it does not say.
            subset: the endpoints that the gateway can use; None is all.

        Raises:
            ProblemError: it goes nowhere.
            StatefulRouteError: likewise.
            ClusterError: it was to be bound, and the API server answered with an error.
        """
        link = None if uid is None else self._cache.link(key, uid)
        if uid is not None and (link is None or link.pod is None) and self._unlinked_uid is UnlinkedUidPolicy.BIND:
            link = await self._binder.bind(key, uid, among=self._candidates(key, subset))
        elif link is not None:
            self._binder.renew_if_due(link)
        if link is not None:
            return Pick(self._endpoint_of(link, subset), is_linked=True)
        route = self._cache.route(key)
        if self._unlinked_uid is UnlinkedUidPolicy.REFUSE:
            raise _refusal(route, uid)
        return Pick(self._any(route, subset), is_linked=False)

    def _endpoint_of(self, link: Link, subset: Container[str] | None) -> str:
        address = self._cache.address(link)
        endpoint = _endpoint(address)
        if subset is not None and endpoint not in subset:
            raise PodNotRoutableError(f"the pod {address.pod!r} is none that the gateway offers for this request")
        return endpoint

    def _candidates(self, key: RouteKey, subset: Container[str] | None) -> Container[PodKey] | None:
        if subset is None:
            return None
        available = self._cache.available_addresses(self._cache.route(key))
        return {pod for pod, address in available.items() if address.endpoint in subset}

    def _any(self, route: Route, subset: Container[str] | None) -> str:
        turn = next(self._counter)
        if subset is None:
            return _endpoint(self._cache.any_available_address(route, turn))
        offered = [each.endpoint for each in self._cache.available_addresses(route).values() if each.endpoint in subset]
        if not offered:
            raise PodNotAvailableError(f"no pod of the service {route.name!r} that the gateway offers takes users now")
        return offered[turn % len(offered)]


def _endpoint(address: Address) -> str:
    if address.port is None:
        raise ProblemError(
            ProblemKind.NO_PORT,
            "spec.port of the StatefulRoute must be a number, or the name of a port of its pods' containers: a gateway "
            f"cannot connect to {address.pod!r} without one",
        )
    return address.endpoint


def _refusal(route: Route, uid: str | None) -> ProblemError:
    if uid is None:
        return ProblemError(ProblemKind.NO_UID, "the request does not say whose it is")
    return not_linked(route.name, uid)
