"""Reports a benchmark: tables, whether the goals were reached, JSON, and a plot."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from measuring import machine, results_page
from measuring.rounds import Figures, Spread, format_number, spreads

#: With more figures than this, a table has a row for each figure instead of a row for each variant.
_COLUMNS = 10


#: Options that name files, which do not affect what is measured.
_PATH_OPTIONS = frozenset({"keep", "page", "measured"})


@dataclass(frozen=True, slots=True)
class Goal:
    """A goal.

    Attributes:
        what: the figure, in words.
        found: the measured value.
        limit: the limit of the value.
        at_least: whether the limit is a minimum instead of a maximum.
    """

    what: str
    found: float
    limit: float
    at_least: bool = False

    @property
    def is_reached(self) -> bool:
        """Whether the value is within the limit."""
        return self.found >= self.limit if self.at_least else self.found <= self.limit


@dataclass(slots=True)
class Report:
    """The results of a benchmark.

    Attributes:
        name: the name of the benchmark.
        rounds: the figures of each variant, round by round.
        goals: the goals.
        options: the options of the program.
        extra: further values to save.
        load_before: the load of the machine before the benchmark.
    """

    name: str
    options: Mapping[str, Any]
    rounds: dict[str, list[Figures]] = field(default_factory=dict)
    goals: list[Goal] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)
    load_before: float = field(default_factory=machine.load)

    def values(self) -> dict[str, Any]:
        """Returns the results as JSON values."""
        return {
            "benchmark": self.name,
            "options": {name: value for name, value in self.options.items() if name not in _PATH_OPTIONS},
            "machine": {**machine.description(), "loadBefore": self.load_before, "loadAfter": machine.load()},
            "rounds": self.rounds,
            "goals": [{**asdict(goal), "reached": goal.is_reached} for goal in self.goals],
            **self.extra,
        }

    def show(self) -> None:
        """Prints the tables, then JSON."""
        console = Console(width=None if sys.stdout.isatty() else 140)
        for table in (_rounds_table(self.rounds), _goals_table(self.goals)):
            if table.row_count:
                console.print(table)
        sys.stdout.write(json.dumps(self.values(), default=str) + "\n")

    def save(self, results: Path, folder: Path) -> None:
        """Writes the JSON into the folder `results`; writes the plot, and the page of all results, into `folder`."""
        from measuring import plots  # noqa: PLC0415 - it takes a second, and most runs save nothing

        results.mkdir(parents=True, exist_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        values = self.values()
        (results / f"{self.name}.json").write_text(json.dumps(values, default=str, indent=1) + "\n")
        plots.draw(values, folder / f"{self.name}.svg")
        results_page.write_page(results, folder)


def format_spread(spread: Spread) -> str:
    """Formats the median and the range of the rounds."""
    if spread.minimum == spread.maximum:
        return format_number(spread.median)
    return f"{format_number(spread.median)} ({format_number(spread.minimum)} to {format_number(spread.maximum)})"


def _rounds_table(rounds: Mapping[str, Sequence[Figures]]) -> Table:
    names = list(dict.fromkeys(name for figures in rounds.values() for round_ in figures for name in round_))
    spreads_of_variants = {variant: spreads(figures) for variant, figures in rounds.items()}

    def cell(variant: str, name: str) -> str:
        return format_spread(spreads_of_variants[variant][name]) if name in spreads_of_variants[variant] else ""

    caption = "median (minimum to maximum) of the rounds"
    if len(names) > _COLUMNS:
        table = Table("", *spreads_of_variants, caption=caption)
        for name in names:
            table.add_row(name, *(cell(variant, name) for variant in spreads_of_variants))
        return table
    table = Table("", *names, caption=caption)
    for variant in spreads_of_variants:
        table.add_row(variant, *(cell(variant, name) for name in names))
    return table


def _goals_table(goals: Sequence[Goal]) -> Table:
    table = Table("goal", "found", "to be", "")
    for goal in goals:
        limit = f"{'at least' if goal.at_least else 'at most'} {format_number(goal.limit)}"
        table.add_row(goal.what, format_number(goal.found), limit, "reached" if goal.is_reached else "missed")
    return table


def argument_parser(text: str | None, *, rounds: int = 3) -> argparse.ArgumentParser:
    """Returns a parser with the options that every benchmark has."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=rounds, help="of each variant")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="the folder to save the JSON in")
    parser.add_argument(
        "--page",
        type=Path,
        metavar="FOLDER",
        help="the folder to save the plot and the page in; by default that of the JSON",
    )
    return parser


def finish(report: Report, options: argparse.Namespace) -> None:
    """Prints the results, and saves them if the options name a folder."""
    report.show()
    if options.keep is not None:
        report.save(options.keep, options.page or options.keep)
