"""What goes wrong when: drawn from a seed, so that a run can be done again."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from chaos.fault import Fault, FaultKind

#: How many faults a round has, and how often.
_SIZES, _WEIGHTS = (1, 2, 3), (2, 3, 3)

#: Faults of a round begin within so many seconds.
_SPREAD_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class ScheduledFault:
    """A fault, and when it is there, in seconds from its round's begin."""

    kind: FaultKind
    fault: Fault
    start: float
    end: float


def rounds(kinds: Sequence[FaultKind], random: Random) -> Iterator[list[ScheduledFault]]:
    """Rounds of faults that overlap, without end. No kind comes again before every other has come.

    Args:
        kinds: what may go wrong.
        random: decides.
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
