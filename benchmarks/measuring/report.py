"""What a benchmark says: a table, whether the goals were reached, JSON, and a plot."""

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
from measuring.numbers import format_number
from measuring.rounds import Figures, Spread, spreads

#: With more figures than this, a table has a row for each of them, and not for each way.
_COLUMNS = 10


#: Options that say where files are: no matter of what was measured.
_PATH_OPTIONS = frozenset({"keep", "page", "measured"})


@dataclass(frozen=True, slots=True)
class Goal:
    """What is to be reached.

    Attributes:
        what: the figure, in words.
        found: what it is.
        limit: what it is to be.
        at_least: whether more is better.
    """

    what: str
    found: float
    limit: float
    at_least: bool = False

    @property
    def is_reached(self) -> bool:
        """Whether it is."""
        return self.found >= self.limit if self.at_least else self.found <= self.limit


@dataclass(slots=True)
class Report:
    """What was found.

    Attributes:
        name: of the benchmark.
        rounds: the figures of each way, round by round.
        goals: what is to be reached.
        options: of the program.
        extra: what else is to be kept.
        load_before: how busy the machine was before.
    """

    name: str
    options: Mapping[str, Any]
    rounds: dict[str, list[Figures]] = field(default_factory=dict)
    goals: list[Goal] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)
    load_before: float = field(default_factory=machine.load)

    def values(self) -> dict[str, Any]:
        """All of it as JSON has it."""
        return {
            "benchmark": self.name,
            "options": {name: value for name, value in self.options.items() if name not in _PATH_OPTIONS},
            "machine": {**machine.description(), "loadBefore": self.load_before, "loadAfter": machine.load()},
            "rounds": self.rounds,
            "goals": [{**asdict(goal), "reached": goal.is_reached} for goal in self.goals],
            **self.extra,
        }

    def show(self) -> None:
        """Print the tables, and JSON after them."""
        console = Console(width=None if sys.stdout.isatty() else 140)
        for table in (_rounds_table(self.rounds), _goals_table(self.goals)):
            if table.row_count:
                console.print(table)
        sys.stdout.write(json.dumps(self.values(), default=str) + "\n")

    def save(self, results: Path, folder: Path) -> None:
        """Write the JSON into a folder, and a plot and the page of all that is kept there into another one."""
        from measuring import plots  # noqa: PLC0415 - it takes a second, and most runs keep nothing

        results.mkdir(parents=True, exist_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        values = self.values()
        (results / f"{self.name}.json").write_text(json.dumps(values, default=str, indent=1) + "\n")
        plots.draw(values, folder / f"{self.name}.svg")
        results_page.write_page(results, folder)


def format_spread(spread: Spread) -> str:
    """The median, and from where to where the rounds go."""
    if spread.minimum == spread.maximum:
        return format_number(spread.median)
    return f"{format_number(spread.median)} ({format_number(spread.minimum)} to {format_number(spread.maximum)})"


def _rounds_table(rounds: Mapping[str, Sequence[Figures]]) -> Table:
    names = list(dict.fromkeys(name for figures in rounds.values() for each in figures for name in each))
    found = {way: spreads(figures) for way, figures in rounds.items()}

    def shown(way: str, name: str) -> str:
        return format_spread(found[way][name]) if name in found[way] else ""

    caption = "median (from least to most) of the rounds"
    if len(names) > _COLUMNS:
        table = Table("", *found, caption=caption)
        for name in names:
            table.add_row(name, *(shown(way, name) for way in found))
        return table
    table = Table("", *names, caption=caption)
    for way in found:
        table.add_row(way, *(shown(way, name) for name in names))
    return table


def _goals_table(goals: Sequence[Goal]) -> Table:
    table = Table("goal", "found", "to be", "")
    for goal in goals:
        limit = f"{'at least' if goal.at_least else 'at most'} {format_number(goal.limit)}"
        table.add_row(goal.what, format_number(goal.found), limit, "reached" if goal.is_reached else "missed")
    return table


def argument_parser(text: str | None, *, rounds: int = 3) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    made = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--rounds", type=int, default=rounds, help="of each way")
    made.add_argument("--keep", type=Path, metavar="FOLDER", help="where the JSON is to be kept")
    made.add_argument(
        "--page", type=Path, metavar="FOLDER", help="where the plot and the page are to be; without it, beside the JSON"
    )
    return made


def finish(report: Report, options: argparse.Namespace) -> None:
    """Show what was found, and keep it where that is asked for."""
    report.show()
    if options.keep is not None:
        report.save(options.keep, options.page or options.keep)
