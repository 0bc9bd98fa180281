"""Waits until the users of a stopping server pod have left, as counted by the operator."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from statefulroute.api.route_status import PodStatus
from statefulroute.api.vocabulary import RoutingState
from statefulroute.domain.service import pod_key, total_links
from statefulroute.domain.unlisted_pods import omits_pods
from statefulroute.driver.parts import Routes, ServerInformation

#: The pause between looks at users whom the status does not count yet.
_POLL_SECONDS = 0.1

_DRAINING_STATES = (RoutingState.DENY_NEW_CALL, RoutingState.SHUTDOWN)


class Drain:
    """The wait for the users of one pod.

    Args:
        routes: the services.
        server: the identity of the pod.
        deadline: the end of the wait, in the event loop's time.
        holds_users: returns whether the driver knows of users who are here or about to arrive. The status may not count
            them yet.
    """

    def __init__(
        self,
        routes: Routes,
        server: ServerInformation,
        deadline: float,
        holds_users: Callable[[], bool] = lambda: False,
    ) -> None:
        self._routes = routes
        self._server = server
        self._deadline = deadline
        self._holds_users = holds_users
        self._timeout: asyncio.Timeout | None = None
        self._listed_number = 0
        """The number of users when the status listed the pod."""

    @property
    def remaining(self) -> int:
        """The last known number of users, in all routes to the pod; 0 if it was never known, or the pod is gone."""
        pod_status = self._pod_status()
        if pod_status is not None:
            return total_links(pod_status)
        return self._listed_number if self._is_omitted() else 0

    async def wait(self, *, is_published: bool) -> None:
        """Waits until the pod has no users, or until the deadline.

        Args:
            is_published: whether the pod's report that it accepts no new users was published. Then only a status with
                that routing state counts, because an earlier one may not yet count the latest users.
        """
        changed = asyncio.Event()
        unlisten = self._routes.listen(self._server.service, changed.set)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._deadline) as self._timeout:
                    while not self._is_finished(is_published=is_published):
                        changed.clear()
                        with suppress(TimeoutError):
                            async with asyncio.timeout(_POLL_SECONDS if self._holds_users() else None):
                                await changed.wait()
        finally:
            self._timeout = None
            unlisten()

    def shorten(self, seconds: float) -> None:
        """Moves the deadline of a present or future `wait` to a number of seconds from now, if that is earlier."""
        self._deadline = min(self._deadline, asyncio.get_running_loop().time() + seconds)
        if self._timeout is not None and not self._timeout.expired():
            self._timeout.reschedule(self._deadline)

    def _is_finished(self, *, is_published: bool) -> bool:
        pod_status, self._listed_number = self._pod_status(), self.remaining
        if pod_status is None:
            # A draining pod without users is one of the first to be listed: another status lists it.
            return not self._is_omitted()
        is_empty = not self._listed_number and not self._holds_users()
        return is_empty and (not is_published or pod_status.routing_state in _DRAINING_STATES)

    def _is_omitted(self) -> bool:
        """Returns whether the pod may exist although the route's status does not list it."""
        route = self._routes.get(self._server.service)
        return route is not None and omits_pods(route.status)

    def _pod_status(self) -> PodStatus | None:
        """Returns the pod's entry in the route's status."""
        route = self._routes.get(self._server.service)
        pods = route.status.pods if route else ()
        return next((pod for pod in pods if pod_key(pod) == self._server.pod), None)
