"""Chooses pods for clients that bind users by the status of a route."""

from collections import Counter
from collections.abc import Container
from datetime import datetime

from statefulroute.domain.errors import PodNotAvailableError
from statefulroute.domain.keys import PodKey, RouteKey
from statefulroute.domain.route import Route
from statefulroute.domain.service import choose_pod


class AssumedPlacements:
    """Chooses pods by the operator's placement rule.

    A status counts the links up to some moment. This class counts the placements that were assumed after it, so that
    they influence the next choice (compare the assumed pods of kube-scheduler).
    """

    def __init__(self) -> None:
        self._assumed: dict[RouteKey, Counter[PodKey]] = {}

    def best_pod(self, route: Route, now: datetime, candidates: Container[PodKey] | None = None) -> PodKey:
        """Returns the pod that the next user is placed on.

        Args:
            route: the service.
            now: the current time.
            candidates: the pods to choose from; None allows all.

        Raises:
            PodNotAvailableError: no pod accepts new users.
        """
        pod = choose_pod(route, self._assumed.get(route.key, {}), now, candidates)
        if pod is None:
            raise PodNotAvailableError(f"no pod of the service {route.name!r} takes new users now")
        return pod

    def assume_best_pod(self, route: Route, now: datetime, candidates: Container[PodKey] | None = None) -> PodKey:
        """Chooses a pod and counts the placement. The arguments and errors are those of `best_pod`."""
        pod = self.best_pod(route, now, candidates)
        self.assume(route, pod)
        return pod

    def assume(self, route: Route, pod: PodKey) -> None:
        """Counts a placement on a pod."""
        self._assumed.setdefault(route.key, Counter())[pod] += 1

    def observe_route(self, old: Route | None, new: Route | None) -> None:
        """Handles a new version of a route: a new link count in its status includes the assumed placements."""
        route = new or old
        if route is not None and not (old and new and new.status.links == old.status.links):
            self._assumed.pop(route.key, None)
