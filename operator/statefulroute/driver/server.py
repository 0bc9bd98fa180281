"""The driver of a server pod: reports the pod's load and routing state, and binds users to the pod."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import Self

from statefulroute.api.vocabulary import RoutingState
from statefulroute.cluster.clock import IntervalClock, utc_interval
from statefulroute.domain.errors import (
    DriverAlreadyRunningError,
    InternalError,
    InvalidParameterError,
    NotLocalNamespaceError,
)
from statefulroute.domain.keys import PodKey
from statefulroute.domain.operations import Attempt
from statefulroute.domain.validation import validate_load, validate_route, validate_uid
from statefulroute.driver.drain import Drain
from statefulroute.driver.lazy_parts import LazyParts
from statefulroute.driver.operation_log import log_operation, make_logger
from statefulroute.driver.parts import Configuration, Links, Logger, ServerInformation, ServerParts
from statefulroute.driver.reporter import Reporter
from statefulroute.driver.routes import wait_for_route

#: The part of the pod's termination grace period that `stop` leaves to the application.
_GRACE_RESERVE_SECONDS = 5.0

#: The minimal time limit of the last publication.
_FINAL_PUBLISH_SECONDS = 2.0

#: How long `start` waits for the route, which names the source of loads; after that it uses the default.
_ROUTE_WAIT_SECONDS = 5.0


class ServerDriver:
    """Runs inside each pod of a stateful service.

    All methods may be called concurrently from many tasks. Every operation logs one line. An operation that takes too
    long raises `DeadlineExceededError`; it may be cancelled at any time.

    Args:
        namespace: the pod's namespace; operations on any other raise `NotLocalNamespaceError`.
        parts: the parts that the driver uses, or a function that opens them at their first use.
        configuration: the periods and time limits.
        clock: the time of day by both clocks.
        logger: the driver's logger, of the logging module or of structlog; None is one of the logging module.
        hash_uids: whether logs have hashes instead of uids, in all lines of the library in this process.
    """

    def __init__(  # noqa: PLR0913 - all but two have a default
        self,
        namespace: str,
        parts: ServerParts | Callable[[AsyncExitStack], Awaitable[ServerParts]],
        *,
        configuration: Configuration | None = None,
        clock: IntervalClock = utc_interval,
        logger: Logger | None = None,
        hash_uids: bool = False,
    ) -> None:
        self._namespace = namespace
        self._parts = LazyParts(parts)
        self._configuration = configuration or Configuration()
        self._log = make_logger(logger, __name__, hash_uids=hash_uids)
        # By a clock that is behind, the load would be stale when it arrives.
        self._reporter = Reporter(self._configuration, lambda: clock().latest, self._log)
        self._is_running = False
        self._starting: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._drain: Drain | None = None
        """The wait of a `stop` in progress for the pod's users."""

    @classmethod
    def from_environment(
        cls,
        *,
        configuration: Configuration | None = None,
        logger: Logger | None = None,
        hash_uids: bool = False,
        follow_links: bool = False,
        keep_managed_fields: bool = False,
    ) -> Self:
        """Returns a driver for the pod that this process runs in. It sends no request before `init`.

        Reads `POD_NAME` (default: the host name), `POD_NAMESPACE` (default: the namespace of the ServiceAccount), and
        `STATEFULROUTE_NAME` (default: the pod's label `statefulroute.io/route`, then the name of its StatefulSet).
        Uses the credentials of the ServiceAccount, or outside a cluster those of a kubeconfig.

        Args:
            configuration: as for the class.
            logger: as for the class.
            hash_uids: as for the class.
            follow_links: whether to watch the links of the service: a binding then costs one request instead of two,
                and every pod receives every change of a link.
            keep_managed_fields: whether the managedFields of links stay, as for `ClientDriver`.

        Raises:
            InvalidParameterError: the environment does not name the pod's namespace.
        """
        from statefulroute.driver.environment import namespace_of_pod, server_parts  # noqa: PLC0415 - slow to import

        namespace = namespace_of_pod()
        return cls(
            namespace,
            partial(server_parts, namespace, follow_links=follow_links, keep_managed_fields=keep_managed_fields),
            configuration=configuration,
            logger=logger,
            hash_uids=hash_uids,
        )

    # Lifecycle.

    async def init(self) -> ServerInformation:
        """Reads the identity of the pod. Calling it is optional: other methods call it when they need it.

        Raises:
            StatefulRouteError: the identity cannot be read.
        """
        with log_operation(self._log, "init") as outcome:
            server = (await self._parts.get()).server
            outcome.add(service=server.service, pod=server.pod_name)
            return server

    async def start(self) -> None:
        """Publishes load and routing state, and starts the state timer and the workload timer.

        Raises:
            DriverAlreadyRunningError: the driver is running.
            StatefulRouteError: the pod's identity cannot be read, or the first publication failed.
        """
        if self._is_running:
            raise DriverAlreadyRunningError
        self._is_running, self._reporter.is_draining = True, False
        starting = self._starting = asyncio.create_task(self._start())
        starting.add_done_callback(self._start_finished)
        try:
            await starting
        except asyncio.CancelledError:
            if (caller := asyncio.current_task()) is not None and caller.cancelling():
                raise
            raise InternalError("the driver was stopped before it had started") from None

    async def stop(self, drain_seconds: float | None = None) -> None:
        """Denies new users, waits until the present ones have left, and stops publishing.

        Has no effect on a stopped driver, which may be started again. Succeeds even if nothing can be published.

        Args:
            drain_seconds: the maximal wait for users; limited so that the driver stops before the pod is killed. None
                is the configuration's. It also shortens a `stop` in progress.

        Raises:
            InvalidParameterError: the time is negative.
        """
        if drain_seconds is not None and not drain_seconds >= 0:
            raise InvalidParameterError("drain_seconds", "must not be negative")
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.wait({self._starting})
        if not self._is_running or self._parts.opened is None:
            return
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop(self._parts.opened, drain_seconds))
        elif drain_seconds is not None and self._drain is not None:
            self._drain.shorten(drain_seconds)
        await asyncio.shield(self._stopping)  # the cancellation of one caller does not affect the others

    async def close(self) -> None:
        """Stops without waiting for users, and closes the connections that the driver has opened."""
        await self.stop(0)
        await self._parts.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self.stop()
        finally:
            await self.close()

    @property
    def is_running(self) -> bool:
        """Whether the driver was started and not stopped since."""
        return self._is_running

    # The reported state of the pod.

    def set_load_state(self, load_state: int) -> None:
        """Sets how busy the pod is, in a unit of the application. The state timer publishes it.

        Args:
            load_state: from 0 to 2147483647.

        Raises:
            InvalidParameterError: the number is out of range.
        """
        with log_operation(self._log, "set_load_state", load_state=load_state):
            self._reporter.load_state = validate_load("load_state", load_state)

    def get_load_state(self) -> int:
        """Returns the load state that was set last; initially 0."""
        return self._reporter.load_state

    def set_waiting_tasks(self, waiting_tasks: int) -> None:
        """Sets the number of tasks that wait in the pod. Published, limited and validated as by `set_load_state`."""
        with log_operation(self._log, "set_waiting_tasks", waiting_tasks=waiting_tasks):
            self._reporter.waiting_tasks = validate_load("waiting_tasks", waiting_tasks)

    def get_waiting_tasks(self) -> int:
        """Returns the number of waiting tasks that was set last; initially 0."""
        return self._reporter.waiting_tasks

    async def set_routing_state(self, routing_state: RoutingState) -> None:
        """Sets which users the pod accepts. Published at once while the driver runs, otherwise when it starts.

        Raises:
            InvalidParameterError: the value is not a routing state.
            StatefulRouteError: the publication failed; the state timer retries it.
        """
        with log_operation(self._log, "set_routing_state", routing_state=routing_state):
            if routing_state not in tuple(RoutingState):
                raise InvalidParameterError("routing_state", f"must be one of {', '.join(RoutingState)}")
            self._reporter.routing_state = RoutingState(routing_state)
            if self._is_running and self._parts.opened is not None:
                await self._reporter.publish(self._parts.opened)

    def get_routing_state(self) -> RoutingState:
        """Returns the routing state that was set last; initially Ready."""
        return self._reporter.routing_state

    # The links of users.

    async def set_linked_pod(
        self, namespace: str, uid: str, service: str, pod: PodKey, *, ttl_seconds: int | None = None
    ) -> PodKey | None:
        """Binds a uid to a pod, and replaces any other binding.

        Args:
            namespace: the driver's namespace.
            uid: the user.
            service: the name of the StatefulRoute.
            pod: the pod's index in a StatefulSet, otherwise its name.
            ttl_seconds: the TTL of the link; None makes a persistent link.

        Returns:
            The pod that held the uid before, or None. Pod 0 is a pod.

        Raises:
            NotLocalNamespaceError: the namespace is not the driver's; no request was sent.
            InvalidParameterError: a parameter is invalid; no request was sent.
            DeadlineExceededError: the API server did not respond in time.
            StatefulRouteError: the API server responded with an error.
        """
        with log_operation(
            self._log, "set_linked_pod", namespace=namespace, uid=uid, service=service, pod=pod, ttl_seconds=ttl_seconds
        ) as outcome:
            links = await self._links(namespace, uid, service)
            previous = await links.set(service, uid, pod, ttl_seconds=ttl_seconds)
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
        with log_operation(
            self._log,
            "try_set_linked_pod",
            namespace=namespace,
            uid=uid,
            service=service,
            pod=pod,
            ttl_seconds=ttl_seconds,
        ) as outcome:
            links = await self._links(namespace, uid, service)
            attempt = await links.try_set(service, uid, pod, ttl_seconds=ttl_seconds)
            outcome.add(won=attempt.won, holder=attempt.holder)
            return attempt

    async def remove_linked_pod(
        self, namespace: str, uid: str, service: str, *, grace_seconds: int | None = None
    ) -> bool:
        """Removes a link to any pod. Raises the errors of `set_linked_pod`.

        Args:
            namespace: the driver's namespace.
            uid: the user.
            service: the name of the StatefulRoute.
            grace_seconds: how long the link remains, as a temporary link; None and 0 remove it at once.

        Returns:
            Whether there was a link.
        """
        with log_operation(
            self._log,
            "remove_linked_pod",
            namespace=namespace,
            uid=uid,
            service=service,
            grace_seconds=grace_seconds,
        ) as outcome:
            links = await self._links(namespace, uid, service)
            removed = await links.remove(service, uid, grace_seconds=grace_seconds)
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
        with log_operation(
            self._log,
            "remove_linked_pod_with_id",
            namespace=namespace,
            uid=uid,
            service=service,
            pod=pod,
            grace_seconds=grace_seconds,
        ) as outcome:
            links = await self._links(namespace, uid, service)
            removed = await links.remove_if_linked_to(service, uid, pod, grace_seconds=grace_seconds)
            outcome.add(removed=removed)
            return removed

    # Implementation.

    async def _start(self) -> None:
        try:
            with log_operation(self._log, "start") as outcome:
                parts = await self._parts.get()
                outcome.add(service=parts.server.service, pod=parts.server.pod_name)
                await wait_for_route(parts.routes, parts.server.service, _ROUTE_WAIT_SECONDS)
                await self._reporter.publish(parts)
        except BaseException:
            await self._reporter.close()
            raise
        self._reporter.start_timers(parts)

    def _start_finished(self, starting: asyncio.Task[None]) -> None:
        """Runs before the callers that await the start continue."""
        self._starting = None
        if starting.cancelled() or starting.exception() is not None:
            self._is_running = False

    async def _links(self, namespace: str, uid: str, service: str) -> Links:
        """Validates the parameters, and returns the links. No request is sent before the validation."""
        if namespace != self._namespace:
            raise NotLocalNamespaceError
        validate_route(service)
        validate_uid(uid)
        return (await self._parts.get()).links

    async def _stop(self, parts: ServerParts, drain_seconds: float | None) -> None:
        grace = parts.server.termination_grace_seconds
        limit = grace - min(_GRACE_RESERVE_SECONDS, grace / 2)
        seconds = min(self._configuration.drain_seconds if drain_seconds is None else drain_seconds, limit)
        publish_seconds = min(_FINAL_PUBLISH_SECONDS, limit)
        try:
            with log_operation(self._log, "stop", drain_seconds=seconds) as outcome:
                deadline = asyncio.get_running_loop().time() + seconds
                self._reporter.is_draining, self._drain = True, Drain(parts.routes, parts.server, deadline)
                publishing = asyncio.create_task(self._reporter.publish(parts, max(seconds, publish_seconds)))
                try:
                    await asyncio.wait({publishing}, timeout=publish_seconds)
                    failure = _publish_failure(publishing)
                    await self._drain.wait(is_published=not failure)
                    outcome.add(remaining=self._drain.remaining, **failure)
                finally:
                    publishing.cancel()
                    await self._reporter.close()
        finally:
            self._is_running, self._reporter.is_draining, self._stopping, self._drain = False, False, None, None


def _publish_failure(publishing: asyncio.Task[None]) -> dict[str, str]:
    """Returns the log field for a failed last publication. The pod ends all the same, and Kubernetes reports that."""
    if not publishing.done():
        return {"not_published": "the API server did not answer in time"}
    error = publishing.exception()
    return {"not_published": str(error) or repr(error)} if error is not None else {}
