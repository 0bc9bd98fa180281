"""Publishes the reports of a server pod by the load source of its route, and retries transient errors."""

import asyncio
import random
from collections.abc import Callable

from statefulroute.api.vocabulary import LoadSource, RoutingState
from statefulroute.cluster.errors import APIError, ClusterError, UnreachableError
from statefulroute.domain.backoff import Backoff
from statefulroute.domain.errors import DeadlineExceededError
from statefulroute.domain.route import Route
from statefulroute.driver.parts import PodPublisher, PodReport
from statefulroute.driver.publishers import LoadEndpoint

_BACKOFF = Backoff(initial_seconds=0.05, max_seconds=1.0, random=random.random)

#: Too many requests, and the statuses of a proxy, or of an API server without etcd.
_TRANSIENT_STATUSES = (429, 502, 503, 504)


class ReportPublisher:
    """Publishes the reports of one pod, one at a time.

    Args:
        listen_host: the address that the load endpoint listens on, if the route's load source is HTTP.
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
        """Publishes the present report. Retries while the API server is unreachable.

        Args:
            pod: writes to the pod.
            get_route: returns the pod's service, or None.
            get_report: returns the report; called before each try.
            seconds: the time limit.

        Raises:
            DeadlineExceededError: the time is over; it is unknown whether the report was published.
            ClusterError: the API server responded with an error.
            OSError: the port of the load endpoint is in use.
        """
        failures = 0
        try:
            async with asyncio.timeout(seconds), self._lock:
                while (failure := await self._try_publish(pod, get_route(), get_report())) is not None:
                    await asyncio.sleep(_BACKOFF.delay(failures, failure.retry_after_seconds))
                    failures += 1
        except TimeoutError as error:
            raise DeadlineExceededError(f"the API server did not answer within {seconds:g} s") from error

    async def close(self) -> None:
        """Closes the load endpoint, and forgets what was published."""
        endpoint, self._endpoint, self._published_routing_state = self._endpoint, None, None
        self._lock = asyncio.Lock()  # the next start may be in another event loop
        if endpoint is not None:
            await endpoint.close()

    async def _try_publish(self, pod: PodPublisher, route: Route | None, report: PodReport) -> ClusterError | None:
        """Publishes a report; returns an error after which a retry may succeed, or None."""
        try:
            await self._publish_once(pod, route, report)
        except ClusterError as error:
            if isinstance(error, UnreachableError) or (
                isinstance(error, APIError) and error.status in _TRANSIENT_STATUSES
            ):
                return error
            raise
        self._published_routing_state = report.routing_state
        return None

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
        if report.routing_state is not self._published_routing_state:  # the operator polls rarely
            await pod.publish_routing_state(report.routing_state)


def publish_failure(publishing: asyncio.Task[None]) -> dict[str, str]:
    """Returns the log field for a failed last publication. The pod ends all the same, and Kubernetes reports that."""
    if not publishing.done():
        return {"not_published": "the API server did not answer in time"}
    error = publishing.exception()
    return {"not_published": str(error) or repr(error)} if error is not None else {}
