"""The hand-overs in progress: since when each one runs, and when its time-out is over."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from statefulroute.controllers.deadlines import Deadlines
from statefulroute.domain.keys import LinkKey
from statefulroute.domain.link import HandOver, Link
from statefulroute.domain.route import RouteView


@dataclass(frozen=True, slots=True)
class _Started:
    """A hand-over, and when this process first saw it, in monotonic seconds."""

    hand_over: HandOver
    since: float


class HandOvers:
    """The hand-overs of links that the operator waits for.

    A time-out counts from when this process first saw the hand-over, because the clocks of clients may be wrong. After
    a restart it begins again. Links that are not handed over have no entry and no timer.

    Args:
        monotonic: returns monotonic seconds.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._started: dict[LinkKey, _Started] = {}
        self._deadlines: Deadlines[LinkKey] = Deadlines(self._expire)
        self._listener: Callable[[LinkKey], object] = lambda _: None
        """Called with each link whose time-out is over."""

    def __len__(self) -> int:
        """Returns the number of hand-overs."""
        return len(self._started)

    def listen(self, listener: Callable[[LinkKey], object]) -> None:
        """Sets the function that is called with each link whose time-out is over."""
        self._listener = listener

    def is_due(self, link: Link, route: RouteView | None) -> bool:
        """Returns whether the time-out of a link's hand-over is over. Otherwise, the listener is called when it is.

        Args:
            link: a link with a hand-over.
            route: its route.
        """
        if link.hand_over is None or route is None or (settings := route.route.spec.hand_over) is None:
            return False
        now, started = self._monotonic(), self._started.get(link.key)
        if started is None or started.hand_over != link.hand_over:
            started = self._started[link.key] = _Started(link.hand_over, now)
        seconds_left = started.since + settings.timeout_seconds - now
        if seconds_left > 0:
            self._deadlines.set(link.key, seconds_left)
        return seconds_left <= 0

    def link_changed(self, old: Link | None, new: Link | None) -> None:
        """Forgets the hand-over of a deleted link. It is a listener of the cache of links."""
        if new is None and old is not None:
            self.forget(old.key)

    def find(self, key: LinkKey) -> HandOver | None:
        """Returns the last hand-over of a link that was seen; None if there was none."""
        started = self._started.get(key)
        return None if started is None else started.hand_over

    def seconds(self, key: LinkKey) -> float | None:
        """Returns for how long the hand-over of a link has been in progress; None if it is not known."""
        started = self._started.get(key)
        return None if started is None else self._monotonic() - started.since

    def forget(self, key: LinkKey) -> None:
        """Forgets the hand-over of a link."""
        if self._started.pop(key, None) is not None:
            self._deadlines.cancel(key)

    def _expire(self, key: LinkKey) -> None:
        self._listener(key)
