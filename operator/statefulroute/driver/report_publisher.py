"""How what a server pod says of itself is told: the way that its route asks for, and again until it was told."""

import asyncio
import random
from collections.abc import Callable

from statefulroute.api.vocabulary import LoadSource, RoutingState
from statefulroute.cluster.errors import APIError, ClusterError, UnreachableError
from statefulroute.domain.errors import DeadlineExceededError
from statefulroute.domain.route import Route
from statefulroute.driver.parts import PodPublisher, PodReport
from statefulroute.driver.publishers import LoadEndpoint

_MIN_BACKOFF_SECONDS, _MAX_BACKOFF_SECONDS = 0.05, 1.0

#: Too many requests, and what a proxy, or an API server without its store, answers: it passes.
_TRANSIENT_STATUSES = (429, 502, 503, 504)


class ReportPublisher:
    """What was told of one pod, and how. One thing is told at a time.

    Args:
        listen_host: the address that the load endpoint listens on, where the route's source is HTTP.
    """

    def __init__(self, listen_host: str) -> None:
        self._listen_host = listen_host
        self._lock = asyncio.Lock()
        self._endpoint: LoadEndpoint | None = None
        self._published_routing_state: RoutingState | None = None

    async def publish(
        self,
        pod: PodPublisher,
        get_route: Callable[[], Route | None],
        get_report: Callable[[], PodReport],
        seconds: float,
    ) -> None:
        """Tell what is so now. While the API server cannot be reached, it is tried again until the time is over.

        Args:
            pod: on whom it is written.
            get_route: gives what is known of its service.
            get_report: gives what is to be told, asked at the last moment.
            seconds: how long it may take.

        Raises:
            DeadlineExceededError: it took longer; whether it was told is not known.
            ClusterError: the API server answered with an error.
            OSError: the port of the load endpoint is taken.
        """
        wait = _MIN_BACKOFF_SECONDS
        try:
            async with asyncio.timeout(seconds), self._lock:
                while not await self._try_publish(pod, get_route(), get_report()):
                    await asyncio.sleep(random.uniform(wait / 2, wait))  # noqa: S311 - no secret
                    wait = min(2 * wait, _MAX_BACKOFF_SECONDS)
        except TimeoutError as error:
            raise DeadlineExceededError(f"the API server did not answer within {seconds:g} s") from error

    async def close(self) -> None:
        """Answer no more; the next announcement tells everything anew."""
        endpoint, self._endpoint, self._published_routing_state = self._endpoint, None, None
        if endpoint is not None:
            await endpoint.close()

    async def _try_publish(self, pod: PodPublisher, route: Route | None, report: PodReport) -> bool:
        try:
            await self._publish_once(pod, route, report)
        except ClusterError as error:
            if isinstance(error, UnreachableError) or (
                isinstance(error, APIError) and error.status in _TRANSIENT_STATUSES
            ):
                return False
            raise
        self._published_routing_state = report.routing_state
        return True

    async def _publish_once(self, pod: PodPublisher, route: Route | None, report: PodReport) -> None:
        http = route.spec.load.http if route and route.spec.load.source is LoadSource.HTTP else None
        if self._endpoint is not None and self._endpoint.http != http:
            endpoint, self._endpoint = self._endpoint, None
            await endpoint.close()
        if http is None:
            await pod.publish(report)
            return
        if self._endpoint is None:
            self._endpoint = LoadEndpoint(self._listen_host, http)
        await self._endpoint.update(report)
        if report.routing_state is not self._published_routing_state:  # the operator asks only now and then
            await pod.publish_routing_state(report.routing_state)
