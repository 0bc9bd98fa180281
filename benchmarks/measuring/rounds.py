"""Rounds in which ways to do the same take turns, and what is made of their figures."""

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

#: What one way has shown in one round, by name.
Figures = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over all rounds.

    Attributes:
        median: of the rounds.
        minimum: the least of them.
        maximum: the greatest.
    """

    median: float
    minimum: float
    maximum: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """That of these values; there is one at the least."""
        return cls(median(values), min(values), max(values))


async def alternate(variants: Mapping[str, Callable[[], Awaitable[Figures]]], rounds: int) -> dict[str, list[Figures]]:
    """Have each way run once a round, forwards and backwards by turns: whatever else happens meets all alike."""
    found: dict[str, list[Figures]] = {name: [] for name in variants}
    for number in range(rounds):
        order = list(variants)
        for name in order if number % 2 == 0 else reversed(order):
            found[name].append(await variants[name]())
    return found


def spreads(rounds: Sequence[Figures]) -> dict[str, Spread]:
    """Each figure of a way over its rounds."""
    return {name: Spread.of([each[name] for each in rounds]) for name in rounds[0]}


def ratio(mine: Sequence[Figures], baseline: Sequence[Figures], figure: str) -> Spread:
    """How many times the baseline's a figure is, round by round."""
    return Spread.of([each[figure] / other[figure] for each, other in zip(mine, baseline, strict=True)])


def quantile(ordered: Sequence[float], share: float) -> float:
    """The least value that a share of all does not exceed; they are in order, and not none."""
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)]
