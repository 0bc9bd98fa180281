"""Operations on links with the Kubernetes API: each applies a domain rule with one conditional request."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import TypeVar

from statefulroute.cluster.client import Client
from statefulroute.cluster.clock import IntervalClock, utc_interval
from statefulroute.cluster.link_requests import (
    CachedLinks,
    LinkRequests,
    LinkSnapshot,
)
from statefulroute.cluster.link_transactions import LinkTransactions, Rule
from statefulroute.cluster.token_reader import TokenReader
from statefulroute.domain.keys import PodKey, RouteKey, UidOrSlot, link_name, slot_link_name
from statefulroute.domain.leaving import CommitResult, commit_hand_over
from statefulroute.domain.link import HandOver, Link
from statefulroute.domain.link_limiter import LinkLimiter
from statefulroute.domain.operations import (
    Attempt,
    LinkWrite,
    active_link,
    find_holder,
    remove_link,
    remove_link_if_bound_to,
    renew_link,
    set_link,
    set_link_if_absent,
    try_set_link,
)
from statefulroute.domain.slots.lookup import binding_slot
from statefulroute.domain.validation import (
    validate_grace_seconds,
    validate_pod,
    validate_route,
    validate_ttl_seconds,
    validate_uid,
)

ResultT = TypeVar("ResultT")

#: The maximum number of requests of one batch in progress.
_MAX_PARALLEL_READS = 16


class LinkStore:
    """Reads and changes the links of one namespace.

    Each operation is atomic, by means of the API server: the name is the key, so a create is "set if absent", a patch
    with a resourceVersion is "compare and swap", and a delete with preconditions is "remove if unchanged". An operation
    may be cancelled at any time.

    Args:
        client: the client for the API server.
        namespace: the namespace of the links.
        links: a cache of the links; with it, writes need no read before, and `get` needs no request.
        clock: returns the time of day by both clocks.
        deadline_seconds: the maximum duration of an operation.
        keep_managed_fields: whether the managedFields of links stay. By default, each write of a spec removes them
            unless the link was applied: they are more than half of a link.
        limiter: limits new links; None creates any number.
        slots_of: returns the number of slots of a route, or None if it has none, for `get_bound`, `links_of` and
            `batch_get`; None takes no route to have slots.
        on_write: called with each change that was written; None calls nothing.
    """

    def __init__(  # noqa: PLR0913 - all but two have a default
        self,
        client: Client,
        namespace: str,
        *,
        links: CachedLinks | None = None,
        clock: IntervalClock = utc_interval,
        deadline_seconds: float = 10.0,
        keep_managed_fields: bool = False,
        limiter: LinkLimiter | None = None,
        slots_of: Callable[[str], Awaitable[int | None]] | None = None,
        on_write: Callable[[LinkWrite], None] | None = None,
    ) -> None:
        self._namespace = namespace
        self._limiter = limiter
        self._slots_of = slots_of
        self._requests = LinkRequests(client, namespace, links, keep_managed_fields=keep_managed_fields)
        self._transactions = LinkTransactions(self._requests, namespace, clock, deadline_seconds, limiter, on_write)
        self._clock = clock
        self._tokens = TokenReader(self._requests, slots_of, clock)
        self._flights: dict[tuple[str, str], asyncio.Task[PodKey]] = {}

    async def get(self, route: str, uid: str, *, fresh: bool = False) -> Link | None:
        """Returns the link of a uid in a route, or None if it does not exist or has expired.

        Args:
            route: the name of the StatefulRoute.
            uid: the uid of the user.
            fresh: whether to read from the API server even with a cache.

        Raises:
            InvalidParameterError: a parameter is invalid; no request was sent.
            DeadlineExceededError: the API server did not answer in time.
            ClusterError: the API server is unreachable or answered with an error.
        """
        return await self._get(route, _checked_link_name(route, uid), fresh=fresh)

    async def get_of(self, route: str, bound: UidOrSlot, *, fresh: bool = False) -> Link | None:
        """Returns the link of a uid or of a slot, as `get` or `get_slot` does."""
        if isinstance(bound, str):
            return await self.get(route, bound, fresh=fresh)
        return await self.get_slot(route, bound, fresh=fresh)

    async def get_slot(self, route: str, slot: int, *, fresh: bool = False) -> Link | None:
        """Returns the link of a slot of a route, or None if it does not exist or names no pod.

        Args:
            route: the name of the StatefulRoute.
            slot: the number of the slot.
            fresh: whether to read from the API server even with a cache.

        Raises:
            DeadlineExceededError: the API server did not answer in time.
            ClusterError: the API server is unreachable or answered with an error.
        """
        link = await self._get(route, slot_link_name(route, slot), fresh=fresh)
        return link if link is not None and link.pod is not None else None

    async def get_bound(self, route: str, uid: str, *, fresh: bool = False) -> Link | None:
        """Returns the link that binds a uid: its own if it has one, otherwise that of its slot; or None.

        Has the arguments and errors of `get`.
        """
        return (await self.find_bound(route, uid, fresh=fresh))[0]

    async def find_bound(self, route: str, uid: str, *, fresh: bool = False) -> tuple[Link | None, int | None]:
        """Returns the link that binds a uid, as `get_bound` does, and the uid's slot if the uid has no link of its own.

        Has the arguments and errors of `get`.
        """
        own = await self.get(route, uid, fresh=fresh)
        # The number of slots may cost a request, which a uid with a link of its own does not need.
        slots = await self._slots_of(route) if own is None and self._slots_of is not None else None
        slot = binding_slot(uid, own, slots)
        return (own if slot is None else await self.get_slot(route, slot, fresh=fresh)), slot

    def cached(self, route: str, uid: str) -> Link | None:
        """Returns the cached link of a uid without a request; None if it is not cached, or has expired."""
        return active_link(self._requests.cached(route, _checked_link_name(route, uid)), self._clock().earliest)

    async def read_token(self, route: str, uid: str, pod: PodKey) -> int | None:
        """Returns the fencing token of a uid that a pod holds; None if it does not. See `token_reader`.

        Raises:
            ContendedError: the link of the user has just expired.
            StatefulRouteError: as `get`.
            ClusterError: as `get`.
        """
        _checked_link_name(route, uid)
        async with self._transactions.deadline():
            return await self._tokens.read(route, uid, pod)

    async def set(self, route: str, uid: str, pod: PodKey, *, ttl_seconds: int | None = None) -> PodKey | None:
        """Binds a uid to a pod unconditionally; returns its previous pod, or None. Raises as `get` does."""
        rule = partial(set_link, pod=validate_pod(pod), ttl_seconds=validate_ttl_seconds(ttl_seconds))
        return await self._execute(route, uid, rule)

    async def try_set(self, route: str, uid: str, pod: PodKey, *, ttl_seconds: int | None = None) -> Attempt:
        """Binds a uid to a pod, unless it has a persistent link to another pod. Raises as `get` does."""
        rule = partial(try_set_link, pod=validate_pod(pod), ttl_seconds=validate_ttl_seconds(ttl_seconds))
        return await self._execute(route, uid, rule)

    async def set_if_absent(self, route: str, uid: str, pod: PodKey, *, ttl_seconds: int | None = None) -> PodKey:
        """Binds a uid to a pod, unless it has a link; returns its pod afterwards.

        Raises:
            LinkLimitReachedError: the route or its namespace must not have another link.
            StatefulRouteError: as `get`.
            ClusterError: as `get`.
        """
        rule = partial(set_link_if_absent, pod=validate_pod(pod), ttl_seconds=validate_ttl_seconds(ttl_seconds))
        return await self._execute(route, uid, rule)

    async def compute_if_absent(
        self, route: str, uid: str, choose: Callable[[], Awaitable[PodKey]], *, ttl_seconds: int | None = None
    ) -> PodKey:
        """Binds a uid to a chosen pod, unless it has a link; returns its pod. Raises as `set_if_absent` does.

        Concurrent calls for the same uid and route in this process share one operation. Between processes, the API
        server decides, and every process returns the winner's pod.

        Args:
            route: the name of the StatefulRoute.
            uid: the uid of the user.
            choose: chooses the pod; called only if there is no link. Its exceptions are raised.
            ttl_seconds: the lifetime of the link; None makes it persistent.
        """
        key = (validate_route(route), validate_uid(uid))
        ttl_seconds = validate_ttl_seconds(ttl_seconds)
        flight = self._flights.get(key)
        if flight is None:
            flight = asyncio.create_task(self._compute(route, uid, choose, ttl_seconds))
            self._flights[key] = flight
            flight.add_done_callback(partial(self._end_flight, key))
        return await asyncio.shield(flight)  # a cancelled caller does not cancel the operation of the others

    def _end_flight(self, key: tuple[str, str], flight: asyncio.Task[PodKey]) -> None:
        self._flights.pop(key, None)
        if not flight.cancelled():
            flight.exception()  # marks it as retrieved, in case every caller was cancelled

    async def _compute(
        self, route: str, uid: str, choose: Callable[[], Awaitable[PodKey]], ttl_seconds: int | None
    ) -> PodKey:
        async with self._transactions.deadline() as timeout:
            snapshot = await self._requests.get(route, _checked_link_name(route, uid))
            if find_holder(snapshot.link, self._clock()).result is not None:
                # The cached link may be gone: only a chosen pod is bound, never the pod of a stale link.
                holder = await self._transactions.attempt(route, uid, find_holder, snapshot, timeout)
                if holder is not None:
                    return holder
            if snapshot.link is None and self._limiter is not None:  # no pod is chosen in vain
                self._limiter.check(RouteKey(self._namespace, route))
            rule = partial(set_link_if_absent, pod=validate_pod(await choose()), ttl_seconds=ttl_seconds)
            return await self._transactions.attempt(route, uid, rule, snapshot, timeout)

    async def remove(self, route: str, uid: str, *, grace_seconds: int | None = None) -> bool:
        """Removes a link, at once or after a grace period; returns whether it existed. Raises as `get` does."""
        return await self._execute(
            route, uid, partial(remove_link, grace_seconds=validate_grace_seconds(grace_seconds))
        )

    async def remove_if_linked_to(self, route: str, uid: str, pod: PodKey, *, grace_seconds: int | None = None) -> bool:
        """Does the same as `remove` if the link is bound to this pod; returns whether it was. Raises as `get` does."""
        rule = partial(
            remove_link_if_bound_to, pod=validate_pod(pod), grace_seconds=validate_grace_seconds(grace_seconds)
        )
        return await self._execute(route, uid, rule)

    async def execute(
        self,
        route: str,
        uid: str,
        rule: Rule[ResultT],
        *,
        expect_absent: bool = False,
    ) -> ResultT:
        """Executes a domain rule and returns its result. Raises as `get` does.

        Args:
            route: the name of the StatefulRoute.
            uid: the uid of the user.
            rule: decides what to write, given the link and the time.
            expect_absent: whether to try to create the link before reading it.
        """
        return await self._execute(route, uid, rule, LinkSnapshot(None, is_fresh=False) if expect_absent else None)

    async def renew(self, route: str, uid: str) -> bool:
        """Renews a temporary link; returns whether there is a link. Raises as `get` does.

        It writes only if less than half of the link's lifetime is left, so it may be called at every use.
        """
        return await self._execute(route, uid, renew_link)

    async def commit_hand_over(self, link: Link, origin: PodKey, hand_over: HandOver) -> CommitResult:
        """Binds a user or slot that was handed over to the new pod, if the link still asks for it.

        Raises as `get` does.

        Args:
            link: the last known version of the link; if it is the present one, this is one request.
            origin: the old pod.
            hand_over: the hand-over that the old pod has carried out.
        """
        rule = partial(commit_hand_over, origin=origin, hand_over=hand_over)
        async with self._transactions.deadline() as timeout:
            return await self._transactions.attempt(
                link.route.name, link.bound, rule, LinkSnapshot(link, is_fresh=False), timeout
            )

    async def links_of(self, uid: str, routes: Iterable[str]) -> dict[str, PodKey]:
        """Returns the pod of a uid in each of the given routes in which it is bound. Raises as `get` does."""
        uid = validate_uid(uid)
        reads = {route: partial(self.get_bound, route, uid) for route in map(validate_route, routes)}
        links = await self._gather(reads)
        return {route: link.pod for route, link in links.items() if link and link.pod is not None}

    async def get_all(self, route: str, uids: Iterable[str], *, fresh: bool = False) -> dict[str, Link | None]:
        """Returns the link that binds each of the given uids, or None. Has the arguments and errors of `get`."""
        route = validate_route(route)
        return await self._gather(
            {uid: partial(self.get_bound, route, uid, fresh=fresh) for uid in map(validate_uid, uids)}
        )

    async def batch_get(self, route: str, uids: Iterable[str]) -> dict[PodKey, list[str]]:
        """Returns the given uids by the pod of a route that they are bound to. Raises as `get` does."""
        links = await self.get_all(route, uids)
        by_pod: dict[PodKey, list[str]] = {}
        for uid, link in links.items():
            if link is not None and link.pod is not None:
                by_pod.setdefault(link.pod, []).append(uid)
        return by_pod

    async def _get(self, route: str, name: str, *, fresh: bool) -> Link | None:
        """Returns an active link by its name, within the deadline."""
        async with self._transactions.deadline():
            link = await self._requests.read(name) if fresh else (await self._requests.get(route, name)).link
            return active_link(link, self._clock().earliest)

    async def _gather(self, reads: Mapping[str, Callable[[], Awaitable[Link | None]]]) -> dict[str, Link | None]:
        """Runs reads in parallel, up to a limit; the first error cancels them all."""
        limit = asyncio.Semaphore(_MAX_PARALLEL_READS)

        async def limited(read: Callable[[], Awaitable[Link | None]]) -> Link | None:
            async with limit:
                return await read()

        try:
            # The deadline is that of all reads together.
            async with self._transactions.deadline(), asyncio.TaskGroup() as group:
                tasks = {key: group.create_task(limited(read)) for key, read in reads.items()}
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return {key: task.result() for key, task in tasks.items()}

    async def _execute(
        self,
        route: str,
        uid: str,
        rule: Rule[ResultT],
        snapshot: LinkSnapshot | None = None,
    ) -> ResultT:
        """Executes a rule within the deadline, as `LinkTransactions.attempt` does."""
        name = _checked_link_name(route, uid)
        async with self._transactions.deadline() as timeout:
            return await self._transactions.attempt(
                route, uid, rule, snapshot or await self._requests.get(route, name), timeout
            )


def _checked_link_name(route: str, uid: str) -> str:
    """Validates a route and a uid, and returns the name of their link."""
    return link_name(validate_route(route), validate_uid(uid))
