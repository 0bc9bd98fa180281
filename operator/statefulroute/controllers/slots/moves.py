"""The slots that are moved to balance the pods of their route."""

from statefulroute.api.vocabulary import MoveReason
from statefulroute.domain.keys import LinkKey, PodKey, RouteKey
from statefulroute.domain.link import Link
from statefulroute.domain.route import RouteView
from statefulroute.domain.slots.moves import drain_reason


class SlotMoves:
    """The pod that each of these slots is moved to, until the status of its link shows that it has moved."""

    def __init__(self) -> None:
        self._targets: dict[LinkKey, PodKey] = {}
        """The slots whose move has not begun."""
        self._moving: dict[LinkKey, PodKey] = {}
        """The slots whose link was written."""

    def put(self, key: LinkKey, pod: PodKey) -> None:
        """Moves a slot to a pod when its link is reconciled the next time."""
        self._targets[key] = pod

    def target(self, key: LinkKey) -> PodKey | None:
        """Returns the pod that a slot is moved to; None if it need not move, or if its move has begun."""
        return self._targets.get(key) if self._targets else None

    def begin(self, key: LinkKey) -> None:
        """Handles a slot whose link was written."""
        if (pod := self._targets.pop(key, None)) is not None:
            self._moving[key] = pod

    def has_begun(self, route: RouteKey) -> bool:
        """Returns whether all moves of a route have begun."""
        return not any(key.route == route for key in self._targets)

    def reason(self, link: Link, route: RouteView | None) -> MoveReason | None:
        """Returns why a slot has left the pod that the status of its link names; None if it has not, or it is unknown.

        Of a slot that was balanced, this is not known any more after a restart of the operator.
        """
        if link.pod is None or link.status_pod in {None, link.pod}:
            return None
        if self._moving and self._moving.get(link.key) == link.pod:
            return MoveReason.REBALANCED
        return drain_reason(link, route)

    def forget(self, key: LinkKey) -> None:
        """Ends the move of a slot."""
        self._moving.pop(key, None)

    def forget_targets(self, route: RouteKey) -> None:
        """Drops the moves of a route that have not begun."""
        for key in [key for key in self._targets if key.route == route]:
            del self._targets[key]

    def forget_route(self, route: RouteKey) -> None:
        """Drops all moves of a route."""
        self.forget_targets(route)
        for key in [key for key in self._moving if key.route == route]:
            del self._moving[key]
