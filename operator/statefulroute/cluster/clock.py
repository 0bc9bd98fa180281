"""The time of day, as whoever needs it is given it: the API server's.

When a temporary link ends is reckoned by many processes on many machines, and one whose clock is an hour ahead would
take users' bindings away. So a machine's own clock is read once, at the start; from then on the time goes on by a clock
that nobody sets, and what the API server says in each answer puts it right where it is off by more than seconds.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

Clock = Callable[[], datetime]

#: How far a clock may be off: answers tell whole seconds, and API servers have clocks of their own.
_TOLERATED_SECONDS = 5.0

#: An answer that took longer may have told the time long ago.
_MAX_ROUND_TRIP_SECONDS = 2.0

#: How often it is looked at what answers tell.
_CHECK_PERIOD_SECONDS = 1.0

_CLOCK = getattr(time, "CLOCK_BOOTTIME", None)


def elapsed_seconds() -> float:
    """Seconds since some moment. Where the system can tell, those in which the machine was suspended count too."""
    return time.monotonic() if _CLOCK is None else time.clock_gettime(_CLOCK)


class TimeOfDay:
    """A time of day that is put right by what an API server tells.

    Args:
        elapsed: seconds that nobody sets.
        wall: the machine's own time of day, in seconds since 1970.
    """

    def __init__(self, elapsed: Callable[[], float] = elapsed_seconds, wall: Callable[[], float] = time.time) -> None:
        self._elapsed = elapsed
        self._offset = wall() - elapsed()
        self._last_checked = elapsed() - _CHECK_PERIOD_SECONDS

    def now(self) -> datetime:
        """The time of day."""
        return datetime.fromtimestamp(self._offset + self._elapsed(), UTC)

    def observe(self, date: str | None, sent_at: float) -> None:
        """Take in when an answer was given.

        Args:
            date: its `Date` header; what is none is ignored.
            sent_at: when the question was sent, in elapsed seconds.
        """
        now = self._elapsed()
        if date is None or now - sent_at > _MAX_ROUND_TRIP_SECONDS or now - self._last_checked < _CHECK_PERIOD_SECONDS:
            return
        self._last_checked = now
        try:
            told = parsedate_to_datetime(date).timestamp()
        except ValueError:
            return
        if abs(told - self._offset - now) > _TOLERATED_SECONDS:
            self._offset = told - now


_process_clock = TimeOfDay()

#: The time of day.
utc_now: Clock = _process_clock.now

#: Takes in when an answer of the API server was given, and when it was asked for.
observe_server_time = _process_clock.observe
