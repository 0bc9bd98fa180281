"""Follows the users of one pod: by a watch of the links that name the pod, for each of its services."""

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack

from statefulroute.cluster.client import Client
from statefulroute.cluster.clock import IntervalClock, utc_interval
from statefulroute.cluster.codec import LINKS, ROUTES
from statefulroute.cluster.errors import UnreachableError
from statefulroute.cluster.pager import collection_version
from statefulroute.cluster.reflector import Reflector
from statefulroute.cluster.resource_type import ResourceType
from statefulroute.domain.errors import InvalidParameterError
from statefulroute.domain.keys import PodKey, RouteKey, UidOrSlot, bound_link_name
from statefulroute.domain.link import Link
from statefulroute.domain.route import Route
from statefulroute.domain.validation import validate_route, validate_strings
from statefulroute.driver.contact import ContactMonitor
from statefulroute.driver.first_sync import wait_first_sync
from statefulroute.driver.lifetime import cancel
from statefulroute.driver.parts import ServerInformation
from statefulroute.driver.routes import BACKOFF_SECONDS
from statefulroute.driver.user_events import CutOff, ServerChange, user_changes

#: The pause between looks at a watch that is being opened.
_POLL_SECONDS = 0.05

#: Takes each event of the users, in order. It must not raise.
UserListener = Callable[[ServerChange], None]


def make_pod_users(
    client: Client,
    server: ServerInformation,
    follow_users: bool | Iterable[str],  # noqa: FBT001 - the option of the driver
    fence_after_seconds: float | None,
    clock: IntervalClock = utc_interval,
) -> "PodUsers | None":
    """Returns the users of a server pod, or None if they are not followed.

    Args:
        client: the client of the API server.
        server: the identity of the pod.
        follow_users: whether to follow them; or the names of further services to follow.
        fence_after_seconds: as for `Configuration`.
        clock: the time of day by both clocks.

    Raises:
        InvalidParameterError: an option is invalid.
    """
    further = followed_services(follow_users, fence_after_seconds)
    if further is None:
        return None
    services = [server.service, *further]
    return PodUsers(
        client, server.namespace, server.pod, services, fence_after_seconds=fence_after_seconds, clock=clock
    )


def followed_services(
    follow_users: bool | Iterable[str],  # noqa: FBT001 - the option of the driver
    fence_after_seconds: float | None,
) -> list[str] | None:
    """Returns the services to follow beside the pod's own, or None if its users are not followed.

    The arguments and errors are those of `make_pod_users`.
    """
    if fence_after_seconds is not None and not fence_after_seconds > 0:
        raise InvalidParameterError("fence_after_seconds", "must be greater than 0")
    if follow_users is False:
        if fence_after_seconds is not None:
            raise InvalidParameterError("fence_after_seconds", "needs follow_users")
        return None
    if follow_users is True:
        return []
    return [validate_route(each) for each in validate_strings("follow_users", follow_users)]


