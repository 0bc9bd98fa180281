"""Changes links for callers: unlinks users, renews their links, and claims users for a pod."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import ceil

from statefulroute.cluster.clock import IntervalClock, utc_interval
from statefulroute.domain.keys import PodKey, RouteKey
from statefulroute.domain.link import Link
from statefulroute.domain.operations import (
    Step,
    active_link,
    remove_link,
    remove_link_if_bound_to,
    renew_link,
    try_set_link,
)
from statefulroute.domain.route import Route
from statefulroute.domain.times import TimeInterval
from statefulroute.domain.validation import validate_grace_seconds, validate_pod, validate_ttl_seconds, validate_uid
from statefulroute.resolver.binder import Binder
from statefulroute.resolver.cache import ResolverCache
from statefulroute.rest.problems import ProblemError, ProblemKind, not_linked


@dataclass(frozen=True, slots=True)
class _Removal:
    """The result of unlinking a user.

    Attributes:
        is_removed: whether the link was removed.
        link: the link before; None if there was none.
    """

    is_removed: bool
    link: Link | None


class LinkChanges:
    """Unlinks users, renews their links, and claims users for a pod.

    Each decision is made by the API server: a write is on condition that the link has not changed, and the absence of a
    link in the cache is confirmed by a read. Each change takes one of the slots of strong reads, so callers that change
    many links delay no bindings.

    Args:
        cache: the resolver's cache.
        binder: executes the changes, and limits the rate of new links.
        is_allowed: whether callers may unlink and claim users; they may always renew links.
        clock: the time of day by both clocks, the earliest of which is that by which links end.
        on_result: called for each link that is `unlinked`, `renewed` or `claimed` (bound to the pod of a claim).
    """

    def __init__(
        self,
        cache: ResolverCache,
        binder: Binder,
        *,
        is_allowed: bool,
        clock: IntervalClock = utc_interval,
        on_result: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._cache = cache
        self._binder = binder
        self._is_allowed = is_allowed
        self._clock = clock
        self._on_result = on_result

    async def unlink(
        self, key: RouteKey, uid: str, *, only_from: str | None = None, grace_seconds: int | None = None
    ) -> None:
        """Removes the link of a user.

        Args:
            key: the route.
            uid: the user.
            only_from: removes the link only if it is bound to the pod of this name; None removes it in any case.
            grace_seconds: the seconds until the link expires; None and 0 remove it at once.

        Raises:
            ProblemError: changes are not allowed, the uid is not linked, or it is linked to another pod.
            StatefulRouteError: the service does not exist, a parameter is invalid, or the API server did not respond.
            ClusterError: the API server responded with an error.
        """
        self._require_allowed()
        route = self._cache.route(key)
        pod = None if only_from is None else self._cache.pod_key(route, _validated_pod_name(only_from))
        rule = partial(_remove, pod=pod, grace_seconds=validate_grace_seconds(grace_seconds))
        removal = await self._binder.execute(key, uid, rule)
        if removal.is_removed:
            self._on_result("unlinked")
        elif removal.link is None:
            raise not_linked(route.name, uid, age_seconds=0)
        else:
            raise ProblemError(
                ProblemKind.LINKED_TO_OTHER_POD,
                f"{uid!r} is not linked to pod {only_from!r} in StatefulRoute {route.name!r}: it stays linked",
            )

    async def renew(self, key: RouteKey, uid: str, *, strong: bool = False) -> tuple[Link, bool]:
        """Renews the temporary link of a user if less than half of its TTL is left.

        Args:
            key: the route.
            uid: the user.
            strong: whether the API server is asked even if the cache shows that nothing is to be done.

        Returns:
            The link, and whether the API server has confirmed it; otherwise it is from the cache.

        Raises:
            ProblemError: the uid is not linked.
            StatefulRouteError: as `unlink`.
            ClusterError: as `unlink`.
        """
        route = self._cache.route(key)
        cached = self._cache.link(key, uid)
        if not strong:
            if cached is None:
                raise not_linked(route.name, uid, int(self._cache.age(key.namespace)))
            if renew_link(cached, self._clock()).write is None:
                return cached, False
        exists, is_written = await self._binder.execute(key, uid, _renew)
        link = self._cache.link(key, uid)
        if not exists or link is None:
            raise not_linked(route.name, uid, age_seconds=0)
        if is_written:
            self._on_result("renewed")
        return link, True

    async def claim(
        self, key: RouteKey, uid: str, pod_name: str, *, ttl_seconds: int | None, persistent: bool
    ) -> tuple[bool, Link]:
        """Binds a user to a pod, unless the user has a persistent link to another pod.

        Args:
            key: the route.
            uid: the user.
            pod_name: the name of the pod, which must exist.
            ttl_seconds: the TTL of the link; None is the resolver's default.
            persistent: whether the link is persistent; then `ttl_seconds` must be None.

        Returns:
            Whether the claim has won, and the link after it.

        Raises:
            ProblemError: changes are not allowed, both a TTL and a persistent link are requested, the rate of new links
                of the route is exceeded, or the link was changed again at once.
            PodNotFoundError: the pod does not exist.
            LinkLimitReachedError: the route or its namespace has as many links as it may have.
            StatefulRouteError: as `unlink`.
            ClusterError: as `unlink`.
        """
        self._require_allowed()
        route = self._cache.route(key)
        if persistent and ttl_seconds is not None:
            raise ProblemError(ProblemKind.INVALID_PARAMETER, "a link with ttlSeconds is not persistent: send only one")
        pod = self._cache.pod_key(route, _validated_pod_name(pod_name))
        self._cache.require_pod(route, pod)
        ttl_seconds = None if persistent else self._binder.ttl_seconds(route, validate_ttl_seconds(ttl_seconds))
        rule = partial(try_set_link, pod=pod, ttl_seconds=ttl_seconds)
        cached = self._cache.link(key, validate_uid(uid))
        is_new = cached is None or cached.pod != pod
        if is_new and rule(cached, self._clock()).write is not None:
            self._take_token(route)
        attempt = await self._binder.execute(key, uid, rule)
        if attempt.won and is_new:
            self._binder.assume(route, pod)
            self._on_result("claimed")
        link = self._cache.link(key, uid)
        if link is None or link.pod != attempt.holder:
            raise ProblemError(ProblemKind.CONTENDED, "the link was changed as soon as it was claimed: try again")
        return attempt.won, link

    def _require_allowed(self) -> None:
        if not self._is_allowed:
            raise ProblemError(
                ProblemKind.NOT_ALLOWED,
                "this resolver lets callers look up, bind and renew users only: it was started without --link-changes",
            )

    def _take_token(self, route: Route) -> None:
        if (wait := self._binder.take_token(route.key)) > 0:
            self._binder.count_refused()
            raise ProblemError(
                ProblemKind.TOO_MANY_BINDINGS,
                f"too many users are bound in StatefulRoute {route.name!r}: try again later",
                ceil(wait),
            )


def _remove(link: Link | None, now: TimeInterval, *, pod: PodKey | None, grace_seconds: int | None) -> Step[_Removal]:
    """Removes a link, if it is bound to the pod or no pod is given."""
    if pod is None:
        step = remove_link(link, now, grace_seconds=grace_seconds)
    else:
        step = remove_link_if_bound_to(link, now, pod=pod, grace_seconds=grace_seconds)
    return Step(step.write, _Removal(step.result, active_link(link, now.earliest)))


def _renew(link: Link | None, now: TimeInterval) -> Step[tuple[bool, bool]]:
    """Renews a link. The result is whether it exists, and whether it is written."""
    step = renew_link(link, now)
    return Step(step.write, (step.result, step.write is not None))


def _validated_pod_name(name: str) -> str:
    """Returns the name of a pod if a pod can have it; raises `InvalidParameterError` otherwise."""
    return str(validate_pod(name))
