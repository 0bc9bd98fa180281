"""Reports a server pod's load and routing state: at once on request, and periodically."""

import asyncio
import random

from statefulroute.api.vocabulary import RoutingState
from statefulroute.cluster.clock import Clock
from statefulroute.domain.backoff import Backoff
from statefulroute.domain.pod_views import most_restrictive
from statefulroute.domain.service import pod_key
from statefulroute.driver.parts import Configuration, EventLogger, PodReport, ServerParts
from statefulroute.driver.report_publisher import ReportPublisher

#: The pause after the first failed publication by the state timer; it doubles with each failure, up to the period.
_FIRST_RETRY_SECONDS = 1.0


class Reporter:
    """The reported state of one pod, and the timers that publish it and watch the service's workload state.

    Args:
        configuration: the periods of the timers, and where the load endpoint listens.
        clock: the time of day.
        log: the driver's logger.

    Attributes:
        load_state: how busy the pod is.
        waiting_tasks: the number of tasks that wait in the pod.
        routing_state: which users the pod accepts, as set by the application.
        is_draining: whether the driver is stopping: the pod then accepts no new users, whatever the routing state.
    """

    def __init__(self, configuration: Configuration, clock: Clock, log: EventLogger) -> None:
        self.load_state = 0
        self.waiting_tasks = 0
        self.routing_state = RoutingState.READY
        self.is_draining = False
        self._configuration = configuration
        self._clock = clock
        self._log = log
        self._publisher = ReportPublisher(configuration.listen_host)
        self._timers: tuple[asyncio.Task[None], ...] = ()

    async def publish(self, parts: ServerParts, seconds: float | None = None) -> None:
        """Publishes the present state. Raises as `ReportPublisher.publish` does.

        Args:
            parts: the driver's parts.
            seconds: the time limit; None is the configuration's.
        """
        limit = self._configuration.deadline_seconds if seconds is None else seconds
        await self._publisher.publish(parts.pod, lambda: parts.routes.get(parts.server.service), self._report, limit)

    def start_timers(self, parts: ServerParts) -> None:
        """Starts the state timer and the workload timer."""
        self._timers = (
            asyncio.create_task(self._publish_periodically(parts)),
            asyncio.create_task(self._log_workload_state(parts)),
        )

    async def close(self) -> None:
        """Stops the timers and closes the load endpoint."""
        for timer in self._timers:
            timer.cancel()
        await asyncio.gather(*self._timers, return_exceptions=True)
        self._timers = ()
        await self._publisher.close()

    def _report(self) -> PodReport:
        routing_state = self.routing_state
        if self.is_draining:
            routing_state = most_restrictive(routing_state, RoutingState.DENY_NEW_CALL)
        return PodReport(self.load_state, self.waiting_tasks, routing_state, self._clock())

    async def _publish_periodically(self, parts: ServerParts) -> None:
        """The state timer. A random first pause spreads drivers that start together over the period."""
        period = self._configuration.state_period_seconds
        backoff = Backoff(_FIRST_RETRY_SECONDS, period, random.random, jitter=0.0)
        pause, failures = random.uniform(0.5, 1.0) * period, 0  # noqa: S311 - not a secret
        while True:
            await asyncio.sleep(pause)
            try:
                await self.publish(parts)
            except Exception as error:  # noqa: BLE001 - the timer must survive: a pod without reports gets no users
                self._log.warning("the load was not published: trying again", error=str(error) or repr(error))
                pause, failures = backoff.delay(failures), failures + 1
            else:
                pause, failures = period, 0

    async def _log_workload_state(self, parts: ServerParts) -> None:
        """The workload timer: the service's first pod logs changes of its workload state."""
        before = None
        while True:
            route = parts.routes.get(parts.server.service)
            if route is not None and route.status.pods and pod_key(route.status.pods[0]) == parts.server.pod:
                state = route.status.workload_state
                if state is not before:
                    self._log.info("workload state", service=route.name, before=before, state=state)
                before = state
            await asyncio.sleep(self._configuration.workload_period_seconds)
