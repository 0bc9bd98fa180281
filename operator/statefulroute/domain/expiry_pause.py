"""How far the time by which temporary links end is behind the clock, because of an outage of the API server."""

#: The longest time after an outage in which links that could not be renewed do not end.
MAX_GRACE_SECONDS = 60.0

#: A process that has not had contact yet does not know when the outage began: this long ago, at the most.
UNKNOWN_SECONDS = 3600.0


class ExpiryPause:
    """Stops the time by which temporary links end while the API server is away, and until they can be renewed again.

    The time stands still from the loss of contact on. After the outage it stands still for as long as the outage
    lasted, at most 60 s, and then continues at the clock. A link in use is renewed at half of its TTL. So an outage in
    which it ends lasts for at least half of the TTL, and its users have as long to renew it by their next use. The time
    never goes back, except at a loss before the first contact. All times are in monotonic seconds.
    """

    def __init__(self) -> None:
        self._has_had_contact = False
        self._lost_at: float | None = None
        self._stopped_at: float | None = None
        self._continues_at = 0.0

    def lose(self, now: float) -> None:
        """Takes that the API server did not answer a request."""
        if self._lost_at is not None:
            return
        if not self.seconds(now):
            self._stopped_at = now if self._has_had_contact else now - UNKNOWN_SECONDS
        self._lost_at = now

    def regain(self, now: float) -> None:
        """Takes that the API server answered a request."""
        self._has_had_contact = True
        if self._lost_at is not None:
            grace = min(now - self._lost_at, MAX_GRACE_SECONDS)
            self._continues_at = max(self._continues_at, now + grace)
            self._lost_at = None

    def seconds(self, now: float) -> float:
        """Returns how many seconds the time by which links end is behind the clock."""
        if self._stopped_at is None:
            return 0.0
        if self._lost_at is None and now >= self._continues_at:
            self._stopped_at = None
            return 0.0
        return now - self._stopped_at
