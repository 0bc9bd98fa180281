"""Runs variants in turn over several rounds, and summarizes their figures."""

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

#: The figures of one variant in one round, by name.
Figures = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over all rounds.

    Attributes:
        median: the median of the rounds.
        minimum: the lowest value.
        maximum: the highest value.
    """

    median: float
    minimum: float
    maximum: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Summarizes values, of which there is at least one."""
        return cls(median(values), min(values), max(values))


async def alternate(variants: Mapping[str, Callable[[], Awaitable[Figures]]], rounds: int) -> dict[str, list[Figures]]:
    """Runs each variant once per round, in alternating order, so that disturbances affect all alike."""
    results: dict[str, list[Figures]] = {name: [] for name in variants}
    for number in range(rounds):
        order = list(variants)
        for name in order if number % 2 == 0 else reversed(order):
            results[name].append(await variants[name]())
    return results


def spreads(rounds: Sequence[Figures]) -> dict[str, Spread]:
    """Summarizes each figure of a variant over its rounds."""
    return {name: Spread.of([each[name] for each in rounds]) for name in rounds[0]}


def ratio(rounds: Sequence[Figures], baseline: Sequence[Figures], figure: str) -> Spread:
    """Returns a figure divided by the baseline's, round by round."""
    return Spread.of([figures[figure] / base[figure] for figures, base in zip(rounds, baseline, strict=True)])


def quantile(ordered: Sequence[float], share: float) -> float:
    """Returns the lowest value that is at least as high as `share` of all; `ordered` is sorted and not empty."""
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)]


def format_number(value: float) -> str:
    """Formats a figure with three significant digits."""
    return f"{value:,.0f}" if abs(value) >= 999.5 else f"{value:.3g}"  # noqa: PLR2004 - digits
