"""Which pod takes the next user, for whoever binds users by what a route's status says."""

from collections import Counter
from collections.abc import Container
from datetime import datetime

from statefulroute.domain.errors import PodNotAvailableError
from statefulroute.domain.keys import PodKey, RouteKey
from statefulroute.domain.route import Route
from statefulroute.domain.service import choose_pod


class AssumedPlacements:
    """Chooses pods by the operator's rule.

    A status counts the links up to a moment; whom this one has sent to a pod since then it counts itself.
    """

    def __init__(self) -> None:
        self._assumed: dict[RouteKey, Counter[PodKey]] = {}

    def best_pod(self, route: Route, now: datetime, candidates: Container[PodKey] | None = None) -> PodKey:
        """The pod that takes the next user.

        Args:
            route: the service.
            now: the time of day.
            candidates: the pods that may be chosen; None leaves all.

        Raises:
            PodNotAvailableError: no pod of it takes new users now.
        """
        pod = choose_pod(route, self._assumed.get(route.key, {}), now, candidates)
        if pod is None:
            raise PodNotAvailableError(f"no pod of the service {route.name!r} takes new users now")
        return pod

    def assume_best_pod(self, route: Route, now: datetime, candidates: Container[PodKey] | None = None) -> PodKey:
        """The same for a user who goes there, and is counted. Takes and raises as `best` does."""
        pod = self.best_pod(route, now, candidates)
        self.assume(route, pod)
        return pod

    def assume(self, route: Route, pod: PodKey) -> None:
        """Take note that a user was sent to a pod."""
        self._assumed.setdefault(route.key, Counter())[pod] += 1

    def observe_route(self, old: Route | None, new: Route | None) -> None:
        """Take in a new version of a route: once its status counts anew, it has counted those who were sent."""
        route = new or old
        if route is not None and not (old and new and new.status.links == old.status.links):
            self._assumed.pop(route.key, None)
