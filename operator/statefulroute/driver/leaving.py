"""Adds to the events of a pod's users that they are about to leave, because the pod is closing."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from statefulroute.domain.service import pod_key
from statefulroute.driver.parts import Routes, ServerInformation, Users
from statefulroute.driver.user_events import ServerChange, UserArrived, UserChange, UserLeaving, UserStaying


class Publish(Protocol):
    """Takes events, in order."""

    def __call__(self, events: Sequence[ServerChange], *, is_state: bool = False) -> None:
        """Takes events; with `is_state`, they are of all users at once, and no consumer is too slow for them."""


class LeavingUsers:
    """The events of the users of a pod, with those of its closing.

    Args:
        users: the users of the pod.
        routes: the services: the status of the pod's own says whether the pod is closing.
        server: the identity of the pod.
        publish: takes the events from now on.
    """

    def __init__(self, users: Users, routes: Routes, server: ServerInformation, publish: Publish) -> None:
        self._users = users
        self._routes = routes
        self._server = server
        self._publish = publish
        self._deadline: datetime | None = None
        """Until when the closing pod keeps its users; None if it is not closing."""
        self._deadline = self._read_deadline()
        users.listen(lambda event: publish(self._with_leaving(event)))
        routes.listen(server.service, self._route_changed)

    def present(self) -> list[ServerChange]:
        """Returns the events that lead to the present state."""
        return [event for present in self._users.present() for event in self._with_leaving(present)]

    def _with_leaving(self, event: ServerChange) -> list[ServerChange]:
        """Returns an event; of a user that arrives at a closing pod also that the user leaves."""
        if isinstance(event, UserArrived) and self._deadline is not None:
            return [event, UserLeaving(event.service, event.uid, None, self._deadline)]
        return [event]

    def _route_changed(self) -> None:
        deadline = self._read_deadline()
        if deadline != self._deadline:
            self._deadline = deadline
            self._publish([self._change(service, uid) for service, uid in self._uids()], is_state=True)

    def _change(self, service: str, uid: str) -> UserChange:
        if self._deadline is None:
            return UserStaying(service, uid)
        return UserLeaving(service, uid, None, self._deadline)

    def _uids(self) -> list[tuple[str, str]]:
        return [(service, uid) for service in self._users.services for uid in self._users.uids(service)]

    def _read_deadline(self) -> datetime | None:
        """Returns the deadline by the status of the route; the last one if the status does not list the pod."""
        route = self._routes.get(self._server.service)
        pods = route.status.pods if route is not None else ()
        pod = next((pod for pod in pods if pod_key(pod) == self._server.pod), None)
        if pod is None:
            return self._deadline
        return None if pod.closing is None else pod.closing.deadline
