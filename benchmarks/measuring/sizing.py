"""The rule by which users choose the memory of the operator and of the resolver, and what was measured."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from measuring import operator_start, simulation
from measuring.rounds import spreads

#: The rule: the memory at the peak, of a process that keeps links and routes with a pod each.
BASE_MEBIBYTES, KIBIBYTES_A_LINK, KIBIBYTES_A_ROUTE = 90, 1, 16

#: A limit is as many times the memory at the peak.
MARGIN = 1.5

#: The figures of the benchmarks `lookups` and `routes`.
_RESOLVER_PEAK, _PEAK_COLD = "MiB", "MiB at the peak, cold"

_KIBIBYTES = 1024


class MeasuredMemory(NamedTuple):
    """What a process needed.

    Attributes:
        process: the kind of the process, and how it was measured.
        links: the number of links.
        routes: the number of routes.
        mebibytes: its resident memory at the peak.
    """

    process: str
    links: int
    routes: int
    mebibytes: float


def mebibytes_at_the_peak(links: int, routes: int) -> float:
    """Returns the memory at the peak by the rule."""
    return BASE_MEBIBYTES + (KIBIBYTES_A_LINK * links + KIBIBYTES_A_ROUTE * routes) / _KIBIBYTES


def mebibytes_of_the_limit(links: int, routes: int) -> float:
    """Returns the limit by the rule."""
    return MARGIN * mebibytes_at_the_peak(links, routes)


def measured_memory(results: Mapping[str, Any]) -> Iterator[MeasuredMemory]:
    """Yields the peaks of all results, by their benchmarks."""
    for links, figures in _medians(results["restart"]):
        yield MeasuredMemory("operator", links, 1, figures[operator_start.PEAK])
    lookups = results["lookups"]
    yield MeasuredMemory("resolver, with look-ups", lookups["options"]["links"], 1, lookups[_RESOLVER_PEAK])
    for routes, figures in _medians(results["routes"]):
        yield MeasuredMemory("operator, first start", 0, routes, figures[_PEAK_COLD])
    for links, figures in _medians(results["scale"]):
        for process, figure in (
            ("operator, simulated", simulation.PEAK),
            ("operator, temporary links, simulated", simulation.PEAK_TEMPORARY),
            ("resolver, simulated", simulation.PEAK_RESOLVER),
        ):
            yield MeasuredMemory(process, links, 1, figures[figure])


def _medians(values: Mapping[str, Any]) -> Iterator[tuple[int, Mapping[str, float]]]:
    for size, rounds in zip(values["sizes"], values["rounds"].values(), strict=True):
        yield size, {name: spread.median for name, spread in spreads(rounds).items()}
