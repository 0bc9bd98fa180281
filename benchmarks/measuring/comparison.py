"""Figures of the simulation beside those that were measured with as many links."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from measuring import simulation
from measuring.link_expiry import REMOVAL_CPU
from measuring.operator_start import PEAK, START_CPU
from measuring.rounds import Figures, spreads

#: The kept figures of each benchmark, by its name.
SavedResults = Mapping[str, Mapping[str, Any]]

BENCHMARKS = ("apiserver", "growth", "memory", "restart", "scale")

#: The simulated figure, the benchmark, its way (None: that of as many links), and its figure.
_PAIRS = (
    (simulation.START, "restart", None, START_CPU),
    (simulation.PEAK, "restart", None, PEAK),
    ("bytes a link, operator", "memory", "operator", "bytes a link"),
    ("bytes a link, resolver", "memory", "resolver", "bytes a link"),
    ("bytes a link, driver", "memory", "driver", "bytes a link"),
    (simulation.BIND, "growth", None, "CPU ms to bind"),
    (simulation.CHOOSE, "growth", None, "CPU ms to choose"),
    (simulation.REMOVE, "growth", None, REMOVAL_CPU),
    (simulation.LISTED, "apiserver", None, simulation.LISTED),
)


def load_results(folder: Path) -> SavedResults:
    """What is kept in a folder; a benchmark may be missing."""
    files = ((name, folder / f"{name}.json") for name in BENCHMARKS)
    return {name: json.loads(file.read_text()) for name, file in files if file.exists()}


def compare(rounds: Mapping[str, Sequence[Figures]], measured: SavedResults) -> list[dict[str, Any]]:
    """A row for each figure of each size that was measured with as many links: both, and their ratio."""
    return [
        {"links": size, "figure": figure, "simulated": found[figure].median, "measured": other}
        | {"ratio": found[figure].median / other}
        for size, figures in rounds.items()
        for found in [spreads(figures)]
        for figure, benchmark, way, name in _PAIRS
        if figure in found and (other := _measured_median(measured.get(benchmark), size, way, name))
    ]


def _measured_median(values: Mapping[str, Any] | None, size: str, way: str | None, name: str) -> float | None:
    if values is None or (way is not None and f"{values['options']['links']:,} links" != size):
        return None
    found = values["rounds"].get(way or size)
    return spreads(found)[name].median if found and name in found[0] else None