class PodUsers:
    """The users of one pod.

    Args:
        client: the client of the API server.
        namespace: the pod's namespace.
        pod: the pod in links: its index in a StatefulSet, otherwise its name.
        services: the services whose links are followed; the first is the pod's own.
        fence_after_seconds: the time without an answer after which the pod counts as cut off; None never asks.
        clock: the time of day by both clocks.

    Attributes:
        services: the services.
    """

    def __init__(  # noqa: PLR0913 - all but four have a default
        self,
        client: Client,
        namespace: str,
        pod: PodKey,
        services: Iterable[str],
        *,
        fence_after_seconds: float | None = None,
        clock: IntervalClock = utc_interval,
    ) -> None:
        self.services = tuple(dict.fromkeys(services))
        self._namespace = namespace
        self._pod = pod
        self._clock = clock
        self._listeners: list[UserListener] = []
        self._watches = {service: _Watch(client, namespace, pod, service) for service in self.services}
        for watch in self._watches.values():
            watch.reflector.cache.listen(self._changed)
        own = ROUTES.in_namespace(namespace, f"metadata.name={self.services[0]}")
        self._monitor: ContactMonitor | None = None
        if fence_after_seconds is not None:
            reader = client.metadata_only()
            self._monitor = ContactMonitor(
                fence_after_seconds,
                lambda: self._probe(reader, own),
                lambda: self._read_again(fence_after_seconds),
                self._publish,
            )

    async def open(self, stack: AsyncExitStack, seconds: float) -> None:
        """Starts to follow the users, and waits until they are read for the first time.

        Args:
            stack: ends it.
            seconds: the time limit.

        Raises:
            ForbiddenError: this account may not list or watch links.
            DeadlineExceededError: the API server did not respond in time.
        """
        for watch in self._watches.values():
            watch.start()
            stack.push_async_callback(watch.stop)
        await wait_first_sync(self.reflectors, seconds)
        if self._monitor is not None:
            self._monitor.record_contact(self._age_seconds())
            stack.push_async_callback(cancel, asyncio.create_task(self._monitor.run()))

    @property
    def reflectors(self) -> list[Reflector[Link]]:
        """The reflectors of the links."""
        return [watch.reflector for watch in self._watches.values()]

    @property
    def is_cut_off(self) -> bool:
        """Whether the API server has not answered for `fence_after_seconds`; False if that is not configured."""
        return self._monitor is not None and self._monitor.is_cut_off

    def links(self, service: str) -> list[Link]:
        """Returns the links of a service to the pod that have not expired, as of the last event."""
        route, now = RouteKey(self._namespace, service), self._clock().earliest
        watch = self._watches.get(service)
        cached = () if watch is None else watch.reflector.cache.in_partition(route).values()
        return [link for link in cached if self._is_held(link) and not link.has_expired(now)]

    def uids(self, service: str) -> list[str]:
        """Returns the users of a service whose own links are to the pod, as `links` does."""
        return [uid for link in self.links(service) if (uid := link.uid) is not None]

    def get(self, service: str, bound: UidOrSlot) -> Link | None:
        """Returns the link of a user or of a slot to the pod; None if there is none, or if it has expired."""
        watch = self._watches.get(service)
        if watch is None:
            return None
        link = watch.reflector.get(RouteKey(self._namespace, service), bound_link_name(service, bound))
        if link is None or not self._is_held(link) or link.has_expired(self._clock().earliest):
            return None
        return link

    def listen(self, listener: UserListener) -> None:
        """Calls a function with every event from now on."""
        self._listeners.append(listener)

    def listen_links(self, listener: Callable[[Link | None, Link | None], None]) -> None:
        """Calls a function at every change of a link, after its events, with the versions before and after."""
        for watch in self._watches.values():
            watch.reflector.cache.listen(listener)

    def present(self) -> list[ServerChange]:
        """Returns the events that lead to the present state: arrivals of users and slots, and a lost API server."""
        now = self._clock().earliest
        events: list[ServerChange] = []
        for service in self.services:
            for link in self.links(service):
                events += user_changes(None, link, self._pod, now)
        if self._monitor is not None and self._monitor.is_cut_off:
            events.append(CutOff(self._monitor.seconds))
        return events

    def observe(self, link: Link) -> None:
        """Stores a link that this process has read or written, ahead of the watch, if it is to the pod.

        A link to another pod is not removed ahead of the watch: an event on its way would bring it back.
        """
        watch = self._watches.get(link.route.name)
        if watch is not None and self._is_held(link):
            watch.reflector.observe(link)

    def _is_held(self, link: Link) -> bool:
        return link.assigned_pod == self._pod

    def _changed(self, old: Link | None, new: Link | None) -> None:
        for change in user_changes(old, new, self._pod, self._clock().latest):
            self._publish(change)

    def _publish(self, event: ServerChange) -> None:
        if isinstance(event, CutOff):
            for watch in self._watches.values():
                watch.mark()
        for listener in self._listeners:
            listener(event)

    def _age_seconds(self) -> float:
        """Returns how old the oldest list or last event is."""
        return time.monotonic() - min(reflector.last_update_at for reflector in self.reflectors)

    async def _read_again(self, max_age_seconds: float) -> float:
        """Reads all links again, unless that has happened since the loss; returns the seconds since it began.

        Args:
            max_age_seconds: links are also read again if nothing came from their watch for so long.
        """
        watches = self._watches.values()
        for watch in watches:
            if not watch.is_read_since_mark or watch.reflector.last_update_at < time.monotonic() - max_age_seconds:
                await watch.restart()
        for watch in watches:
            while not watch.reflector.is_healthy:  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(_POLL_SECONDS)
        return self._age_seconds()

    async def _probe(self, reader: Client, own: ResourceType[Route]) -> None:
        """Sends a small request; raises an error if it fails, or if the watches of links fail."""
        await collection_version(reader, own.path, own.selector_params)
        if not all(reflector.is_healthy for reflector in self.reflectors):
            raise UnreachableError("the watch of the links fails")


class _Watch:
    """The watch of the links of one service to the pod.

    Attributes:
        reflector: follows the links.
    """

    def __init__(self, client: Client, namespace: str, pod: PodKey, service: str) -> None:
        field = "podName" if isinstance(pod, str) else "podIndex"
        selected = LINKS.in_namespace(namespace, f"spec.routeName={service},spec.{field}={pod}")
        self.reflector = Reflector(client, selected, BACKOFF_SECONDS)
        self._task: asyncio.Task[None] | None = None
        self._marked_lists = 0

    def mark(self) -> None:
        """Marks the present as the time of a loss of the API server."""
        self._marked_lists = self.reflector.lists

    @property
    def is_read_since_mark(self) -> bool:
        """Whether the links were listed since, and the watch has not failed."""
        return self.reflector.lists != self._marked_lists and self.reflector.is_healthy

    def start(self) -> None:
        """Starts the watch."""
        self._task = asyncio.create_task(self.reflector.run())

    async def stop(self) -> None:
        """Ends the watch."""
        if self._task is not None:
            await cancel(self._task)
            self._task = None

    async def restart(self) -> None:
        """Begins again with a list."""
        await self.stop()
        self.reflector.require_list()
        self.start()
