"""What goes wrong when: drawn from a seed, so that a run can be done again."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from chaos.fault import Fault, Kind

#: How many faults a round has, and how often.
_SIZES, _WEIGHTS = (1, 2, 3), (2, 3, 3)

#: Faults of a round begin within so many seconds.
_SPREAD_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Planned:
    """A fault, and when it is there, in seconds from its round's begin."""

    kind: Kind
    fault: Fault
    begin: float
    end: float


def rounds(kinds: Sequence[Kind], random: Random) -> Iterator[list[Planned]]:
    """Rounds of faults that overlap, without end. No kind comes again before every other has come.

    Args:
        kinds: what may go wrong.
        random: decides.
    """
    deck: list[Kind] = []
    while True:
        taken: list[Kind] = []
        size = random.choices(_SIZES, _WEIGHTS)[0]
        if not deck:
            deck = random.sample(kinds, len(kinds))
        for kind in list(deck):
            if len(taken) < size and not any(kind.touches & other.touches for other in taken):
                deck.remove(kind)
                taken.append(kind)
        yield [_planned(kind, random) for kind in taken]


def _planned(kind: Kind, random: Random) -> Planned:
    begin = random.uniform(0, _SPREAD_SECONDS)
    return Planned(kind, kind.make(random), begin, begin + random.uniform(*kind.seconds))
