"""The driver of a server pod: it says how loaded it is and whom it takes, and binds its users to itself."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import Self

import structlog

from statefulroute.api.vocabulary import RoutingState
from statefulroute.cluster.clock import Clock, utc_now
from statefulroute.domain.errors import (
    DriverAlreadyRunningError,
    InternalError,
    InvalidParameterError,
    NotLocalNamespaceError,
)
from statefulroute.domain.keys import PodKey
from statefulroute.domain.operations import Attempt
from statefulroute.domain.route import most_restrictive
from statefulroute.domain.service import pod_key
from statefulroute.domain.validation import validate_load, validate_route, validate_uid
from statefulroute.driver.drain import Drain
from statefulroute.driver.operation_log import log_operation
from statefulroute.driver.parts import Configuration, Links, Logger, PodReport, ServerInformation, ServerParts
from statefulroute.driver.report_publisher import ReportPublisher

#: After a publication that has failed: the first wait, doubled each time up to the state period.
_FIRST_RETRY_SECONDS = 1.0

#: How much of the pod's termination grace `stop` leaves for what the application does after it.
_GRACE_RESERVE_SECONDS = 5.0

#: How long a publication may take; the last one is given at least the second.
_PUBLISH_SECONDS, _FINAL_PUBLISH_SECONDS = 10.0, 2.0

#: How long `start` waits to learn from the route where loads come from, before it takes the default.
_ROUTE_WAIT_SECONDS = 5.0


class ServerDriver:
    """Runs inside each pod of a stateful service.

    All methods may be called from many tasks at the same time. Every operation writes one line to the log. An
    operation that takes too long ends with a `DeadlineExceededError`; it may be cancelled at any moment.

    Args:
        namespace: its namespace; any other is refused.
        parts: what it works with, or how to make that, once, when it is first needed.
        configuration: how it works.
        clock: the time of day.
        logger: where its lines go.
    """

    def __init__(
        self,
        namespace: str,
        parts: ServerParts | Callable[[AsyncExitStack], Awaitable[ServerParts]],
        *,
        configuration: Configuration | None = None,
        clock: Clock = utc_now,
        logger: Logger | None = None,
    ) -> None:
        self._namespace = namespace
        self._make_parts = parts
        self._parts = parts if isinstance(parts, ServerParts) else None
        self._configuration = configuration or Configuration()
        self._clock = clock
        self._log: Logger = logger or structlog.get_logger(__name__)
        self._stack = AsyncExitStack()
        self._initializing = asyncio.Lock()
        self._load_state = 0
        self._waiting_tasks = 0
        self._routing_state = RoutingState.READY
        self._is_draining = False
        """Whether it is about to stop: then it takes no new users, whatever was said."""
        self._publisher = ReportPublisher(self._configuration.listen_host)
        self._timers: tuple[asyncio.Task[None], ...] = ()
        self._is_running = False
        self._starting: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._drain: Drain | None = None
        """Whom a stop that is under way waits for."""

    @classmethod
    def from_environment(
        cls,
        *,
        configuration: Configuration | None = None,
        logger: Logger | None = None,
        follow_links: bool = False,
    ) -> Self:
        """A driver for the pod that this process runs in. Nothing is asked before `init`.

        It reads `POD_NAME` (else the host's name), `POD_NAMESPACE` (else the ServiceAccount's), and
        `STATEFULROUTE_NAME` (else the pod's label `statefulroute.io/route`, else the name of its StatefulSet).
        Credentials are those of the ServiceAccount, or of a kubeconfig outside of a cluster.

        Args:
            configuration: as for the class.
            logger: as for the class.
            follow_links: keep a copy of the service's links by a watch: then to bind costs one request, not two, and
                every pod is told of every link.

        Raises:
            InvalidParameterError: the environment does not say which namespace the pod is in.
        """
        from statefulroute.driver.environment import namespace_of_pod, server_parts  # noqa: PLC0415 - slow to import

        namespace = namespace_of_pod()
        return cls(
            namespace,
            partial(server_parts, namespace, follow_links=follow_links),
            configuration=configuration,
            logger=logger,
        )

    # Its life.

    async def init(self) -> ServerInformation:
        """Find out who it is. It need not be called: whatever needs it calls it.

        Raises:
            StatefulRouteError: that cannot be found out.
        """
        with log_operation(self._log, "init") as outcome:
            server = (await self._get_parts()).server
            outcome.add(service=server.service, pod=server.pod_name)
            return server

    async def start(self) -> None:
        """Begin to publish load and routing state, and to look at the service's workload state.

        Raises:
            DriverAlreadyRunningError: it was started before and not stopped since.
            StatefulRouteError: it cannot be found out who it is, or the first publication has failed.
        """
        if self._is_running:
            raise DriverAlreadyRunningError
        self._is_running, self._is_draining = True, False
        starting = self._starting = asyncio.create_task(self._start())
        starting.add_done_callback(self._start_finished)
        try:
            await starting
        except asyncio.CancelledError:
            if (caller := asyncio.current_task()) is not None and caller.cancelling():
                raise
            raise InternalError("the driver was stopped before it had started") from None

    async def stop(self, drain_seconds: float | None = None) -> None:
        """Take no new users, wait for those that are there to leave, and publish no more.

        Called again, it does nothing; a stopped driver may start again. It ends also where nothing can be published.

        Args:
            drain_seconds: how long it waits for the users, at the most; never so long that the pod would be killed
                before it has ended. None is the configuration's. A stop that is under way is shortened to it.

        Raises:
            InvalidParameterError: the time is negative.
        """
        if drain_seconds is not None and not drain_seconds >= 0:
            raise InvalidParameterError("drain_seconds", "must not be negative")
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.wait({self._starting})
        if not self._is_running or self._parts is None:
            return
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop(self._parts, drain_seconds))
        elif drain_seconds is not None and self._drain is not None:
            self._drain.shorten(drain_seconds)
        await asyncio.shield(self._stopping)  # a caller that gives up leaves the others their stop

    async def close(self) -> None:
        """Stop without waiting for users, and close connections that the driver has opened itself."""
        await self.stop(0)
        await self._stack.aclose()
        if not isinstance(self._make_parts, ServerParts):
            self._parts = None

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
        """Whether it was started and not stopped since."""
        return self._is_running

    # What it says of itself.

    def set_load_state(self, load_state: int) -> None:
        """Say how busy the pod is, by a measure of its own. Published by the state timer.

        Args:
            load_state: from 0 to 2147483647.

        Raises:
            InvalidParameterError: it is no such number.
        """
        with log_operation(self._log, "set_load_state", load_state=load_state):
            self._load_state = validate_load("load_state", load_state)

    def get_load_state(self) -> int:
        """The load state that was set last; 0 at first."""
        return self._load_state

    def set_waiting_tasks(self, waiting_tasks: int) -> None:
        """Say how many tasks wait in the pod. Published, limited and refused as by `set_load_state`."""
        with log_operation(self._log, "set_waiting_tasks", waiting_tasks=waiting_tasks):
            self._waiting_tasks = validate_load("waiting_tasks", waiting_tasks)

    def get_waiting_tasks(self) -> int:
        """The number of waiting tasks that was set last; 0 at first."""
        return self._waiting_tasks

    async def set_routing_state(self, routing_state: RoutingState) -> None:
        """Say whom the pod takes. Published at once while the driver runs, else when it starts.

        Raises:
            InvalidParameterError: it is no routing state.
            StatefulRouteError: it was not published; the state timer tries again.
        """
        with log_operation(self._log, "set_routing_state", routing_state=routing_state):
            try:
                self._routing_state = RoutingState(routing_state)
            except ValueError:
                raise InvalidParameterError("routing_state", f"must be one of {', '.join(RoutingState)}") from None
            if self._is_running and self._parts is not None:
                await self._publish(self._parts)

    def get_routing_state(self) -> RoutingState:
        """The routing state that was set last; Ready at first."""
        return self._routing_state

    # Whom it holds.

    async def set_linked_pod(
        self, namespace: str, uid: str, service: str, pod: PodKey, *, ttl_seconds: int | None = None
    ) -> PodKey | None:
        """Bind a uid to a pod, whatever it was bound to.

        Args:
            namespace: the driver's own.
            uid: whom to bind.
            service: the name of the StatefulRoute.
            pod: the pod's index in a StatefulSet, else its name.
            ttl_seconds: how long the link lives; None is persistent.

        Returns:
            The pod that held the uid before, or None; pod 0 is a pod.

        Raises:
            NotLocalNamespaceError: the namespace is another; nothing was asked for.
            InvalidParameterError: a parameter cannot be right; nothing was asked for.
            DeadlineExceededError: no answer came in time.
            StatefulRouteError: the API server answered with an error.
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
        """Bind a uid to a pod, unless there is a persistent link to another pod. Takes and raises as `set_linked_pod`.

        Returns:
            Whether it won, and the pod that holds the uid now.
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
        """Remove a link, whatever pod it is to. Raises as `set_linked_pod` does.

        Args:
            namespace: the driver's own.
            uid: whose link.
            service: the name of the StatefulRoute.
            grace_seconds: how long the link lives on as a temporary one; None removes it at once.

        Returns:
            Whether there was one.
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

    async def remove_linked_pod_with_id(self, namespace: str, uid: str, service: str, pod: PodKey) -> bool:
        """Remove a link if it is to that very pod; gives whether it was. Takes and raises as `set_linked_pod` does."""
        with log_operation(
            self._log, "remove_linked_pod_with_id", namespace=namespace, uid=uid, service=service, pod=pod
        ) as outcome:
            links = await self._links(namespace, uid, service)
            removed = await links.remove_if_linked_to(service, uid, pod)
            outcome.add(removed=removed)
            return removed

    # How it does that.

    async def _start(self) -> None:
        try:
            with log_operation(self._log, "start") as outcome:
                parts = await self._get_parts()
                outcome.add(service=parts.server.service, pod=parts.server.pod_name)
                await self._wait_for_route(parts)
                await self._publish(parts)
        except BaseException:
            await self._stop_publishing()
            raise
        self._timers = (
            asyncio.create_task(self._publish_regularly(parts)),
            asyncio.create_task(self._watch_workload(parts)),
        )

    def _start_finished(self, starting: asyncio.Task[None]) -> None:
        """Before anybody else is told how the start has ended."""
        self._starting = None
        if starting.cancelled() or starting.exception() is not None:
            self._is_running = False

    async def _links(self, namespace: str, uid: str, service: str) -> Links:
        """The links, once the parameters can be right: nothing is asked for before."""
        if namespace != self._namespace:
            raise NotLocalNamespaceError
        validate_route(service)
        validate_uid(uid)
        return (await self._get_parts()).links

    async def _get_parts(self) -> ServerParts:
        if self._parts is not None:
            return self._parts
        async with self._initializing:
            if self._parts is None:
                self._parts = await self._open_parts()
        return self._parts

    async def _open_parts(self) -> ServerParts:
        if isinstance(self._make_parts, ServerParts):
            return self._make_parts
        try:
            return await self._make_parts(self._stack)
        except BaseException:
            await self._stack.aclose()
            raise

    async def _wait_for_route(self, parts: ServerParts) -> None:
        """Wait a moment for the route: it says where loads come from."""
        known = asyncio.Event()
        unlisten = parts.routes.listen(parts.server.service, known.set)
        try:
            if parts.routes.get(parts.server.service) is None:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_ROUTE_WAIT_SECONDS):
                        await known.wait()
        finally:
            unlisten()

    async def _publish(self, parts: ServerParts, seconds: float = _PUBLISH_SECONDS) -> None:
        await self._publisher.publish(parts.pod, lambda: parts.routes.get(parts.server.service), self._report, seconds)

    def _report(self) -> PodReport:
        state = self._routing_state
        if self._is_draining:
            state = most_restrictive(state, RoutingState.DENY_NEW_CALL)
        return PodReport(self._load_state, self._waiting_tasks, state, self._clock())

    async def _publish_regularly(self, parts: ServerParts) -> None:
        """The state timer. Drivers that start together are spread over the period."""
        period = self._configuration.state_period_seconds
        pause, retry = random.uniform(0.5, 1.0) * period, _FIRST_RETRY_SECONDS  # noqa: S311 - no secret
        while True:
            await asyncio.sleep(pause)
            try:
                await self._publish(parts)
            except Exception as error:  # noqa: BLE001 - a pod that says nothing any more would be worse
                self._log.warning("the load was not published: trying again", error=str(error) or repr(error))
                pause, retry = min(retry, period), retry * 2
            else:
                pause, retry = period, _FIRST_RETRY_SECONDS

    async def _watch_workload(self, parts: ServerParts) -> None:
        """The workload timer: the pod of the first index reads the service's workload state back."""
        before = None
        while True:
            route = parts.routes.get(parts.server.service)
            if route is not None and route.status.pods and pod_key(route.status.pods[0]) == parts.server.pod:
                state = route.status.workload_state
                if state is not before:
                    self._log.info("workload state", service=route.name, before=before, state=state)
                before = state
            await asyncio.sleep(self._configuration.workload_period_seconds)

    async def _stop(self, parts: ServerParts, drain_seconds: float | None) -> None:
        grace = parts.server.termination_grace_seconds
        most = grace - min(_GRACE_RESERVE_SECONDS, grace / 2)
        seconds = min(self._configuration.drain_seconds if drain_seconds is None else drain_seconds, most)
        last_word = min(_FINAL_PUBLISH_SECONDS, most)
        try:
            with log_operation(self._log, "stop", drain_seconds=seconds) as outcome:
                until = asyncio.get_running_loop().time() + seconds
                self._is_draining, self._drain = True, Drain(parts.routes, parts.server, until)
                telling = asyncio.create_task(self._publish(parts, max(seconds, last_word)))
                try:
                    await asyncio.wait({telling}, timeout=last_word)
                    failure = _publish_failure(telling)
                    await self._drain.wait(is_published=not failure)
                    outcome.add(remaining=self._drain.remaining, **failure)
                finally:
                    telling.cancel()
                    await self._stop_publishing()
        finally:
            self._is_running, self._is_draining, self._stopping, self._drain = False, False, None, None

    async def _stop_publishing(self) -> None:
        for timer in self._timers:
            timer.cancel()
        await asyncio.gather(*self._timers, return_exceptions=True)
        self._timers = ()
        await self._publisher.close()


def _publish_failure(telling: asyncio.Task[None]) -> dict[str, str]:
    """Why the last word was not told, for the log; Kubernetes tells of the pod's end all the same."""
    if not telling.done():
        return {"not_published": "the API server did not answer in time"}
    error = telling.exception()
    return {"not_published": str(error) or repr(error)} if error is not None else {}
