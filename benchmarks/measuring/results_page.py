"""Renders a folder of results as a page: each goal with the measured value, the plots, and the machine.

`python -m measuring.results_page RESULTS FOLDER` writes the page into the folder of the plots; with `--check` it fails
if the page is out of date.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from measuring.rounds import format_number

_PAGE = "README.md"

_HEAD = """# Benchmark results

The results of one run of each benchmark.
[performance.md](../explanation/performance.md) describes what they measure and how.
Each row is a goal; each mark in a plot is a round. This page is generated from the JSON files in `benchmarks/results`.
"""


def write_page(results: Path, folder: Path) -> None:
    """Writes the page of a folder of results into the folder of their plots."""
    (folder / _PAGE).write_text(render_page(results))


def render_page(results: Path) -> str:
    """Renders a folder of results as Markdown."""
    saved = [json.loads(file.read_text()) for file in sorted(results.glob("*.json"))]
    return "\n".join([_HEAD, *(_section(values) for values in saved)])


def _section(values: Mapping[str, Any]) -> str:
    name = values["benchmark"]
    lines = [f"## {name}", "", f"{_machine(values['machine'])}; {_options(values['options'])}", ""]
    if values["goals"]:
        lines += ["| goal | measured | limit | |", "| --- | --- | --- | --- |", *map(_row, values["goals"]), ""]
    return "\n".join([*lines, f"![{name}]({name}.svg)", ""])


def _row(goal: Mapping[str, Any]) -> str:
    limit = f"{'at least' if goal['at_least'] else 'at most'} {format_number(goal['limit'])}"
    verdict = "reached" if goal["reached"] else "**missed**"
    return f"| {goal['what']} | {format_number(goal['found'])} | {limit} | {verdict} |"


def _machine(machine: Mapping[str, Any]) -> str:
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['gibibytes']} GiB, {machine['system']}, "
        f"Python {machine['python']}; load {machine['loadBefore']:.1f} before and {machine['loadAfter']:.1f} after"
    )


def _options(options: Mapping[str, Any]) -> str:
    return " ".join(f"`--{name} {_option_text(value)}`" for name, value in options.items())


def _option_text(value: Any) -> str:  # noqa: ANN401 - an option of any type
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def main() -> int:
    """Writes the page, or checks it; returns the exit code."""
    parser = argparse.ArgumentParser(description="Write the page of a folder of results.")
    parser.add_argument("results", type=Path, help="the folder of the JSON files")
    parser.add_argument("folder", type=Path, help="the folder of the plots and the page")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    if not options.check:
        write_page(options.results, options.folder)
        return 0
    if (options.folder / _PAGE).read_text() == render_page(options.results):
        return 0
    sys.stderr.write(f"{options.folder / _PAGE} is out of date: run `make generate`.\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
