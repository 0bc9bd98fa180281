"""Draws the results as SVG; the same figures give the same file."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from measuring.rounds import spreads

mpl.rcParams["svg.hashsalt"] = "statefulroute"
mpl.rcParams["svg.fonttype"] = "none"  # text instead of paths: a tenth of the size
_WIDTH, _HEIGHT = 3.2, 3.0
_COLUMNS = 6
_HEADROOM = 1.25
"""Room above the highest line, so that a flat line looks flat."""


def draw(values: Mapping[str, Any], file: Path) -> None:
    """Draws a panel per figure: a bar per variant and a mark per round, or a line over the number of links."""
    rounds: Mapping[str, Sequence[Mapping[str, float]]] = values["rounds"]
    names = list(dict.fromkeys(name for figures in rounds.values() for name in figures[0]))
    columns, rows = min(len(names), _COLUMNS), math.ceil(len(names) / _COLUMNS)
    figure = Figure(figsize=(_WIDTH * columns, _HEIGHT * rows + 0.6), layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    sizes: Sequence[int] = values.get("sizes", ())
    for panel in panels[len(names) :]:
        panel.set_axis_off()
    for panel, name in zip(panels, names, strict=False):
        panel.set_title(name, fontsize=9)
        panel.tick_params(labelsize=8)
        rounds_of_figure = {variant: figures for variant, figures in rounds.items() if name in figures[0]}
        if sizes:
            _line(
                panel,
                name,
                rounds_of_figure,
                [size for size, variant in zip(sizes, rounds, strict=True) if variant in rounds_of_figure],
            )
        else:
            _bars(panel, name, rounds_of_figure)
    figure.suptitle(_caption(values), fontsize=8)
    figure.savefig(file, format="svg", metadata={"Date": None})


def _bars(panel: Axes, name: str, rounds: Mapping[str, Sequence[Mapping[str, float]]]) -> None:
    medians = [spreads(figures)[name].median for figures in rounds.values()]
    panel.bar(range(len(rounds)), medians, color="#7aa6c2")
    for position, figures in enumerate(rounds.values()):
        panel.plot([position] * len(figures), [values[name] for values in figures], "k_", markersize=12)
    panel.set_xticks(range(len(rounds)), list(rounds), rotation=20)
    panel.set_ylim(bottom=0)


def _line(panel: Axes, name: str, rounds: Mapping[str, Sequence[Mapping[str, float]]], sizes: Sequence[int]) -> None:
    spreads_of_sizes = [spreads(figures)[name] for figures in rounds.values()]
    panel.fill_between(
        sizes,
        [spread.minimum for spread in spreads_of_sizes],
        [spread.maximum for spread in spreads_of_sizes],
        color="#7aa6c2",
        alpha=0.4,
    )
    panel.plot(sizes, [spread.median for spread in spreads_of_sizes], "o-", color="#2b5c7d")
    panel.set_xscale("log")
    panel.set_xticks(sizes, [f"{size:,}" for size in sizes])
    panel.minorticks_off()
    panel.set_xlabel("links", fontsize=8)
    panel.set_ylim(0, max(spread.maximum for spread in spreads_of_sizes) * _HEADROOM or 1)


def _caption(values: Mapping[str, Any]) -> str:
    machine = values["machine"]
    return (
        f"{values['benchmark']}: {machine['processor']}, {machine['cores']} cores, {machine['gibibytes']} GiB, "
        f"Python {machine['python']}; load {machine['loadBefore']:.1f} before, {machine['loadAfter']:.1f} after"
    )
