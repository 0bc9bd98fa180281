"""Simulates an operator and a resolver among 1,000,000 links, and compares with measurements at fewer links.

    python benchmarks/scale.py [--sizes 10000 100000 1000000] [--pods 10] [--measured benchmarks/results]

The operator, the resolver and their state are real and run in this machine's memory; the API server is simulated,
without connections (docs/explanation/scale.md). If `--measured` contains the results of `restart`, `memory`,
`growth` and `apiserver` at one of the sizes, the simulated figures are compared with them.
"""

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from measuring.comparison import compare, load_results
from measuring.report import Goal, Report, argument_parser, finish
from measuring.rounds import Figures, format_number
from measuring.simulation import ROLES, WROTE


async def _simulate(role: str, links: int, pods: int) -> Mapping[str, float]:
    command = [sys.executable, "-m", "measuring.simulation", role, str(links), str(pods)]
    process = await asyncio.create_subprocess_exec(*command, cwd=Path(__file__).parent, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    if process.returncode:
        raise SystemExit(f"the simulation of {links:,} links, {role}, failed with exit code {process.returncode}")
    figures: Mapping[str, float] = json.loads(output)
    return figures


async def measure(report: Report) -> None:
    """Simulates no links first, then each size."""
    options = report.options
    sizes = report.extra["sizes"] = sorted(options["sizes"])
    report.extra["empty"] = await _simulate("operator", 0, options["pods"])
    for size in sizes:
        rounds: list[Figures] = []
        for _ in range(options["rounds"]):
            roles = [await _simulate(role, size, options["pods"]) for role in ROLES]
            rounds.append({name: value for figures in roles for name, value in figures.items()})
        report.rounds[f"{size:,} links"] = rounds
    report.extra["compared"] = compare(report.rounds, load_results(options["measured"]))
    report.goals = [
        Goal(f"writes, {size}", max(figures[WROTE] for figures in rounds), 0) for size, rounds in report.rounds.items()
    ]


def _show(rows: Sequence[Mapping[str, Any]]) -> None:
    """Prints the simulated figures beside the measured ones."""
    table = Table("", "figure", "simulated", "measured", "ratio")
    for row in rows:
        table.add_row(
            row["links"], row["figure"], *(format_number(row[name]) for name in ("simulated", "measured", "ratio"))
        )
    if rows:
        Console(width=None if sys.stdout.isatty() else 140).print(table)


def main() -> None:
    """Runs the simulation and reports its figures."""
    parser = argument_parser(__doc__, rounds=1)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000], metavar="LINKS")
    parser.add_argument("--pods", type=int, default=10)
    parser.add_argument("--measured", type=Path, default=Path("benchmarks/results"), metavar="FOLDER")
    options = parser.parse_args()
    report = Report("scale", vars(options))
    asyncio.run(measure(report))
    finish(report, options)
    _show(report.extra["compared"])


if __name__ == "__main__":
    main()
