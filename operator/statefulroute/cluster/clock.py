"""The time of day, synchronized with the API server.

Many processes on many machines compute when a temporary link expires, and a process whose clock is an hour ahead would
remove users' bindings. So a process reads its machine's clock only once, at start. From then on, the time advances with
a monotonic clock, and the `Date` header of the API server's responses corrects it if it is off by several seconds.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

Clock = Callable[[], datetime]

#: The tolerated difference: the header has whole seconds, and the clocks of several API servers differ.
_TOLERATED_SECONDS = 5.0

#: The header of a slower response may be out of date.
_MAX_ROUND_TRIP_SECONDS = 2.0

#: The minimum time between two checks of the header.
_CHECK_PERIOD_SECONDS = 1.0

_CLOCK = getattr(time, "CLOCK_BOOTTIME", None)


def elapsed_seconds() -> float:
    """Returns seconds since an arbitrary moment, including the time in suspension if the system supports it."""
    return time.monotonic() if _CLOCK is None else time.clock_gettime(_CLOCK)


class TimeOfDay:
    """A time of day that follows the API server's clock.

    Args:
        elapsed: returns monotonic seconds.
        wall: returns the machine's time of day, in seconds since 1970.
    """

    def __init__(self, elapsed: Callable[[], float] = elapsed_seconds, wall: Callable[[], float] = time.time) -> None:
        self._elapsed = elapsed
        self._offset = wall() - elapsed()
        self._last_checked = elapsed() - _CHECK_PERIOD_SECONDS

    def now(self) -> datetime:
        """Returns the time of day."""
        return datetime.fromtimestamp(self._offset + self._elapsed(), UTC)

    def observe(self, date: str | None, sent_at: float) -> None:
        """Corrects the time by a response of the API server.

        Args:
            date: the `Date` header; None or a malformed date is ignored.
            sent_at: when the request was sent, in elapsed seconds.
        """
        now = self._elapsed()
        if date is None or now - sent_at > _MAX_ROUND_TRIP_SECONDS or now - self._last_checked < _CHECK_PERIOD_SECONDS:
            return
        self._last_checked = now
        try:
            server_time = parsedate_to_datetime(date).timestamp()
        except ValueError:
            return
        if abs(server_time - self._offset - now) > _TOLERATED_SECONDS:
            self._offset = server_time - now


_process_clock = TimeOfDay()

#: Returns the time of day of this process.
utc_now: Clock = _process_clock.now

#: Corrects the time of this process by a response of the API server.
observe_server_time = _process_clock.observe
