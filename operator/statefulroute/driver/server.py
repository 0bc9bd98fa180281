"""The driver of a server pod: reports the pod's load and routing state, and binds users to the pod."""

import asyncio
from collections.abc import Iterable
from functools import partial
from typing import Self

import msgspec

from statefulroute.api.vocabulary import RoutingState
from statefulroute.cluster.clock import IntervalClock, utc_interval
from statefulroute.cluster.errors import ClusterError
from statefulroute.domain.errors import (
    DeadlineExceededError,
    DriverAlreadyRunningError,
    InternalError,
    InvalidParameterError,
    StatefulRouteError,
)
from statefulroute.domain.validation import validate_load
from statefulroute.driver.deadline import deadline
from statefulroute.driver.drain import Drain
from statefulroute.driver.hand_over_configuration import check_hand_over
from statefulroute.driver.lazy_parts import LazyParts, PartsSource
from statefulroute.driver.lifetime import cancel
from statefulroute.driver.metrics import DriverMetrics
from statefulroute.driver.operation_log import make_logger
from statefulroute.driver.operations import Operations, observe_request
from statefulroute.driver.own_service import check_service
from statefulroute.driver.parts import Configuration, Logger, ServerInformation, ServerParts
from statefulroute.driver.pod_lock import PodLock
from statefulroute.driver.report_publisher import publish_failure
from statefulroute.driver.reporter import Reporter
from statefulroute.driver.server_hand_overs import ServerHandOvers
from statefulroute.driver.tracing import DriverTracing

#: The part of the pod's termination grace period that `stop` leaves to the application.
_GRACE_RESERVE_SECONDS = 5.0

#: The minimal time limit of the last publication.
_FINAL_PUBLISH_SECONDS = 2.0

#: How long `start` waits for the route, and for another process of the pod to begin its stop, if half of its time limit
#: is not less.
_PATIENCE_SECONDS = 5.0


