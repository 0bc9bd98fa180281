"""When something that is done again and again is due."""

from collections.abc import Callable


class Period:
    """A period that follows its length as that is edited, and spreads over it what began together.

    It is due at once, then after a random part of the period, and from then on regularly. A turn that comes too
    late is not made up for.

    Args:
        clock: monotonic seconds.
        jitter: a random number from 0 to 1.
    """

    def __init__(self, clock: Callable[[], float], jitter: Callable[[], float]) -> None:
        self._clock = clock
        self._part = 1.0 - jitter()
        """The part of the period that passes until the second turn."""
        self._started: float | None = None
        self._turns = 0
        self._awaited_length: float | None = None
        """The length of the period whose end was awaited when somebody asked last."""

    def due_in(self, seconds: float) -> float:
        """How many seconds until the next turn, 0 when it has come, if the period has so many seconds."""
        if due_in := max(0.0, self._due(seconds) - self._clock()):
            self._awaited_length = seconds
        return due_in

    def start(self, seconds: float) -> float:
        """Take the turn that is due.

        Returns:
            By how many seconds it comes too late. One that an edit of the period has made due does not, nor the first.
        """
        now, due = self._clock(), self._due(seconds)
        # From when it was due, and not from when it was taken: small delays do not add up.
        self._started = due if now - due < seconds else now
        self._turns += 1
        return now - due if self._awaited_length == seconds else 0.0

    def _due(self, seconds: float) -> float:
        if self._started is None:
            return self._clock()
        return self._started + seconds * (self._part if self._turns == 1 else 1.0)
