"""Updates the tables of docs/explanation/scale.md from the results in benchmarks/results.

python benchmarks/scale_tables.py [--check]
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import apiserver
from measuring import simulation
from measuring.capacity import (
    Installation,
    Limit,
    LinkCosts,
    limits_of_links,
    limits_of_work,
    limits_of_writes,
    renewal_seconds,
)
from measuring.comparison import SavedResults, compare, load_results
from measuring.rounds import format_number, spreads
from measuring.sizing import measured_memory, mebibytes_at_the_peak, mebibytes_of_the_limit

RESULTS = Path(__file__).parent / "results"
DOCUMENT = Path(__file__).parents[1] / "docs" / "explanation" / "scale.md"
_MIB = 2**20
_TEMPORARY = (100_000, 1_000_000)
_ASSUMPTIONS = {
    "apiserver_cores": "cores of the API server",
    "apiserver_gibibytes": "GiB of its memory",
    "etcd_cores": "cores of etcd's leader",
    "etcd_gibibytes": "GiB of etcd's quota (`--quota-backend-bytes`)",
    "operator_gibibytes": "GiB of the operator's memory; it has one core",
    "busy": "of each core, memory and quota is used; the rest is for bursts and everything else",
    "watches": "watches of all links: one for each operator and each resolver",
    "history_seconds": "seconds, at most, until etcd has dropped an old version",
    "renew_deadline_seconds": "seconds without a renewal until the operator loses its Lease",
    "start_seconds": "seconds that a start may take",
}

Medians = Mapping[str, float]


def medians(values: Mapping[str, Any]) -> list[tuple[int, Medians]]:
    """Returns the median figures of each size, the fewest links first."""
    sizes = (
        {name: spread.median for name, spread in spreads(figures).items()} for figures in values["rounds"].values()
    )
    return list(zip(values["sizes"], sizes, strict=True))


def link_costs(results: SavedResults) -> LinkCosts:
    """Combines the costs of a link: simulated at the largest size, plus HTTP and servers as measured at fewer."""
    links, figures = medians(results["scale"])[-1]
    server = medians(results["apiserver"])[-1][1]
    http = {row["figure"]: row["measured"] - row["simulated"] for row in comparison_rows(results)}
    bind, choose = (max(0.0, http.get(name, 0.0)) for name in (simulation.BIND, simulation.CHOOSE))
    empty = results["scale"]["empty"]
    return LinkCosts(
        apiserver_write=server[apiserver.RENEWAL],
        apiserver_event=server[apiserver.EVENT],
        etcd_write=server[apiserver.ETCD_RENEWAL],
        stored=server[apiserver.USAGE_FIGURES["stored"]],
        stored_write=server[apiserver.STORED_RENEWAL],
        apiserver_bytes=server[apiserver.RESTARTED],
        apiserver_lean_bytes=server[apiserver.RESTARTED + apiserver.LEAN_SUFFIX],
        apiserver_history=server[apiserver.HISTORY] * _MIB,
        list_seconds=server[apiserver.LIST_SECONDS],
        operator_bytes=(figures[simulation.PEAK] - empty[simulation.PEAK]) * _MIB / links,
        operator_read=(figures[simulation.READ] + figures[simulation.JUDGED]) * 1000 / links,
        operator_bind=figures[simulation.BIND] + bind,
        operator_renewal=figures[simulation.RENEW] + bind,
        operator_move=figures[simulation.CHOOSE] + choose,
        stall=figures[simulation.STALL] * 1000 / links,
    )


def comparison_rows(results: SavedResults) -> list[dict[str, Any]]:
    """Compares the simulated figures with the measured ones."""
    return compare(results["scale"]["rounds"], results)


def markdown_table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Renders a table as Markdown."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *lines))


def sizes_table(values: Mapping[str, Any]) -> str:
    """Renders a row for each figure, a column for each size, and the machine."""
    sizes = medians(values)
    names = list(dict.fromkeys(name for _, figures in sizes for name in figures))
    lines = [
        [name, *(format_number(figures[name]) if name in figures else "" for _, figures in sizes)] for name in names
    ]
    machine = values["machine"]
    machine_text = f"{machine['cores']} cores ({machine['processor']}), Python {machine['python']}"
    head = ["", *(f"{size:,} links" for size, _ in sizes)]
    busy = (
        ", so it had other work as well, and all times are too high" if machine["loadBefore"] > machine["cores"] else ""
    )
    return f"{markdown_table(head, lines)}\n\n{machine_text}; load {machine['loadBefore']:.1f} before{busy}."


def comparison_table(results: SavedResults) -> str:
    """Renders the simulated figures beside the measured ones."""
    lines = [
        [
            f"{row['links']}: {row['figure']}",
            format_number(row["simulated"]),
            format_number(row["measured"]),
            f"{row['ratio']:.2f}",
        ]
        for row in comparison_rows(results)
    ]
    return markdown_table(["", "simulated", "measured", "ratio"], lines)


def installation_table(_: SavedResults) -> str:
    """Renders the assumed installation."""
    installation = Installation()
    return markdown_table(
        ["", ""], [[f"{getattr(installation, each.name):g}", _ASSUMPTIONS[each.name]] for each in fields(installation)]
    )


def limits_table(results: SavedResults) -> str:
    """Renders every limit, and the shortest interval between renewals."""
    costs, installation = link_costs(results), Installation()
    groups = {"links": limits_of_links(costs, installation), "writes a second": limits_of_writes(costs, installation)}
    groups |= {f"{name} a second": results for name, results in limits_of_work(costs, installation).items()}
    lines = [_line(name, limit) for name, results in groups.items() for limit in results]
    for links in _TEMPORARY:
        seconds = renewal_seconds(links, costs, installation)
        lines.append(
            [f"seconds between two renewals of {links:,} temporary links", "links / renewals", format_number(seconds)]
        )
    return markdown_table(["maximum, by", "reckoned", ""], lines)


def sizing_table(results: SavedResults) -> str:
    """Renders what was measured beside the rule for memory, and the limit by it."""
    lines = [
        [
            each.process,
            f"{each.links:,}",
            f"{each.routes:,}",
            f"{each.mebibytes:,.0f}",
            f"{mebibytes_at_the_peak(each.links, each.routes):,.0f}",
            f"{mebibytes_of_the_limit(each.links, each.routes):,.0f}",
        ]
        for each in sorted(measured_memory(results))
    ]
    return markdown_table(["process", "links", "routes", "MiB at the peak", "by the rule", "limit by the rule"], lines)


def _line(name: str, limit: Limit) -> list[str]:
    return [f"{name}: {limit.name}", limit.formula, format_number(limit.maximum)]


TABLES: dict[str, Callable[[SavedResults], str]] = {
    "compared": comparison_table,
    "simulated": lambda found: sizes_table(found["scale"]),
    "apiserver": lambda found: sizes_table(found["apiserver"]),
    "given": installation_table,
    "limits": limits_table,
    "sizing": sizing_table,
}


def render(document: str, results: SavedResults) -> str:
    """Returns the document with updated tables."""
    for name, render_table in TABLES.items():
        start, end = (f"<!-- {mark} {name} -->\n" for mark in ("begin", "end"))
        before, _, rest = document.partition(start)
        _, _, after = rest.partition(end)
        document = f"{before}{start}{render_table(results)}\n{end}{after}"
    return document


def main() -> None:
    """Writes the tables, or checks that they are up to date."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a table is out of date")
    options = parser.parse_args()
    before = DOCUMENT.read_text()
    after = render(before, load_results(RESULTS))
    if not options.check:
        DOCUMENT.write_text(after)
    elif after != before:
        sys.exit("docs/explanation/scale.md is out of date: run `make generate`")


if __name__ == "__main__":
    main()
