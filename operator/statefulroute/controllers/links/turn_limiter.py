"""The rate at which many links are written: even, so that neither pods nor new links are overrun, and fair."""

import asyncio
import time
from collections.abc import Callable
from operator import attrgetter

from statefulroute.domain.keys import LinkKey
from statefulroute.domain.turn_queue import TurnQueue

#: Reconciles a link whose turn has come; returns whether it will.
TurnListener = Callable[[LinkKey], bool]


class TurnLimiter:
    """Gives turns to links, by namespace and by route, with one timer for all of them.

    Args:
        per_second: the number of turns in a second.
        max_in_flight: the largest number of links that use their turn at the same time.
        clock: returns monotonic seconds.
    """

    def __init__(self, per_second: float, max_in_flight: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._turns: TurnQueue[LinkKey] = TurnQueue(per_second, max_in_flight, clock, attrgetter("route"))
        self._listener: TurnListener = lambda _: False
        self._timer: asyncio.TimerHandle | None = None
        self._calls_at = 0.0
        """When the timer fires. Some event loops do not know that of a timer without a delay."""

    def listen(self, listener: TurnListener) -> None:
        """Sets the function that is called with each waiting link whose turn has come.

        It reconciles the link, which asks for its turn again, and returns True. If it returns False, the link's turn
        is given back.
        """
        self._listener = listener

    def take_turn(self, key: LinkKey) -> bool:
        """Returns whether a link may be written now; its turn lasts until `release`. Otherwise, the link waits."""
        has_turn = self._turns.take_turn(key)
        self._set_timer()
        return has_turn

    def release(self, key: LinkKey) -> None:
        """Ends the turn of a link, or gives back the turn that it does not need any more."""
        if self._turns.release(key):
            self._set_timer()

    def _set_timer(self) -> None:
        seconds = self._turns.seconds_until_next()
        if seconds is None:
            self._cancel_timer()
            return
        loop = asyncio.get_running_loop()
        calls_at = loop.time() + seconds
        if (
            self._timer is None or self._calls_at > calls_at
        ):  # a later timer than the present one is set when that fires
            self._cancel_timer()
            self._calls_at = calls_at
            self._timer = loop.call_later(seconds, self._call_waiting)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _call_waiting(self) -> None:
        self._timer = None
        while (key := self._turns.call_next()) is not None:
            if not self._listener(key):
                self._turns.release(key)
        self._set_timer()
