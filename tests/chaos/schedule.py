"""Schedules faults by a random seed, so that a run can be repeated."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from chaos.fault import Fault, FaultKind

#: The numbers of faults in a round, and their weights.
_SIZES, _WEIGHTS = (1, 2, 3), (2, 3, 3)

#: The faults of a round start within this many seconds.
_SPREAD_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class ScheduledFault:
    """A fault, with its start and end in seconds since the start of its round."""

    kind: FaultKind
    fault: Fault
    start: float
    end: float


def rounds(kinds: Sequence[FaultKind], random: Random) -> Iterator[list[ScheduledFault]]:
    """Yields rounds of overlapping faults without end. No kind repeats before every other kind was used.

    Args:
        kinds: the kinds of faults.
        random: the source of random choices.
    """
    deck: list[FaultKind] = []
    while True:
        taken: list[FaultKind] = []
        size = random.choices(_SIZES, _WEIGHTS)[0]
        if not deck:
            deck = random.sample(kinds, len(kinds))
        for kind in list(deck):
            if len(taken) < size and not any(kind.affects & other.affects for other in taken):
                deck.remove(kind)
                taken.append(kind)
        yield [_schedule(kind, random) for kind in taken]


def _schedule(kind: FaultKind, random: Random) -> ScheduledFault:
    begin = random.uniform(0, _SPREAD_SECONDS)
    return ScheduledFault(kind, kind.make(random), begin, begin + random.uniform(*kind.seconds))