class ServerDriver(ServerHandOvers):
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
        metrics: counts what the driver does; None counts nothing.
        tracing: records spans of the operations that send requests; None records nothing.
    """

    def __init__(  # noqa: PLR0913 - all but two have a default
        self,
        namespace: str,
        parts: PartsSource,
        *,
        configuration: Configuration | None = None,
        clock: IntervalClock = utc_interval,
        logger: Logger | None = None,
        hash_uids: bool = False,
        metrics: DriverMetrics | None = None,
        tracing: DriverTracing | None = None,
    ) -> None:
        self._configuration = configuration or Configuration()
        self._log = make_logger(logger, __name__, hash_uids=hash_uids)
        counted = None if metrics is None else metrics.in_namespace(namespace)
        operations = Operations(
            self._log,
            None if counted is None else counted.observe_operation,
            None if tracing is None else tracing.in_namespace(namespace, hash_uids=hash_uids),
        )
        super().__init__(namespace, LazyParts(parts, self._log), self._configuration, operations, self._log, counted)
        # By a clock that is behind, the load would be stale when it arrives.
        self._reporter = Reporter(self._configuration, lambda: clock().latest, self._log)
        self._is_running = False
        self._starting: asyncio.Task[None] | None = None
        self._connecting: asyncio.Task[None] | None = None
        """Waits for the API server after a start without it."""
        self._stopping: asyncio.Task[None] | None = None
        self._pod_lock = PodLock()
        self._drain: Drain | None = None
        """The wait of a `stop` in progress for the pod's users."""

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
            follow_users: whether to watch the links to this pod, for `users`, `token` and events; or the names of
                further services of the pod whose links to watch, too.
            keep_managed_fields: whether the managedFields of links stay, as for `ClientDriver`.
            metrics: as for the class.
            tracing: as for the class.

        Raises:
            InvalidParameterError: an option is invalid, or the environment does not name the pod's namespace.
            ImportError: what `Configuration.hand_over` needs is not installed.
        """
        from statefulroute.driver.environment import namespace_of_pod, server_parts  # noqa: PLC0415 - slow to import
        from statefulroute.driver.pod_users import followed_services  # noqa: PLC0415

        namespace, configuration = namespace_of_pod(), configuration or Configuration()
        followed = followed_services(follow_users, configuration.fence_after_seconds)
        check_hand_over(configuration.hand_over, is_following=followed is not None)
        return cls(
            namespace,
            partial(
                server_parts,
                namespace,
                follow_links=follow_links,
                follow_users=False if followed is None else followed,
                configuration=configuration,
                keep_managed_fields=keep_managed_fields,
                observer=None if metrics is None and tracing is None else observe_request,
                on_write=None if metrics is None else metrics.in_namespace(namespace).observe_write,
            ),
            configuration=configuration,
            logger=logger,
            hash_uids=hash_uids,
            metrics=metrics,
            tracing=tracing,
        )

    # Lifecycle.

    async def init(self) -> ServerInformation:
        """Reads the identity of the pod. Calling it is optional: other methods call it when they need it.

        Raises:
            StatefulRouteError: the identity cannot be read.
        """
        with self._operations.run("init") as outcome:
            async with deadline(self._deadline_seconds):
                server = (await self._parts.get()).server
            outcome.add(service=server.service, pod=server.pod_name)
            return server

    async def start(self) -> None:
        """Publishes load and routing state, and starts the state timer and the workload timer.

        If the API server does not answer within the deadline, the driver has started all the same: it tries again until
        it has published, and the pod can serve its users meanwhile. So it does while the driver in another process of
        the pod stops, as at a reload of a web server.

        Raises:
            DriverAlreadyRunningError: the driver is running, or one in another process of the pod, which does not stop.
            ServiceNotFoundError: the pod's StatefulRoute does not exist.
            StatefulRouteError: the pod's identity cannot be read, or the API server refused the first publication.
        """
        self._parts.lifetime.begin()
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
        self._parts.lifetime.check_place()
        for task in (self._starting, self._connecting):
            if task is not None:
                await cancel(task)
        self._connecting = None
        if not self._is_running:
            return
        # The API server has not answered yet, or another process reports the state of the pod.
        if self._parts.opened is None or not self._may_report(self._parts.opened):
            self._is_running = False
            return
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop(self._parts.opened, drain_seconds))
        elif drain_seconds is not None and self._drain is not None:
            self._drain.shorten(drain_seconds)
        await asyncio.shield(self._stopping)  # the cancellation of one caller does not affect the others

    async def close(self) -> None:
        """Stops without waiting for users, and closes the connections that the driver has opened.

        Has no effect in a forked process: the connections belong to its parent.
        """
        if self._parts.lifetime.is_forked:
            return
        await self.stop(0)
        await self._end_hand_overs()
        await self._parts.close()
        self._end_events()

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
        return self._is_running and not self._parts.lifetime.is_forked

    # The reported state of the pod.

    def set_load_state(self, load_state: int) -> None:
        """Sets how busy the pod is, in a unit of the application. The state timer publishes it.

        Args:
            load_state: from 0 to 2147483647.

        Raises:
            InvalidParameterError: the number is out of range.
        """
        self._parts.lifetime.check_process()
        with self._operations.run("set_load_state", load_state=load_state):
            self._reporter.load_state = validate_load("load_state", load_state)

    def get_load_state(self) -> int:
        """Returns the load state that was set last; initially 0."""
        return self._reporter.load_state

    def set_waiting_tasks(self, waiting_tasks: int) -> None:
        """Sets the number of tasks that wait in the pod. Published, limited and validated as by `set_load_state`."""
        self._parts.lifetime.check_process()
        with self._operations.run("set_waiting_tasks", waiting_tasks=waiting_tasks):
            self._reporter.waiting_tasks = validate_load("waiting_tasks", waiting_tasks)

    def get_waiting_tasks(self) -> int:
        """Returns the number of waiting tasks that was set last; initially 0."""
        return self._reporter.waiting_tasks

    async def set_routing_state(self, routing_state: RoutingState) -> None:
        """Sets which users the pod accepts. Published at once while the driver runs, otherwise when it starts.

        Raises:
            InvalidParameterError: the value is not a routing state.
            DriverAlreadyRunningError: a driver in another process of the pod reports its state.
            StatefulRouteError: the publication failed; the state timer retries it.
        """
        self._parts.lifetime.check_place()
        with self._operations.run("set_routing_state", routing_state=routing_state):
            if routing_state not in tuple(RoutingState):
                raise InvalidParameterError("routing_state", f"must be one of {', '.join(RoutingState)}")
            self._reporter.routing_state = RoutingState(routing_state)
            if self._is_running and self._parts.opened is not None:
                if self._pod_lock.is_about_to_be_released(self._parts.opened.server.pod_uid):
                    return  # this driver publishes it as soon as it holds the lock
                self._pod_lock.acquire(self._parts.opened.server.pod_uid)
                await self._reporter.publish(self._parts.opened)

    def get_routing_state(self) -> RoutingState:
        """Returns the routing state that was set last; initially Ready."""
        return self._reporter.routing_state

    # Implementation.

    async def _start(self) -> None:
        with self._operations.run("start") as outcome:
            connecting = asyncio.create_task(self._connect())
            try:
                await asyncio.wait({connecting}, timeout=self._deadline_seconds)
                parts = await connecting if connecting.done() else None
            except asyncio.CancelledError:
                await cancel(connecting)
                raise
            if parts is not None:
                outcome.add(service=parts.server.service, pod=parts.server.pod_name)
        if parts is not None:
            self._reporter.start_timers(parts)
            return
        # The pod serves its users meanwhile.
        opened = self._parts.opened
        if opened is not None and self._pod_lock.is_about_to_be_released(opened.server.pod_uid):
            self._log.info("the driver has started, and reports as soon as that in another process has stopped")
        else:
            self._log.warning("the driver has started without the API server, and reports as soon as it answers")
        self._connecting = asyncio.create_task(self._keep_connecting(connecting))

    async def _keep_connecting(self, connecting: asyncio.Task[ServerParts]) -> None:
        """Waits for the connection, and tries again if it fails."""
        try:
            while True:
                try:
                    parts = await connecting
                except (StatefulRouteError, ClusterError, OSError, msgspec.MsgspecError) as error:
                    self._log.warning("the driver does not report: trying again", error=str(error))
                else:
                    self._log.info("the driver reports", service=parts.server.service, pod=parts.server.pod_name)
                    self._reporter.start_timers(parts)
                    return
                await asyncio.sleep(self._configuration.state_period_seconds)
                connecting = asyncio.create_task(self._connect())
        finally:
            connecting.cancel()

    async def _connect(self) -> ServerParts:
        """Reads the identity of the pod, and publishes its state."""
        try:
            parts = await self._parts.get()
            patience, time = min(_PATIENCE_SECONDS, self._deadline_seconds / 2), asyncio.get_running_loop().time
            ends_at = time() + patience
            await check_service(parts, patience)
            await self._pod_lock.wait(parts.server.pod_uid, ends_at - time())
            try:
                await self._reporter.publish(parts)
            except DeadlineExceededError as error:
                self._log.warning("the load was not published: trying again", error=str(error))
        except BaseException:
            self._pod_lock.release()
            await self._reporter.close()
            raise
        return parts

    def _start_finished(self, starting: asyncio.Task[None]) -> None:
        """Runs before the callers that await the start continue."""
        self._starting = None
        if starting.cancelled() or starting.exception() is not None:
            self._is_running = False

    def _may_report(self, parts: ServerParts) -> bool:
        """Returns whether no other process reports the state of the pod."""
        try:
            self._pod_lock.acquire(parts.server.pod_uid)
        except DriverAlreadyRunningError:
            return False
        return True

    async def _stop(self, parts: ServerParts, drain_seconds: float | None) -> None:
        grace = parts.server.termination_grace_seconds
        limit = grace - min(_GRACE_RESERVE_SECONDS, grace / 2)
        seconds = min(self._configuration.drain_seconds if drain_seconds is None else drain_seconds, limit)
        publish_seconds = min(_FINAL_PUBLISH_SECONDS, limit)
        try:
            with self._operations.run("stop", drain_seconds=seconds) as outcome:
                ends_at = asyncio.get_running_loop().time() + seconds
                self._reporter.is_draining = True
                self._drain = Drain(parts.routes, parts.server, ends_at, self._holds_users)
                self._pod_lock.announce_release()
                publishing = asyncio.create_task(self._reporter.publish(parts, max(seconds, publish_seconds)))
                try:
                    await asyncio.wait({publishing}, timeout=publish_seconds)
                    failure = publish_failure(publishing)
                    await self._drain.wait(is_published=not failure)
                    outcome.add(remaining=self._drain.remaining, **failure)
                finally:
                    publishing.cancel()
                    await self._reporter.close()
                    self._pod_lock.release()
        finally:
            self._is_running, self._reporter.is_draining, self._stopping, self._drain = False, False, None, None
