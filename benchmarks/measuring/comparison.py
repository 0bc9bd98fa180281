"""Compares the figures of the simulation with those measured on a real cluster at the same number of links."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from measuring import simulation
from measuring.link_expiry import REMOVAL_CPU
from measuring.operator_start import PEAK, START_CPU
from measuring.rounds import Figures, spreads

#: The saved results of each benchmark, by its name.
SavedResults = Mapping[str, Mapping[str, Any]]

BENCHMARKS = ("apiserver", "growth", "lookups", "memory", "restart", "routes", "scale")

#: The simulated figure, the benchmark, its variant (None: the variant with the same number of links), and its figure.
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
    """Loads the results in a folder; a benchmark may be missing."""
    files = ((name, folder / f"{name}.json") for name in BENCHMARKS)
    return {name: json.loads(file.read_text()) for name, file in files if file.exists()}


def compare(rounds: Mapping[str, Sequence[Figures]], measured: SavedResults) -> list[dict[str, Any]]:
    """Returns a row for each figure and size that was measured, too: both values and their ratio."""
    return [
        {"links": size, "figure": figure, "simulated": simulated[figure].median, "measured": measured_value}
        | {"ratio": simulated[figure].median / measured_value}
        for size, figures in rounds.items()
        for simulated in [spreads(figures)]
        for figure, benchmark, variant, name in _PAIRS
        if figure in simulated and (measured_value := _measured_median(measured.get(benchmark), size, variant, name))
    ]


def _measured_median(values: Mapping[str, Any] | None, size: str, variant: str | None, name: str) -> float | None:
    if values is None or (variant is not None and f"{values['options']['links']:,} links" != size):
        return None
    rounds = values["rounds"].get(variant or size)
    return spreads(rounds)[name].median if rounds and name in rounds[0] else None
