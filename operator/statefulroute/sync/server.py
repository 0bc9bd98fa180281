"""The driver of a server pod with blocking methods."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Self

from statefulroute.api.vocabulary import RoutingState
from statefulroute.domain.address import Address
from statefulroute.domain.keys import PodKey
from statefulroute.domain.operations import Attempt
from statefulroute.domain.validation import validate_strings
from statefulroute.driver import server as asynchronous
from statefulroute.driver.metrics import DriverMetrics
from statefulroute.driver.parts import Configuration, Logger, ServerInformation
from statefulroute.driver.tracing import DriverTracing
from statefulroute.driver.user_events import ServerEvent
from statefulroute.sync.events import iterate
from statefulroute.sync.hand_over import (
    ArrivingHandler,
    LeavingHandler,
    SlotLeavingHandler,
    arriving_in_threads,
    leaving_in_threads,
    slots_leaving_in_threads,
)
from statefulroute.sync.loop_thread import DriverInLoop


class ServerDriver:
    """`statefulroute.ServerDriver` for programs without asyncio: `with ServerDriver.from_environment() as driver`.

    A forked process may use the driver of its parent: it opens its own connections. Only the process that has started
    the driver reports the state of the pod.

    Args:
        driver: runs the asynchronous driver.
    """

    def __init__(self, driver: DriverInLoop[asynchronous.ServerDriver]) -> None:
        self._driver = driver

    @classmethod
    def from_environment(  # noqa: PLR0913 - each has a default
        cls,
        *,
        configuration: Configuration | None = None,
        logger: Logger | None = None,
        hash_uids: bool = False,
        follow_links: bool = False,
        follow_users: bool | Iterable[str] = False,
        keep_managed_fields: bool = False,
        metrics: DriverMetrics | None = None,
        tracing: DriverTracing | None = None,
    ) -> Self:
        """Returns a driver for the pod of this process, as `statefulroute.ServerDriver.from_environment` does."""
        followed = follow_users if isinstance(follow_users, bool) else validate_strings("follow_users", follow_users)

        async def make() -> asynchronous.ServerDriver:
            return asynchronous.ServerDriver.from_environment(
                configuration=configuration,
                logger=logger,
                hash_uids=hash_uids,
                follow_links=follow_links,
                follow_users=followed,
                keep_managed_fields=keep_managed_fields,
                metrics=metrics,
                tracing=tracing,
            )

        return cls(DriverInLoop(make))

    # Lifecycle.

    def init(self, *, timeout: float | None = None) -> ServerInformation:
        """Reads the identity of the pod."""
        return self._driver.call(lambda driver: driver.init(), timeout)

    def start(self) -> None:
        """Publishes load and routing state, and starts the state timer and the workload timer."""
        self._driver.call(lambda driver: driver.start())

    def stop(self, drain_seconds: float | None = None) -> None:
        """Denies new users, waits until the present ones have left, and stops publishing."""
        self._driver.call(lambda driver: driver.stop(drain_seconds))

    def close(self) -> None:
        """Stops without waiting for users, and closes the connections that the driver has opened."""
        self._driver.call(lambda driver: driver.close())

    def set_load_state(self, load_state: int) -> None:
        """Sets how busy the pod is, in a unit of the application."""
        self._driver.read(lambda driver: driver.set_load_state(load_state))

    def get_load_state(self) -> int:
        """Returns the load state that was set last; initially 0."""
        return self._driver.read(lambda driver: driver.get_load_state())

    def set_waiting_tasks(self, waiting_tasks: int) -> None:
        """Sets the number of tasks that wait in the pod."""
        self._driver.read(lambda driver: driver.set_waiting_tasks(waiting_tasks))

    def get_waiting_tasks(self) -> int:
        """Returns the number of waiting tasks that was set last; initially 0."""
        return self._driver.read(lambda driver: driver.get_waiting_tasks())

    def set_routing_state(self, routing_state: RoutingState, *, timeout: float | None = None) -> None:
        """Sets which users the pod accepts."""
        self._driver.call(lambda driver: driver.set_routing_state(routing_state), timeout)

    def get_routing_state(self) -> RoutingState:
        """Returns the routing state that was set last; initially Ready."""
        return self._driver.read(lambda driver: driver.get_routing_state())

    @property
    def is_running(self) -> bool:
        """Whether this process has started the driver, and not stopped it since."""
        return self._driver.read(lambda driver: driver.is_running)

    def __enter__(self) -> Self:
        self._driver.call(lambda driver: driver.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        self._driver.call(lambda driver: driver.__aexit__())

    # The users of the pod.

    def users(self, service: str | None = None) -> set[str]:
        """Returns the users that are bound to the pod."""
        return self._driver.read(lambda driver: driver.users(service))

    def slots(self, service: str | None = None) -> set[int]:
        """Returns the slots that are bound to the pod."""
        return self._driver.read(lambda driver: driver.slots(service))

    def token(self, uid: str, service: str | None = None) -> int:
        """Returns the fencing token of a user whom a link of its own binds to the pod."""
        return self._driver.read(lambda driver: driver.token(uid, service))

    def read_token(self, uid: str, service: str | None = None, *, timeout: float | None = None) -> int:
        """Returns the fencing token of a user of this pod, whether a link of its own or its slot binds the user."""
        return self._driver.call(lambda driver: driver.read_token(uid, service), timeout)

    def owns(self, uid: str, service: str | None = None) -> bool:
        """Returns whether the pod holds a user, by a link or by the user's slot."""
        return self._driver.read(lambda driver: driver.owns(uid, service))

    def slot_of(self, uid: str, service: str | None = None) -> int | None:
        """Returns the slot that a uid belongs to; None without slots."""
        return self._driver.read(lambda driver: driver.slot_of(uid, service))

    def number_of_slots(self, service: str | None = None) -> int | None:
        """Returns the number of all slots of a service; None without slots."""
        return self._driver.read(lambda driver: driver.number_of_slots(service))

    @property
    def is_cut_off(self) -> bool:
        """Whether the API server has not answered for `fence_after_seconds`."""
        return self._driver.read(lambda driver: driver.is_cut_off)

    def events(self) -> Iterator[ServerEvent]:
        """Returns a blocking iterator of users that arrive and leave, as `statefulroute.ServerDriver.events` does."""
        return iterate(self._driver.read(lambda driver: driver.events()))

    def listen(self, callback: Callable[[ServerEvent], None]) -> None:
        """Calls a function with each event of `events`, one after another, in a thread, until the driver closes."""
        # Not the threads of the event loop: functions that block would take those that resolve host names.
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="statefulroute-events")

        async def call(event: ServerEvent) -> None:
            await asyncio.get_running_loop().run_in_executor(thread, callback, event)

        self._driver.read(lambda driver: driver.listen(call))

    def on_leaving(self, handler: LeavingHandler | None) -> None:
        """Calls a function for each user whom the pod is asked to hand over, in a thread for each."""
        called = None if handler is None else leaving_in_threads(handler)
        self._driver.read(lambda driver: driver.on_leaving(called))

    def on_slot_leaving(self, handler: SlotLeavingHandler | None) -> None:
        """Calls a function for each slot that the pod is asked to hand over, in a thread for each."""
        called = None if handler is None else slots_leaving_in_threads(handler)
        self._driver.read(lambda driver: driver.on_slot_leaving(called))

    def on_arriving(self, handler: ArrivingHandler | None) -> None:
        """Calls a function for each user whose state another pod sends, in a thread for each."""
        called = None if handler is None else arriving_in_threads(handler)
        self._driver.read(lambda driver: driver.on_arriving(called))

    # The links of users. `timeout` is the time limit of the call in seconds, if it is shorter than the driver's.

    def set_linked_pod(  # noqa: PLR0913 - those of the asynchronous method
        self,
        namespace: str,
        uid: str,
        service: str,
        pod: PodKey,
        *,
        ttl_seconds: int | None = None,
        timeout: float | None = None,
    ) -> PodKey | None:
        """Binds a uid to a pod, and replaces any other binding."""
        return self._driver.call(
            lambda driver: driver.set_linked_pod(namespace, uid, service, pod, ttl_seconds=ttl_seconds), timeout
        )

    def try_set_linked_pod(  # noqa: PLR0913 - those of the asynchronous method
        self,
        namespace: str,
        uid: str,
        service: str,
        pod: PodKey,
        *,
        ttl_seconds: int | None = None,
        timeout: float | None = None,
    ) -> Attempt:
        """Binds a uid to a pod, unless it has a persistent link to another pod."""
        return self._driver.call(
            lambda driver: driver.try_set_linked_pod(namespace, uid, service, pod, ttl_seconds=ttl_seconds), timeout
        )

    def remove_linked_pod(
        self, namespace: str, uid: str, service: str, *, grace_seconds: int | None = None, timeout: float | None = None
    ) -> bool:
        """Removes a link to any pod."""
        return self._driver.call(
            lambda driver: driver.remove_linked_pod(namespace, uid, service, grace_seconds=grace_seconds), timeout
        )

    def remove_linked_pod_with_id(  # noqa: PLR0913 - those of the asynchronous method
        self,
        namespace: str,
        uid: str,
        service: str,
        pod: PodKey,
        *,
        grace_seconds: int | None = None,
        timeout: float | None = None,
    ) -> bool:
        """Removes a link only if it is to the given pod."""
        return self._driver.call(
            lambda driver: driver.remove_linked_pod_with_id(namespace, uid, service, pod, grace_seconds=grace_seconds),
            timeout,
        )

    def get_linked_pod(
        self, namespace: str, uid: str, service: str, *, fresh: bool = False, timeout: float | None = None
    ) -> PodKey | None:
        """Returns the pod that holds a uid, or None."""
        return self._driver.call(lambda driver: driver.get_linked_pod(namespace, uid, service, fresh=fresh), timeout)

    def links_of(
        self, namespace: str, uid: str, among: Iterable[str] | None = None, *, timeout: float | None = None
    ) -> dict[str, PodKey]:
        """Returns the pod that holds a uid, by service."""
        return self._driver.call(lambda driver: driver.links_of(namespace, uid, among), timeout)

    def address_of(self, namespace: str, uid: str, service: str, *, timeout: float | None = None) -> Address | None:
        """Returns the address of the pod that holds a uid, or None if no pod does."""
        return self._driver.call(lambda driver: driver.address_of(namespace, uid, service), timeout)
