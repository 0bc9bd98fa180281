"""When the next run of a timer is due."""

from collections.abc import Callable


class Period:
    """A period whose length may change between runs.

    The first run is due at once, the second after a random part of the period, so that timers that started together
    are spread, and all others regularly. Missed runs are not made up for.

    Args:
        clock: returns monotonic seconds.
        jitter: returns a random number from 0 to 1.
    """

    __slots__ = ("_awaited_length", "_clock", "_part", "_runs", "_started")

    def __init__(self, clock: Callable[[], float], jitter: Callable[[], float]) -> None:
        self._clock = clock
        self._part = 1.0 - jitter()
        """The part of the period between the first and the second run."""
        self._started: float | None = None
        self._runs = 0
        self._awaited_length: float | None = None
        """The length of the period at the last call of `due_in` that had to wait."""

    def due_in(self, seconds: float) -> float:
        """Returns the seconds until the next run, if the period has the given length; 0 if the run is due."""
        if due_in := max(0.0, self._due(seconds) - self._clock()):
            self._awaited_length = seconds
        return due_in

    def start(self, seconds: float) -> float:
        """Starts the run that is due.

        Returns:
            The seconds by which the run is late. The first run and one that an edit of the period made due are not.
        """
        now, due = self._clock(), self._due(seconds)
        # The next run counts from when this one was due, not from when it started: small delays do not add up.
        self._started = due if now - due < seconds else now
        self._runs += 1
        return now - due if self._awaited_length == seconds else 0.0

    def _due(self, seconds: float) -> float:
        if self._started is None:
            return self._clock()
        return self._started + seconds * (self._part if self._runs == 1 else 1.0)
