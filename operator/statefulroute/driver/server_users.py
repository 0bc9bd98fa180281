"""What a server driver knows about the users and slots of its pod: which they are, their tokens, and events."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from inspect import isawaitable

from statefulroute.domain.errors import DriverNotOpenError, InvalidParameterError, UserNotHeldError
from statefulroute.domain.slots.lookup import binding_slot
from statefulroute.domain.validation import validate_route, validate_uid
from statefulroute.driver.deadline import deadline
from statefulroute.driver.events import EventBroadcaster, Subscription
from statefulroute.driver.lazy_parts import LazyParts
from statefulroute.driver.leaving import LeavingUsers
from statefulroute.driver.operations import Operations
from statefulroute.driver.parts import Configuration, ServerParts, Users
from statefulroute.driver.server_links import ServerLinks
from statefulroute.driver.user_events import ServerChange, ServerEvent

#: Takes an event; may be a coroutine function.
EventCallback = Callable[[ServerEvent], Awaitable[None] | None]

#: The problem of `follow_users` in an error.
NOT_FOLLOWED = "must be set: this driver does not follow the users of its pod"


class ServerUsers(ServerLinks):
    """Knows the users of the pod, if it follows them.

    Args:
        namespace: the pod's namespace.
        parts: the parts of the driver.
        configuration: the time limits.
        operations: runs the operations.
    """

    def __init__(self, namespace: str, parts: LazyParts, configuration: Configuration, operations: Operations) -> None:
        super().__init__(namespace, parts, configuration.deadline_seconds, operations)
        self._has_fence = configuration.fence_after_seconds is not None
        self._events: EventBroadcaster[ServerChange] = EventBroadcaster(parts.lifetime.check_place)
        self._callbacks: set[asyncio.Task[None]] = set()
        self._leaving: LeavingUsers | None = None
        """The events of the users of the open parts."""
        parts.on_open(self._follow)

    def users(self, service: str | None = None) -> set[str]:
        """Returns the users that are bound to the pod, as of the last event of the watch. It sends no request.

        The driver's own bindings count at once. Users whose temporary link has expired do not count.

        Args:
            service: one of the followed services; None is the pod's own.

        Raises:
            InvalidParameterError: the driver does not follow the users of the service.
            DriverNotOpenError: the driver is not open, or has not reached the API server yet.
        """
        _, users, service = self._followed(service)
        return set(users.uids(service))

    def slots(self, service: str | None = None) -> set[int]:
        """Returns the slots that are bound to the pod, as of the last event of the watch. It sends no request.

        The pod holds all users of these slots that have no link of their own: `users` does not list them, and `owns`
        tells whether it holds one of them.

        Args:
            service: one of the followed services; None is the pod's own.

        Raises:
            InvalidParameterError: the driver does not follow the users of the service.
            DriverNotOpenError: the driver is not open, or has not reached the API server yet.
        """
        _, users, service = self._followed(service)
        return {slot for link in users.links(service) if (slot := link.slot) is not None}

    def token(self, uid: str, service: str | None = None) -> int:
        """Returns the fencing token of a user whom a link of its own binds to the pod. It sends no request.

        It is the resource version of the newest version of the link that binds the user to this pod. So the token of
        any later holder is greater, also if the link was deleted and created again: a store that refuses tokens that
        are smaller than the greatest it has seen refuses the writes of former holders. Take it before the state of the
        user is read, and send it with each write of that state, because the token of a holder grows.

        Args:
            uid: the user.
            service: one of the followed services; None is the pod's own.

        Raises:
            UserNotHeldError: no link binds the user to this pod, as of the last event of the watch: perhaps the user's
                slot is at this pod, then use `read_token`.
            InvalidParameterError: a parameter is invalid, or the driver does not follow the users of the service.
            DriverNotOpenError: the driver is not open, or has not reached the API server yet.
        """
        _, users, service = self._followed(service)
        link = users.get(service, validate_uid(uid))
        if link is None:
            raise UserNotHeldError(self._not_held(users, uid, service))
        return link.resource_version

    async def read_token(self, uid: str, service: str | None = None) -> int:
        """Returns the fencing token of a user of this pod, whether a link of its own or its slot binds the user.

        It asks the API server, by one request for a user with a link, and two for one of a slot. Its tokens and those
        of `token` are in one order: the token of any later holder is greater than those of the holders before, also
        when the user gets a link, or loses it, and when the slot moves. So use them in the same way.

        The driver does not need to follow its users.

        Args:
            uid: the user.
            service: the name of the StatefulRoute; None is the pod's own.

        Raises:
            UserNotHeldError: the user is not bound to this pod.
            InvalidParameterError: a parameter is invalid.
            ContendedError: the link of the user has just expired: try again.
            DeadlineExceededError: the API server did not respond in time.
            StatefulRouteError: the API server responded with an error.
        """
        named = {} if service is None else {"service": service}
        with self._operations.run("read_token", uid=uid, **named) as outcome:
            validate_uid(uid)
            if service is not None:
                validate_route(service)
            async with deadline(self._deadline_seconds):
                parts = await self._parts.get()
                service = service or parts.server.service
                token = await parts.links.read_token(service, uid, parts.server.pod)
            if token is None:
                raise UserNotHeldError(f"this pod does not hold {uid!r} in {service!r}")
            outcome.add(token=token)
            return token

    def owns(self, uid: str, service: str | None = None) -> bool:
        """Returns whether the pod holds a user, as of the last event of the watch. It sends no request.

        It does if a link of the user's own binds the user to the pod; or if the user's slot is at the pod, and no link
        is known to bind the user to another one. Only a driver with `follow_links` knows links to other pods, and only
        those of the pod's own service: without it, `owns` is also True for users of the pod's slots whom
        `set_linked_pod` has bound to another pod. `get_linked_pod` and `read_token` ask the API server.

        Args:
            uid: the user.
            service: one of the followed services; None is the pod's own. The slots of a further service count as soon
                as its route was read.

        Raises:
            InvalidParameterError: a parameter is invalid, or the driver does not follow the users of the service.
            DriverNotOpenError: the driver is not open, or has not reached the API server yet.
        """
        parts, users, service = self._followed(service)
        own = users.get(service, validate_uid(uid)) or parts.links.cached(service, uid)
        if own is not None:
            return own.pod == parts.server.pod
        slot = binding_slot(uid, None, self._number_of_slots(service))
        return slot is not None and users.get(service, slot) is not None

    def slot_of(self, uid: str, service: str | None = None) -> int | None:
        """Returns the slot that a uid belongs to, whether or not the uid has a link of its own; None without slots.

        Takes the arguments of `owns`, and raises its errors.
        """
        _, _, service = self._followed(service)
        return binding_slot(validate_uid(uid), None, self._number_of_slots(service))

    def number_of_slots(self, service: str | None = None) -> int | None:
        """Returns the number of all slots of a service, by which a program computes those of uids; None without slots.

        Takes the argument of `slots`, and raises its errors. The number of a further service is known as soon as its
        route was read.
        """
        _, _, service = self._followed(service)
        return self._number_of_slots(service)

    @property
    def is_cut_off(self) -> bool:
        """Whether the API server has not answered for the configuration's `fence_after_seconds`, if that is set.

        Also True before the driver has read its users for the first time: then it does not know whom the pod holds.
        """
        parts = self._parts.opened
        if parts is None:
            return self._has_fence
        return parts.users is not None and parts.users.is_cut_off

    def events(self) -> Subscription[ServerChange]:
        """Returns an async iterator of users and slots that arrive, leave, or are about to, and of a lost API server.

        It begins with an arrival of each present user and slot, and ends when the driver closes. It misses no change,
        also if the watch was interrupted. If its consumer is too slow, it yields an `EventsLost`: then compare with
        `users` and `slots`.

        Raises:
            InvalidParameterError: the driver does not follow its users. Before its start, the iterator raises it.
            DriverNotOpenError: the driver belongs to another process or event loop.
        """
        self._parts.lifetime.check_place()
        parts = self._parts.opened
        if parts is None:
            return self._events.subscribe()
        if self._leaving is None:
            raise InvalidParameterError("follow_users", NOT_FOLLOWED)
        return self._events.subscribe(self._leaving.present())

    def listen(self, callback: EventCallback) -> None:
        """Calls a function with each event of `events`, one after another, until the driver closes.

        Call it in the event loop of the driver. An exception of the function is passed to the exception handler of the
        event loop. Raises the errors of `events`.

        Args:
            callback: takes the event; it may be a coroutine function, and the next event waits for its end.
        """
        task = asyncio.get_running_loop().create_task(_call(callback, self.events()))
        self._callbacks.add(task)
        task.add_done_callback(self._callbacks.discard)

    def _end_events(self, error: Exception | None = None) -> None:
        """Ends the present iterators and callbacks."""
        self._events.end(error)
        self._events = EventBroadcaster(self._parts.lifetime.check_place)

    def _follow(self, parts: ServerParts) -> None:
        if parts.users is None:
            self._end_events(InvalidParameterError("follow_users", NOT_FOLLOWED))
            return
        self._leaving = LeavingUsers(parts, parts.users, self._publish)
        self._publish(self._leaving.present(), is_state=True)

    def _publish(self, events: Sequence[ServerChange], *, is_state: bool = False) -> None:
        if is_state:
            self._events.publish_state(events)
        else:
            self._events.publish(events)

    def _number_of_slots(self, service: str) -> int | None:
        return None if self._leaving is None else self._leaving.timeouts.slots(service)

    def _not_held(self, users: Users, uid: str, service: str) -> str:
        slot = binding_slot(uid, None, self._number_of_slots(service))
        if slot is not None and users.get(service, slot) is not None:
            return f"no link binds {uid!r} in {service!r} to this pod, only its slot is here: use read_token"
        return f"this pod does not hold {uid!r} in {service!r}"

    def _followed(self, service: str | None) -> tuple[ServerParts, Users, str]:
        self._parts.lifetime.check()
        parts = self._parts.opened
        if parts is None:
            raise DriverNotOpenError("the users are not known yet: the driver has not reached the API server")
        if parts.users is None:
            raise InvalidParameterError("follow_users", NOT_FOLLOWED)
        service = parts.server.service if service is None else service
        if service not in parts.users.services:
            followed = ", ".join(parts.users.services)
            raise InvalidParameterError("service", f"must be one whose users this driver follows: {followed}")
        return parts, parts.users, service


async def _call(callback: EventCallback, events: Subscription[ServerChange]) -> None:
    async for event in events:
        try:
            result = callback(event)
            if isawaitable(result):
                await result
        except Exception as error:  # noqa: BLE001 - the next events must not be missed
            context = {"message": "a callback for events of the driver has failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)
