"""How what a server pod says of itself is told: the way that its route asks for, and again until it was told."""

import asyncio
import random
from collections.abc import Callable

from statefulroute.api.vocabulary import LoadSource, RoutingState
from statefulroute.cluster.errors import APIError, ClusterError, UnreachableError
from statefulroute.domain.errors import DeadlineExceededError
from statefulroute.domain.route import Route
from statefulroute.driver.parts import Announcement, Pod
from statefulroute.driver.publishers import LoadEndpoint

_FIRST_WAIT_SECONDS, _LAST_WAIT_SECONDS = 0.05, 1.0

#: Too many requests, and what a proxy, or an API server without its store, answers: it passes.
_PASSING = (429, 502, 503, 504)


class Publication:
    """What was told of one pod, and how. One thing is told at a time.

    Args:
        listen_host: the address that the load endpoint listens on, where the route's source is HTTP.
    """

    def __init__(self, listen_host: str) -> None:
        self._listen_host = listen_host
        self._one_at_a_time = asyncio.Lock()
        self._endpoint: LoadEndpoint | None = None
        self._published: RoutingState | None = None

    async def tell(
        self, pod: Pod, route: Callable[[], Route | None], say: Callable[[], Announcement], seconds: float
    ) -> None:
        """Tell what is so now. While the API server cannot be reached, it is tried again until the time is over.

        Args:
            pod: on whom it is written.
            route: gives what is known of its service.
            say: gives what is to be told, asked at the last moment.
            seconds: how long it may take.

        Raises:
            DeadlineExceededError: it took longer; whether it was told is not known.
            ClusterError: the API server answered with an error.
            OSError: the port of the load endpoint is taken.
        """
        wait = _FIRST_WAIT_SECONDS
        try:
            async with asyncio.timeout(seconds), self._one_at_a_time:
                while not await self._is_told(pod, route(), say()):
                    await asyncio.sleep(random.uniform(wait / 2, wait))  # noqa: S311 - no secret
                    wait = min(2 * wait, _LAST_WAIT_SECONDS)
        except TimeoutError as error:
            raise DeadlineExceededError(f"the API server did not answer within {seconds:g} s") from error

    async def close(self) -> None:
        """Answer no more; the next announcement tells everything anew."""
        endpoint, self._endpoint, self._published = self._endpoint, None, None
        if endpoint is not None:
            await endpoint.close()

    async def _is_told(self, pod: Pod, route: Route | None, said: Announcement) -> bool:
        try:
            await self._tell(pod, route, said)
        except ClusterError as error:
            if isinstance(error, UnreachableError) or (isinstance(error, APIError) and error.status in _PASSING):
                return False
            raise
        self._published = said.routing_state
        return True

    async def _tell(self, pod: Pod, route: Route | None, said: Announcement) -> None:
        http = route.spec.load.http if route and route.spec.load.source is LoadSource.HTTP else None
        if self._endpoint is not None and self._endpoint.http != http:
            endpoint, self._endpoint = self._endpoint, None
            await endpoint.close()
        if http is None:
            await pod.publish(said)
            return
        if self._endpoint is None:
            self._endpoint = LoadEndpoint(self._listen_host, http)
        await self._endpoint.answer(said)
        if said.routing_state is not self._published:  # the operator asks only now and then
            await pod.publish_routing_state(said.routing_state)
