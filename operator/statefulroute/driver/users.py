"""The users that a server pod still carries, as the operator counts them: a stop waits until they have left."""

import asyncio
from contextlib import suppress

from statefulroute.api.statefulroute import PodStatus
from statefulroute.api.vocabulary import RoutingState
from statefulroute.domain.service import key_of
from statefulroute.driver.parts import Routes, ServerInformation

_TAKES_NOBODY_NEW = (RoutingState.DENY_NEW_CALL, RoutingState.SHUTDOWN)


class Users:
    """The users of one pod.

    Args:
        routes: what is known of the services.
        server: which pod it is.
        until: how long they are waited for, in the event loop's time.
    """

    def __init__(self, routes: Routes, server: ServerInformation, until: float) -> None:
        self._routes = routes
        self._server = server
        self._until = until
        self._waiting: asyncio.Timeout | None = None

    @property
    def remaining(self) -> int:
        """How many there are; 0 where nobody counts."""
        said = self._said()
        return said.links if said else 0

    async def have_left(self, *, is_told: bool) -> None:
        """Wait until the pod carries nobody any more, or the time is over.

        Args:
            is_told: whether the operator could be told that the pod takes no new users: then only a status that
                says so counts, for an earlier one may leave out some that have just come.
        """
        changed = asyncio.Event()
        unlisten = self._routes.listen(self._server.service, changed.set)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._until) as self._waiting:
                    while not self._is_left(is_told=is_told):
                        changed.clear()
                        await changed.wait()
        finally:
            self._waiting = None
            unlisten()

    def hurry(self, seconds: float) -> None:
        """Have whoever waits for the users, or will, wait no longer than so many seconds from now."""
        self._until = min(self._until, asyncio.get_running_loop().time() + seconds)
        if self._waiting is not None and not self._waiting.expired():
            self._waiting.reschedule(self._until)

    def _is_left(self, *, is_told: bool) -> bool:
        said = self._said()
        return said is None or (not said.links and (not is_told or said.routing_state in _TAKES_NOBODY_NEW))

    def _said(self) -> PodStatus | None:
        """What the route's status says of the pod."""
        route = self._routes.get(self._server.service)
        pods = route.status.pods if route else ()
        return next((pod for pod in pods if key_of(pod) == self._server.pod), None)
