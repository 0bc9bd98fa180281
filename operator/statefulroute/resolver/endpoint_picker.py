"""Picks the pod for a gateway's request: the pod that holds its user, or by the policy for unlinked uids."""

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
from statefulroute.resolver.callers import Caller
from statefulroute.resolver.lookup_holder import LookupHolder
from statefulroute.resolver.unlinked_uid import UnlinkedUidPolicy
from statefulroute.rest.problems import ProblemError, ProblemKind, not_linked


class Pick(NamedTuple):
    """The pod for a request.

    Attributes:
        pod: the name of the pod.
        endpoint: IP and port of the pod.
        is_linked: whether the pod holds the user.
    """

    pod: str
    endpoint: str
    is_linked: bool


class EndpointPicker:
    """Picks pods for gateways.

    Args:
        cache: the resolver's cache.
        binder: binds new users.
        unlinked_uid: the policy for uids that are not linked.
        holder: holds requests of users whose links have no pods; None holds none.
        confirms_absence: whether a uid that is not linked in the cache is looked up in the API server, too: another
            resolver may have linked it just now.
    """

    def __init__(
        self,
        cache: ResolverCache,
        binder: Binder,
        unlinked_uid: UnlinkedUidPolicy,
        holder: LookupHolder | None = None,
        *,
        confirms_absence: bool = False,
    ) -> None:
        self._cache = cache
        self._binder = binder
        self._unlinked_uid = unlinked_uid
        self._holder = holder
        self._confirms_absence = confirms_absence
        self._counter = count()

    async def pick(self, key: RouteKey, uid: str | None, caller: Caller, subset: Container[str] | None = None) -> Pick:
        """Picks the pod for a request.

        Never picks another pod if the user's pod is unreachable: only the route's rules move a link.

        Args:
            key: the service.
            uid: the user; None if the request has no uid.
            caller: the caller of the request, which may be held.
            subset: the endpoints that the gateway offers; None is all.

        Raises:
            ProblemError: there is no pod for the request.
            StatefulRouteError: there is no pod for the request.
            ClusterError: the uid was to be bound or confirmed, and the API server responded with an error.
            ConnectionResetError: the request was held, and its caller has closed the connection.
        """
        link = None if uid is None else self._cache.bound_link(key, uid)
        if uid is not None and link is None and self._confirms_absence:
            link = await self._binder.read_bound(key, uid)
        if uid is not None and (link is None or link.pod is None) and self._unlinked_uid is UnlinkedUidPolicy.BIND:
            among = self._candidates(key, subset)
            if self._holder is None:
                link = await self._binder.bind(key, uid, among=among)
            else:
                link = await self._holder.bind(key, uid, caller, among=among)
        elif link is not None and link.pod is None and self._holder is not None:
            self._binder.renew_if_due(link)
            link = await self._holder.wait(link, caller)
        elif link is not None:
            self._binder.renew_if_due(link)
        if link is not None:
            return _pick(self._address_of(link, subset), is_linked=True)
        route = self._cache.route(key)
        if self._unlinked_uid is UnlinkedUidPolicy.REFUSE:
            raise _refusal(route, uid)
        return _pick(self._any(route, subset), is_linked=False)

    def _address_of(self, link: Link, subset: Container[str] | None) -> Address:
        address = self._cache.address(link)
        if subset is not None and address.endpoint not in subset:
            raise PodNotRoutableError(f"the gateway does not offer the pod {address.pod!r} for this request")
        return address

    def _candidates(self, key: RouteKey, subset: Container[str] | None) -> Container[PodKey] | None:
        if subset is None:
            return None
        available = self._cache.available_addresses(self._cache.route(key))
        return {pod for pod, address in available.items() if address.endpoint in subset}

    def _any(self, route: Route, subset: Container[str] | None) -> Address:
        turn = next(self._counter)
        if subset is None:
            return self._cache.any_available_address(route, turn)
        addresses = self._cache.available_addresses(route).values()
        offered = [address for address in addresses if address.endpoint in subset] or [
            address for address in self._cache.unlisted_available_addresses(route) if address.endpoint in subset
        ]
        if not offered:
            raise PodNotAvailableError(f"the gateway offers no pod of the service {route.name!r} that takes users now")
        return offered[turn % len(offered)]


def _pick(address: Address, *, is_linked: bool) -> Pick:
    if address.port is None:
        raise ProblemError(
            ProblemKind.NO_PORT,
            "spec.port of the StatefulRoute must be a number, or the name of a port of its pods' containers: a gateway "
            f"cannot connect to {address.pod!r} without one",
        )
    return Pick(address.pod, address.endpoint, is_linked)


def _refusal(route: Route, uid: str | None) -> ProblemError:
    if uid is None:
        return ProblemError(ProblemKind.NO_UID, "the request has no uid")
    return not_linked(route.name, uid)
