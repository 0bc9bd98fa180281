"""Links the uid that a response names to the pod that has sent the response."""

import time
from collections.abc import Callable
from itertools import chain

import structlog

from statefulroute.domain.errors import InvalidParameterError
from statefulroute.domain.keys import RouteKey, link_name
from statefulroute.domain.rate_limiter import RateLimiter
from statefulroute.resolver.binder import Binder
from statefulroute.resolver.cache import ResolverCache
from statefulroute.resolver.endpoint_picker import Pick
from statefulroute.resolver.uid_sources import SourceRequest, UidLocation, UidSource, find_uid
from statefulroute.rest.problems import ProblemError, ProblemKind

log = structlog.get_logger(__name__)

_STATUS = ":status"

#: How often a route is warned of: a server may name the same uid in each response.
_WARNINGS_PER_SECOND = 1 / 60


class ResponseLinker:
    """Links the uids of sessions that servers begin, and name in a header of their responses.

    A uid that is linked already stays linked to its pod, also if it is another one: its later requests reach this one,
    and only the rules of the route move a link.

    Args:
        cache: the resolver's cache.
        binder: binds the uids.
        header: the name of the header.
        on_result: called for each response with a uid, which is `named` (it is linked to this pod now, or was before)
            or `conflicting` (it is linked to another pod).
    """

    def __init__(
        self, cache: ResolverCache, binder: Binder, header: str, on_result: Callable[[str], None] = lambda _: None
    ) -> None:
        self._cache = cache
        self._binder = binder
        self._source = UidSource(UidLocation.HEADER, header.lower())
        self._on_result = on_result
        self._warnings = RateLimiter(_WARNINGS_PER_SECOND, time.monotonic, burst=1)

    async def link(self, key: RouteKey, pick: Pick, served: str | None, response: SourceRequest) -> None:
        """Links the uid that a response names, if it names one and is a success.

        Args:
            key: the route.
            pick: the pod that was picked for the request.
            served: IP and port of the pod that has served it; None if the gateway does not say so, and the pick has.
            response: the response. Without a `:status` it counts as a success.

        Raises:
            ProblemError: the uid is invalid, no pod of the route has served the request, or the rate of new links of
                the route is exceeded. The client must not get the response: it could not find its session again.
            LinkLimitReachedError: the route or its namespace has as many links as it may have.
            StatefulRouteError: the service does not exist, or the API server did not respond.
            ClusterError: the API server responded with an error.
        """
        if not _is_success(response) or (uid := self._uid(response)) is None:
            return
        pod = self._cache.pod_key(self._cache.route(key), self._served_pod(key, pick, served))
        holder = await self._binder.bind_to(key, uid, pod)
        if holder == pod:
            self._on_result("named")
            return
        self._on_result("conflicting")
        if self._warnings.take(key) == 0:
            link = link_name(key.name, uid)
            log.warning(
                "a response names a uid that is linked to another pod", link=link, namespace=key.namespace, pod=pod
            )

    def _uid(self, response: SourceRequest) -> str | None:
        try:
            return find_uid((self._source,), response)
        except InvalidParameterError as error:
            raise ProblemError(
                ProblemKind.UNUSABLE_RESPONSE,
                f"the header {self._source.name} of the server's response is no uid of a link: {error}",
            ) from None

    def _served_pod(self, key: RouteKey, pick: Pick, served: str | None) -> str:
        """Returns the name of the pod that has served a request."""
        if served is None or served == pick.endpoint:
            return pick.pod
        route = self._cache.route(key)
        listed = self._cache.reachable_addresses(route).values()
        for address in chain(listed, self._cache.unlisted_available_addresses(route)):
            if address.endpoint == served:
                return address.pod
        raise ProblemError(
            ProblemKind.UNUSABLE_RESPONSE,
            f"the gateway got the response from {served}, which is no pod of the service {key.name!r} that is ready",
        )


def _is_success(response: SourceRequest) -> bool:
    status = next(iter(response.header(_STATUS)), "")
    return not status or status.startswith("2")
