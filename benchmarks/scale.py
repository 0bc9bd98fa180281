"""What an operator and a resolver do among 1,000,000 links, by a simulation, beside what was measured at fewer.

    python benchmarks/scale.py [--sizes 10000 100000 1000000] [--pods 10] [--measured benchmarks/results]

The operator, the resolver and all that they hold of links are real, and run in this machine's memory; the API server is
simulated, without connections (docs/scale.md has the assumptions). Where `--measured` has the kept JSON of `restart`,
`memory`, `growth` and `apiserver` at one of the sizes, the simulated figure is compared with the measured one.
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
from measuring.numbers import format_number
from measuring.report import Goal, Report, argument_parser, finish
from measuring.rounds import Figures
from measuring.simulation import ROLES, WROTE


async def _simulate(role: str, links: int, pods: int) -> Mapping[str, float]:
    command = [sys.executable, "-m", "measuring.simulation", role, str(links), str(pods)]
    process = await asyncio.create_subprocess_exec(*command, cwd=Path(__file__).parent, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    if process.returncode:
        raise SystemExit(f"the simulation of {links:,} links, {role}, has ended with {process.returncode}")
    found: Mapping[str, float] = json.loads(output)
    return found


async def measure(report: Report) -> None:
    """Each size, and first of all none: what is there without links."""
    options = report.options
    sizes = report.extra["sizes"] = sorted(options["sizes"])
    report.extra["empty"] = await _simulate("operator", 0, options["pods"])
    for size in sizes:
        found: list[Figures] = []
        for _ in range(options["rounds"]):
            roles = [await _simulate(role, size, options["pods"]) for role in ROLES]
            found.append({name: value for figures in roles for name, value in figures.items()})
        report.rounds[f"{size:,} links"] = found
    report.extra["compared"] = compare(report.rounds, load_results(options["measured"]))
    report.goals = [
        Goal(f"writes, {size}", max(each[WROTE] for each in found), 0) for size, found in report.rounds.items()
    ]


def _show(rows: Sequence[Mapping[str, Any]]) -> None:
    """What was simulated beside what was measured."""
    table = Table("", "figure", "simulated", "measured", "ratio")
    for row in rows:
        table.add_row(
            row["links"], row["figure"], *(format_number(row[name]) for name in ("simulated", "measured", "ratio"))
        )
    if rows:
        Console(width=None if sys.stdout.isatty() else 140).print(table)


def main() -> None:
    """Simulate, and say what was found."""
    options = argument_parser(__doc__, rounds=1)
    options.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000], metavar="LINKS")
    options.add_argument("--pods", type=int, default=10)
    options.add_argument("--measured", type=Path, default=Path("benchmarks/results"), metavar="FOLDER")
    asked = options.parse_args()
    report = Report("scale", vars(asked))
    asyncio.run(measure(report))
    finish(report, asked)
    _show(report.extra["compared"])


if __name__ == "__main__":
    main()
