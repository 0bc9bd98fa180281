"""Holds the requests of users whose link has no pod yet until it has one."""

import asyncio
import time
from collections.abc import Callable, Container, Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any

import structlog

from statefulroute.api.vocabulary import RoutingState
from statefulroute.cluster.fair_limiter import FairLimiter
from statefulroute.domain.caller_queue import CallerQueue
from statefulroute.domain.errors import (
    PodNotAvailableError,
    PodNotFoundError,
    PodNotRoutableError,
    ServiceNotFoundError,
)
from statefulroute.domain.fair_slots import FairSlots
from statefulroute.domain.held_places import HeldPlaces
from statefulroute.domain.keys import PodKey, RouteKey
from statefulroute.domain.link import Link
from statefulroute.domain.pod import Endpoint
from statefulroute.domain.pod_views import most_restrictive
from statefulroute.domain.route import Route
from statefulroute.domain.unlisted_pods import linked_pod_name
from statefulroute.domain.validation import validate_uid
from statefulroute.resolver.binder import Binder
from statefulroute.resolver.cache import ResolverCache
from statefulroute.resolver.callers import Caller
from statefulroute.resolver.held_uids import HeldRequest, HeldUid, Stage
from statefulroute.rest.problems import EXPECTED_ERRORS, ProblemError, ProblemKind

log = structlog.get_logger(__name__)

#: The maximal number of links that are created at a time: half of the connections.
_MAX_CONCURRENT_CREATIONS = 16

#: How many of them a namespace may have for each that is free.
_NAMESPACE_SHARE = 2.0

#: The Retry-After of a request that is not held because too many are.
_TOO_MANY_RETRY_SECONDS = 5


