"""Detects another scaler: something else that changes a number of pods back after the operator has set it."""

from dataclasses import dataclass, replace
from typing import Self

#: So many times within this period, the number was changed back.
_MIN_REVERSALS = 3
_PERIOD_SECONDS = 600.0

#: How long the operator waits before it sets a number again that is changed back again and again.
_PAUSE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class ContestedScale:
    """What has happened to a number of pods after the operator has set it. Times are seconds of a monotonic clock.

    Attributes:
        written: the number that the operator has set last, unless something else has changed it since; else None.
        written_at: when the operator has set a number for the last time; None if it has not.
        reversals: when something else has changed a number that the operator had set.
    """

    written: int | None = None
    written_at: float | None = None
    reversals: tuple[float, ...] = ()

    def wrote(self, number: int, now: float) -> Self:
        """Returns the state after the operator has set the number."""
        return replace(self, written=number, written_at=now)

    def observe(self, number: int, now: float) -> Self:
        """Returns the state after the present number was read."""
        recent = tuple(time for time in self.reversals if time > now - _PERIOD_SECONDS)
        if self.written is not None and number != self.written:
            return replace(self, written=None, reversals=(*recent, now)[-_MIN_REVERSALS:])
        return self if recent == self.reversals else replace(self, reversals=recent)

    @property
    def is_contested(self) -> bool:
        """Whether something else has changed the number back again and again, by the last observation."""
        return len(self.reversals) >= _MIN_REVERSALS

    def pause(self, now: float) -> float:
        """Returns for how many seconds the operator does not set the number."""
        if not self.is_contested or self.written_at is None:
            return 0.0
        return max(0.0, self.written_at + _PAUSE_SECONDS - now)
