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

    A pod may commit a hand-over before the link is reconciled for the first time. The entry of such a link stays until
    its status names the new pod, as it is the only trace of the hand-over.

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
        seconds_left = self._start(link.key, link.hand_over).since + settings.timeout_seconds - self._monotonic()
        if seconds_left > 0:
            self._deadlines.set(link.key, seconds_left)
        return seconds_left <= 0

    def link_changed(self, old: Link | None, new: Link | None) -> None:
        """Notes the hand-over of a link, until its status names the pod of the link or none, or the link is deleted.

        It is a listener of the cache of links.
        """
        if new is not None and new.hand_over is not None:
            self._start(new.key, new.hand_over)
        elif (link := new or old) is not None and (new is None or new.status_pod in {None, new.pod}):
            self._forget(link.key)

    def find(self, key: LinkKey) -> HandOver | None:
        """Returns the last hand-over of a link that was seen; None if there was none."""
        started = self._started.get(key)
        return None if started is None else started.hand_over

    def seconds(self, key: LinkKey) -> float | None:
        """Returns for how long the hand-over of a link has been in progress; None if it is not known."""
        started = self._started.get(key)
        return None if started is None else self._monotonic() - started.since

    def _forget(self, key: LinkKey) -> None:
        if self._started.pop(key, None) is not None:
            self._deadlines.cancel(key)

    def _start(self, key: LinkKey, hand_over: HandOver) -> _Started:
        """Returns the entry of a link's present hand-over."""
        started = self._started.get(key)
        if started is None or started.hand_over != hand_over:
            started = self._started[key] = _Started(hand_over, self._monotonic())
        return started

    def _expire(self, key: LinkKey) -> None:
        self._listener(key)
