"""The users that a server pod still carries, as the operator counts them: a stop waits until they have left."""

import asyncio
from contextlib import suppress

from statefulroute.api.statefulroute import PodStatus
from statefulroute.api.vocabulary import RoutingState
from statefulroute.domain.service import pod_key
from statefulroute.driver.parts import Routes, ServerInformation

_DRAINING_STATES = (RoutingState.DENY_NEW_CALL, RoutingState.SHUTDOWN)


class Drain:
    """The users of one pod.

    Args:
        routes: what is known of the services.
        server: which pod it is.
        deadline: how long they are waited for, in the event loop's time.
    """

    def __init__(self, routes: Routes, server: ServerInformation, deadline: float) -> None:
        self._routes = routes
        self._server = server
        self._deadline = deadline
        self._timeout: asyncio.Timeout | None = None

    @property
    def remaining(self) -> int:
        """How many there are; 0 where nobody counts."""
        said = self._pod_status()
        return said.links if said else 0

    async def wait(self, *, is_published: bool) -> None:
        """Wait until the pod carries nobody any more, or the time is over.

        Args:
            is_published: whether the operator could be told that the pod takes no new users: then only a status that
                says so counts, for an earlier one may leave out some that have just come.
        """
        changed = asyncio.Event()
        unlisten = self._routes.listen(self._server.service, changed.set)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._deadline) as self._timeout:
                    while not self._is_finished(is_published=is_published):
                        changed.clear()
                        await changed.wait()
        finally:
            self._timeout = None
            unlisten()

    def shorten(self, seconds: float) -> None:
        """Have whoever waits for the users, or will, wait no longer than so many seconds from now."""
        self._deadline = min(self._deadline, asyncio.get_running_loop().time() + seconds)
        if self._timeout is not None and not self._timeout.expired():
            self._timeout.reschedule(self._deadline)

    def _is_finished(self, *, is_published: bool) -> bool:
        said = self._pod_status()
        return said is None or (not said.links and (not is_published or said.routing_state in _DRAINING_STATES))

    def _pod_status(self) -> PodStatus | None:
        """What the route's status says of the pod."""
        route = self._routes.get(self._server.service)
        pods = route.status.pods if route else ()
        return next((pod for pod in pods if pod_key(pod) == self._server.pod), None)