class LookupHolder:
    """Holds the requests of users whose link has no pod yet, and creates the links that do not exist.

    It waits for the changes of the resolver's cache: a held request costs no request to the API server, and all
    requests for one uid share the creation of its link. Links are created at the rate of the binder. They are created
    in turn for the callers of a route, and the routes share the requests in progress.

    Args:
        cache: the resolver's cache.
        binder: creates links.
        hold_seconds: how long a request is held at most.
        max_held: the maximal number of requests that are held.
        on_end: called when a request is not held any more, with how it ended (`answered`, `over`, `disconnected` or
            `failed`) and the seconds for which it was held.
        on_refused: called for each request that is not held, or not any more, because `max_held` are.
    """

    def __init__(  # noqa: PLR0913 - the last two have defaults
        self,
        cache: ResolverCache,
        binder: Binder,
        hold_seconds: float,
        max_held: int,
        *,
        on_end: Callable[[str, float], None] = lambda _, __: None,
        on_refused: Callable[[], None] = lambda: None,
    ) -> None:
        self._cache = cache
        self._binder = binder
        self._hold_seconds = hold_seconds
        self._max_held = max_held
        self._on_end = on_end
        self._on_refused = on_refused
        self._places: HeldPlaces[HeldRequest] = HeldPlaces(max_held)
        self._uids: dict[RouteKey, dict[str, HeldUid]] = {}
        """The uids of each route by the names of their links."""
        self._starting: dict[tuple[str, str], set[HeldUid]] = {}
        """The uids in the stage `STARTING` by the namespaces and names of their pods."""
        self._queues: dict[RouteKey, CallerQueue[HeldUid]] = {}
        """The uids in the stage `QUEUED` of each route with a task that creates their links."""
        self._creations = FairLimiter(FairSlots(_MAX_CONCURRENT_CREATIONS, namespace_share=_NAMESPACE_SHARE))
        self._tasks: set[asyncio.Task[None]] = set()
        self._has_ended = False
        cache.links.cache.listen(self._link_changed)
        cache.routes.cache.listen(self._route_changed)
        cache.endpoints.cache.listen(self._endpoint_changed)

    def __len__(self) -> int:
        """The number of requests that are held."""
        return len(self._places)

    async def bind(
        self,
        key: RouteKey,
        uid: str,
        caller: Caller,
        *,
        ttl_seconds: int | None = None,
        among: Container[PodKey] | None = None,
    ) -> Link:
        """Binds a uid as `Binder.bind` does; holds the request while no pod is available, or the rate is exceeded.

        A held request is bound to any pod.

        Args:
            key: the route.
            uid: the user.
            caller: the caller of the request.
            ttl_seconds: the TTL of the link; None is the binder's default.
            among: the pods to choose from now; None is all.

        Raises:
            ProblemError: too many requests are held, the time is over, or the resolver stops.
            ConnectionResetError: the caller has closed the connection.
            PodNotAvailableError: the route takes no new users, or pods are available, but none of `among`.
            StatefulRouteError: as `Binder.bind`.
            ClusterError: as `Binder.bind`.
        """
        if (waiting := self._cache.link(key, uid)) is not None:
            self._binder.renew_if_due(waiting)
        if not self._queues.get(key):  # new users do not overtake those who wait
            try:
                return await self._binder.bind(key, uid, ttl_seconds=ttl_seconds, among=among, may_wait=True)
            except PodNotAvailableError:
                route = self._cache.route(key)
                if not _takes_users(route) or (among is not None and self._cache.available_addresses(route)):
                    return await self._binder.bind(key, uid, ttl_seconds=ttl_seconds, among=among)
            except ProblemError as error:
                if error.kind is not ProblemKind.TOO_MANY_BINDINGS:
                    raise
        link = await self._hold(HeldUid(key, validate_uid(uid), ttl_seconds), caller, creates=True)
        if link is None:
            raise ProblemError(ProblemKind.CONTENDED, "the link was deleted as soon as it was made: try again")
        self._binder.renew_if_due(link)
        return link

    async def wait(self, link: Link, caller: Caller) -> Link | None:
        """Holds a request for a link that waits for a pod. The errors are those of `bind`.

        Returns:
            The link with its pod; the link without one if its route takes no new users, or if it binds a slot; None if
            the link was deleted.
        """
        uid = link.uid
        if uid is None or not _takes_users(self._cache.route(link.route)):
            return link
        return await self._hold(HeldUid(link.route, uid, None), caller, creates=False)

    def end(self) -> None:
        """Answers all held requests, and holds no more."""
        self._has_ended = True
        for uids in list(self._uids.values()):
            for held in list(uids.values()):
                self._fail(held, _stopping())
        for task in self._tasks:
            task.cancel()

    async def _hold(self, held: HeldUid, caller: Caller, *, creates: bool) -> Link | None:
        """Holds a request until its uid has a pod.

        Args:
            held: the uid; replaced by the one for which other requests are held.
            caller: the caller.
            creates: whether the request creates the link if there is none.
        """
        self._cache.route(held.key)
        if self._has_ended:
            raise _stopping()
        request = HeldRequest(caller.name, creates=creates)
        with self._place(held.key, request), self._measuring() as ends:
            held = self._uids.setdefault(held.key, {}).setdefault(held.link_name, held)
            self._join(held, request)
            caller.hold(lambda: request.fail(ConnectionResetError()))
            try:
                async with asyncio.timeout(self._hold_seconds):
                    link = await request.link
            except TimeoutError:
                ends("over")
                if held.stage in {Stage.QUEUED, Stage.CREATING}:
                    self._binder.count_refused()
                raise self._over(held) from None
            except (ConnectionResetError, asyncio.CancelledError):
                ends("disconnected")
                raise
            finally:
                request.close()
                self._leave(held, request)
            ends("answered")
            return link

    @contextmanager
    def _place(self, key: RouteKey, request: HeldRequest) -> Iterator[None]:
        """Gives a request a place while the context lasts. The request that loses its place fails."""
        lost = self._places.take(key, request.caller, request)
        if lost is not None:
            self._on_refused()
            error = ProblemError(
                ProblemKind.TOO_MANY_HELD,
                f"{self._max_held} requests are held until their uids have pods: try again later",
                _TOO_MANY_RETRY_SECONDS,
            )
            if lost is request:
                raise error
            lost.fail(error)
        try:
            yield
        finally:
            self._places.release(key, request.caller, request)

    @contextmanager
    def _measuring(self) -> Iterator[Callable[[str], None]]:
        """Measures how long a request is held; yields the function that sets how it ends."""
        started_at = time.monotonic()
        outcomes = ["failed"]
        try:
            yield outcomes.append
        finally:
            self._on_end(outcomes[-1], time.monotonic() - started_at)

    def _over(self, held: HeldUid) -> ProblemError:
        match held.stage:
            case Stage.QUEUED | Stage.CREATING:
                reason = "so many new uids wait that the limit of new links has not reached it"
            case Stage.PENDING:
                link = self._cache.link(held.key, held.uid)
                message = link.status.message if link is not None and link.status is not None else ""
                reason = f"its link waits for a pod{': ' if message else ''}{message}"
            case _:
                reason = "its pod does not serve users yet"
        return ProblemError(ProblemKind.HELD_TOO_LONG, f"{held.uid!r} was held for {self._hold_seconds:g} s: {reason}")

    def _join(self, held: HeldUid, request: HeldRequest) -> None:
        held.add(request)
        queue = self._queues.get(held.key)
        if held.stage is Stage.QUEUED and request.creates and queue is not None:
            queue.add(request.caller, held)
        else:
            self._update(held)

    def _leave(self, held: HeldUid, request: HeldRequest) -> None:
        if held.remove(request) and (queue := self._queues.get(held.key)) is not None:
            queue.leave(request.caller, held)
        if not held.requests and self._is_held(held):
            self._forget(held)

    def _is_held(self, held: HeldUid) -> bool:
        return self._uids.get(held.key, {}).get(held.link_name) is held

    def _forget(self, held: HeldUid) -> None:
        uids = self._uids[held.key]
        del uids[held.link_name]
        if not uids:
            del self._uids[held.key]
        if (queue := self._queues.get(held.key)) is not None:
            queue.discard(held)
        self._set_pod_name(held, None)

    def _fail(self, held: HeldUid, error: Exception) -> None:
        if self._is_held(held):
            self._forget(held)
        held.fail(error)

    def _update(self, held: HeldUid) -> None:
        """Does what the link of a uid in the cache requires."""
        link = self._cache.link(held.key, held.uid)
        if link is None:
            if held.stage is not Stage.CREATING:
                self._enqueue(held)
            return
        if (queue := self._queues.get(held.key)) is not None:
            queue.discard(held)
        if link.pod is None:
            held.stage = Stage.PENDING
            self._set_pod_name(held, None)
            return
        try:
            self._cache.address(link)
        except (PodNotFoundError, PodNotRoutableError):
            held.stage = Stage.STARTING
            self._set_pod_name(held, linked_pod_name(self._cache.route(held.key), link))
        except EXPECTED_ERRORS as error:
            self._fail(held, error)
        else:
            self._forget(held)
            held.complete(link)

    def _enqueue(self, held: HeldUid) -> None:
        """Lets a uid without a link wait for its creation; completes the requests that do not create it."""
        held.stage = Stage.QUEUED
        self._set_pod_name(held, None)
        held.complete_others()
        if not held.creators:
            return
        queue = self._queues.get(held.key)
        if queue is None:
            queue = self._queues[held.key] = CallerQueue()
            self._start(self._create_links(held.key, queue))
        for caller in held.creators:
            queue.add(caller, held)

    def _set_pod_name(self, held: HeldUid, name: str | None) -> None:
        if held.pod_name == name:
            return
        namespace = held.key.namespace
        if held.pod_name is not None:
            held_uids = self._starting[namespace, held.pod_name]
            held_uids.discard(held)
            if not held_uids:
                del self._starting[namespace, held.pod_name]
        held.pod_name = name
        if name is not None:
            self._starting.setdefault((namespace, name), set()).add(held)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _create_links(self, key: RouteKey, queue: CallerQueue[HeldUid]) -> None:
        """Creates the links of queued uids, each with a token, until none is queued."""
        try:
            while queue:
                if (wait := self._binder.take_token(key)) > 0:
                    await asyncio.sleep(wait)
                    continue
                async with AsyncExitStack() as stack:
                    await stack.enter_async_context(self._creations.slot(key))
                    held = queue.pop()
                    if held is None:
                        self._binder.give_back_token(key)
                    else:
                        held.stage = Stage.CREATING
                        self._start(self._create(held, stack.pop_all()))
        finally:
            del self._queues[key]

    async def _create(self, held: HeldUid, slot: AsyncExitStack) -> None:
        async with slot:
            try:
                await self._binder.create(held.key, held.uid, ttl_seconds=held.ttl_seconds)
            except EXPECTED_ERRORS as error:
                self._fail(held, error)
                return
            except Exception as error:
                log.exception("a link was not created because of an unexpected error")
                self._fail(held, error)
                return
        if held.stage is Stage.CREATING and self._is_held(held):
            held.stage = Stage.PENDING
            self._update(held)

    def _link_changed(self, old: Link | None, new: Link | None) -> None:
        link = new or old
        uids = self._uids.get(link.route) if link is not None else None
        if uids and link is not None and (held := uids.get(link.name)) is not None:
            self._update(held)

    def _route_changed(self, old: Route | None, new: Route | None) -> None:
        route = new or old
        uids = self._uids.get(route.key) if route is not None else None
        if not uids or route is None:
            return
        for held in list(uids.values()):
            if new is None:
                self._fail(held, ServiceNotFoundError(f"the StatefulRoute {route.name!r} was deleted"))
            elif held.stage is Stage.STARTING:
                self._update(held)

    def _endpoint_changed(self, old: Endpoint | None, new: Endpoint | None) -> None:
        endpoint = new or old
        if self._starting and endpoint is not None:
            for held in list(self._starting.get((endpoint.namespace, endpoint.name), ())):
                self._update(held)


def _takes_users(route: Route) -> bool:
    """Returns whether users may get a pod of a route sooner or later: its spec does not deny new users."""
    return most_restrictive(route.spec.routing_state) is RoutingState.READY


def _stopping() -> ProblemError:
    return ProblemError(ProblemKind.HELD_TOO_LONG, "this resolver stops: try again, at another one")
