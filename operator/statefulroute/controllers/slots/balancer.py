"""Moves slots to balance the pods of a route, at the rate of its spec."""

import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice

from statefulroute.cluster.cache import Cache
from statefulroute.controllers.slots.moves import SlotMoves
from statefulroute.controllers.state_store import RouteStore
from statefulroute.domain.keys import LinkKey, PodKey, RouteKey, slot_link_name
from statefulroute.domain.link import Link
from statefulroute.domain.rate_limiter import RateLimiter
from statefulroute.domain.route import Route, RouteView
from statefulroute.domain.slots.moves import is_balanced_by_moves
from statefulroute.domain.slots.placement import pods_for_slots
from statefulroute.domain.slots.spread import balance_slots

_MINUTE_SECONDS = 60.0

#: How many moves are planned in advance.
_PLANNED_MOVES = 1_000

#: How often it is checked whether moves have begun, which have a rate in common with other moves; and after how many
#: checks they are planned again.
_CHECK_SECONDS, _MAX_CHECKS = 1.0, 30


@dataclass(slots=True)
class _Balance:
    """What is planned for a route.

    Attributes:
        pods: the pods that take slots.
        slots_per_minute: the rate.
        limiter: limits the moves to this rate.
        moves: the slots to move, each with the pod that takes it.
        checks: how often in a row not all moves had begun.
    """

    pods: frozenset[PodKey]
    slots_per_minute: int
    limiter: RateLimiter
    moves: deque[tuple[LinkKey, PodKey]] = field(default_factory=deque)
    checks: int = 0


class SlotBalancer:
    """Plans the fewest moves that balance the pods of a route, and starts them one by one.

    A plan is made again when other pods take slots, and when its moves have begun.

    Args:
        links: the cache of links.
        route_store: the views of routes.
        moves: takes the slots to move.
        resume: reconciles a link.
        monotonic: returns monotonic seconds.
    """

    def __init__(
        self,
        links: Cache[Link],
        route_store: RouteStore,
        moves: SlotMoves,
        resume: Callable[[LinkKey], object],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._links = links
        self._route_store = route_store
        self._moves = moves
        self._resume = resume
        self._monotonic = monotonic
        self._balances: dict[RouteKey, _Balance] = {}

    def balance(self, view: RouteView) -> float | None:
        """Starts the moves that are due.

        Returns:
            The seconds until the next ones; None if there are none before the pods or their slots change.
        """
        key, rebalance = view.route.key, view.route.spec.rebalance
        if rebalance is None or not is_balanced_by_moves(view):
            self._drop_plan(key)
            return None
        pods = frozenset(pod.key for pod in pods_for_slots(view, self._route_store.now()))
        balance = self._balances.get(key)
        if balance is None or balance.slots_per_minute != rebalance.slots_per_minute:
            balance = self._balances[key] = _Balance(
                pods, rebalance.slots_per_minute, self._limiter(rebalance.slots_per_minute)
            )
        if balance.pods != pods:
            balance.pods = pods
            balance.moves.clear()
            self._moves.forget_targets(key)
        return self._start_moves(view, balance)

    def forget(self, route: RouteKey) -> None:
        """Drops a route that is deleted, or that this operator does not work on any more."""
        self._balances.pop(route, None)
        self._moves.forget_route(route)

    def _limiter(self, per_minute: int) -> RateLimiter:
        return RateLimiter(per_minute / _MINUTE_SECONDS, self._monotonic)

    def _drop_plan(self, key: RouteKey) -> None:
        if (balance := self._balances.get(key)) is not None and balance.moves:
            balance.moves.clear()
        self._moves.forget_targets(key)

    def _start_moves(self, view: RouteView, balance: _Balance) -> float | None:
        key = view.route.key
        if not balance.moves:
            if not self._moves.has_begun(key) and balance.checks < _MAX_CHECKS:
                balance.checks += 1
                return _CHECK_SECONDS
            balance.checks = 0
            self._moves.forget_targets(key)
            balance.moves = self._plan(view, balance.pods)
        while balance.moves:
            if (seconds := balance.limiter.take()) > 0:
                return seconds
            link, pod = balance.moves.popleft()
            self._moves.put(link, pod)
            self._resume(link)
            if not balance.moves:
                return _CHECK_SECONDS
        # If moves are missing, the slots are not bound yet, or are being handed over.
        return None if next(balance_slots(balance.pods, view.slot_counts), None) is None else _CHECK_SECONDS

    def _plan(self, view: RouteView, pods: frozenset[PodKey]) -> deque[tuple[LinkKey, PodKey]]:
        moves = list(islice(balance_slots(pods, view.slot_counts), _PLANNED_MOVES))
        if not moves:
            return deque()
        slots = _movable_slots(view.route, self._links.in_partition(view.route.key))
        return deque(
            (LinkKey(view.route.key, slots[origin].pop()), target) for origin, target in moves if slots[origin]
        )


def _movable_slots(route: Route, links: Mapping[str, Link]) -> Mapping[PodKey, list[str]]:
    """Returns the names of the links of slots that are bound to each pod and stay there.

    The links of single users, of which there may be a million, are not looked at.
    """
    by_pod: defaultdict[PodKey, list[str]] = defaultdict(list)
    for slot in range(route.spec.slots or 0):
        link = links.get(slot_link_name(route.name, slot))
        if link is None or link.pod is None or link.hand_over is not None:
            continue
        if link.status_pod == link.pod:
            by_pod[link.pod].append(link.name)
    return by_pod
