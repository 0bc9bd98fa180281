"""How long the API server asks its clients to wait before a retry."""

import math
import random
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from statefulroute.domain.backoff import retry_delay


def parse_retry_after(value: str | None, date: str | None = None) -> float:
    """Returns the seconds of a `Retry-After` header (RFC 9110): a number, or a date.

    A date counts from the `Date` of the same response, so that no clock of this machine matters.

    Args:
        value: the header; None if the response has none.
        date: the response's `Date` header; None if it has none.

    Returns:
        The seconds, which may be any finite number from 0; 0 if the header is missing or malformed, or if its date has
        passed.
    """
    if value is None:
        return 0.0
    try:
        seconds = float(value)
    except ValueError:
        seconds = _seconds_between(date, value)
    return seconds if math.isfinite(seconds) and seconds > 0 else 0.0


def retry_pause(delay: float, retry_after_seconds: float) -> float:
    """Returns the seconds to wait before a retry, by the rule `retry_delay`.

    Args:
        delay: the client's own delay, in seconds.
        retry_after_seconds: the pause that the API server asks for; 0 if it asks for none.
    """
    return retry_delay(delay, retry_after_seconds, random.random)


def allows_retry_after(status: int) -> bool:
    """Returns whether a response of this status may ask for a pause: as in client-go, 429 and the server errors."""
    return status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR


class NamespacePauses:
    """The namespaces for which requests are not sent for a while. None is kept whose pause is over.

    It may not be the API server that asks for a pause, but a webhook for the objects of one tenant. So the requests
    for other namespaces are sent, and an API server that is too busy answers each of these namespaces once.

    Args:
        clock: returns monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}

    def pause(self, namespace: str, seconds: float) -> None:
        """Lets a namespace pause from now on; 0 changes nothing."""
        if seconds > 0:
            now = self._clock()
            self._until = {paused: until for paused, until in self._until.items() if until > now}
            self._until[namespace] = now + seconds

    def allows(self, namespace: str) -> bool:
        """Returns whether a request for a namespace may be sent now."""
        return namespace not in self._until or self._clock() >= self._until[namespace]

    def seconds_left(self) -> float:
        """Returns the seconds until the first of the pauses is over; 0 if there is none."""
        now = self._clock()
        return min((until - now for until in self._until.values() if until > now), default=0.0)


def _seconds_between(date: str | None, later: str) -> float:
    try:
        return 0.0 if date is None else (parsedate_to_datetime(later) - parsedate_to_datetime(date)).total_seconds()
    except (ValueError, OverflowError, TypeError):  # TypeError: one of them has a time zone, the other has none
        return 0.0
