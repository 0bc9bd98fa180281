"""Writes the tables of docs/scale.md anew, from the figures that are kept in benchmarks/results.

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
from measuring.numbers import format_number
from measuring.rounds import spreads

RESULTS = Path(__file__).parent / "results"
DOCUMENT = Path(__file__).parents[1] / "docs" / "scale.md"
_MIB = 2**20
_TEMPORARY = (100_000, 1_000_000)
_ASSUMPTIONS = {
    "apiserver_cores": "cores of the API server",
    "apiserver_gibibytes": "GiB of its memory",
    "etcd_cores": "cores of etcd's leader",
    "etcd_gibibytes": "GiB of etcd's quota (`--quota-backend-bytes`)",
    "operator_gibibytes": "GiB of the operator's memory; it has one core",
    "busy": "of each core, memory and quota is used; the rest is for bursts and for all else",
    "watches": "watches of all links: one for each operator and each resolver",
    "history_seconds": "seconds until etcd has dropped an old version, at the most",
    "renew_deadline_seconds": "seconds without a renewal until the operator's Lease is lost",
    "start_seconds": "seconds that a start may take",
}

Medians = Mapping[str, float]


def medians(values: Mapping[str, Any]) -> list[tuple[int, Medians]]:
    """The figures of each size, the fewest links first."""
    found = ({name: each.median for name, each in spreads(figures).items()} for figures in values["rounds"].values())
    return list(zip(values["sizes"], found, strict=True))


def link_costs(found: SavedResults) -> LinkCosts:
    """What a link costs: simulated among the most links; what HTTP adds, and the servers, as measured among fewer."""
    links, many = medians(found["scale"])[-1]
    server = medians(found["apiserver"])[-1][1]
    http = {row["figure"]: row["measured"] - row["simulated"] for row in comparison_rows(found)}
    bind, choose = (max(0.0, http.get(name, 0.0)) for name in (simulation.BIND, simulation.CHOOSE))
    empty = found["scale"]["empty"]
    return LinkCosts(
        apiserver_write=server[apiserver.RENEWAL],
        apiserver_event=server[apiserver.EVENT],
        etcd_write=server[apiserver.ETCD_RENEWAL],
        stored=server[apiserver.USAGE_FIGURES["stored"]],
        stored_write=server[apiserver.STORED_RENEWAL],
        apiserver_bytes=server[apiserver.USAGE_FIGURES["apiserver live"]],
        list_seconds=server[apiserver.LIST_SECONDS],
        operator_bytes=(many[simulation.PEAK] - empty[simulation.PEAK]) * _MIB / links,
        operator_read=(many[simulation.READ] + many[simulation.JUDGED]) * 1000 / links,
        operator_bind=many[simulation.BIND] + bind,
        operator_renewal=many[simulation.RENEW] + bind,
        operator_move=many[simulation.CHOOSE] + choose,
        stall=many[simulation.STALL] * 1000 / links,
    )


def comparison_rows(found: SavedResults) -> list[dict[str, Any]]:
    """The simulated figures beside the measured ones."""
    return compare(found["scale"]["rounds"], found)


def markdown_table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *lines))


def sizes_table(values: Mapping[str, Any]) -> str:
    """A row for each figure, a column for each size, and on what machine it was."""
    found = medians(values)
    names = list(dict.fromkeys(name for _, figures in found for name in figures))
    lines = [
        [name, *(format_number(figures[name]) if name in figures else "" for _, figures in found)] for name in names
    ]
    machine = values["machine"]
    told = f"{machine['cores']} cores ({machine['processor']}), Python {machine['python']}"
    head = ["", *(f"{size:,} links" for size, _ in found)]
    busy = (
        ", so it had other work as well, and all times are too high" if machine["loadBefore"] > machine["cores"] else ""
    )
    return f"{markdown_table(head, lines)}\n\n{told}; load {machine['loadBefore']:.1f} before{busy}."


def comparison_table(found: SavedResults) -> str:
    """The simulated figures beside the measured ones."""
    lines = [
        [
            row["links"],
            row["figure"],
            format_number(row["simulated"]),
            format_number(row["measured"]),
            f"{row['ratio']:.2f}",
        ]
        for row in comparison_rows(found)
    ]
    return markdown_table(["", "figure", "simulated", "measured", "ratio"], lines)


def installation_table(_: SavedResults) -> str:
    """The assumed installation."""
    installation = Installation()
    return markdown_table(
        ["", ""], [[f"{getattr(installation, each.name):g}", _ASSUMPTIONS[each.name]] for each in fields(installation)]
    )


def limits_table(found: SavedResults) -> str:
    """Every limit, and how seldom temporary links may be renewed."""
    what, installation = link_costs(found), Installation()
    groups = {"links": limits_of_links(what, installation), "writes a second": limits_of_writes(what, installation)}
    groups |= {f"{name} a second": found for name, found in limits_of_work(what, installation).items()}
    lines = [_line(name, limit) for name, found in groups.items() for limit in found]
    for links in _TEMPORARY:
        seconds = renewal_seconds(links, what, installation)
        lines.append(
            [f"seconds between two renewals of {links:,} temporary links", "links / renewals", format_number(seconds)]
        )
    return markdown_table(["most, by", "reckoned", ""], lines)


def _line(name: str, limit: Limit) -> list[str]:
    return [f"{name}: {limit.name}", limit.formula, format_number(limit.maximum)]


TABLES: dict[str, Callable[[SavedResults], str]] = {
    "compared": comparison_table,
    "simulated": lambda found: sizes_table(found["scale"]),
    "apiserver": lambda found: sizes_table(found["apiserver"]),
    "given": installation_table,
    "limits": limits_table,
}


def render(document: str, found: SavedResults) -> str:
    """The document with its tables made anew."""
    for name, make in TABLES.items():
        begin, end = (f"<!-- {mark} {name} -->\n" for mark in ("begin", "end"))
        before, _, rest = document.partition(begin)
        _, _, after = rest.partition(end)
        document = f"{before}{begin}{make(found)}\n{end}{after}"
    return document


def main() -> None:
    """Write them, or say whether they are as they would be written."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--check", action="store_true", help="write nothing")
    asked = options.parse_args()
    before = DOCUMENT.read_text()
    after = render(before, load_results(RESULTS))
    if not asked.check:
        DOCUMENT.write_text(after)
    elif after != before:
        sys.exit("docs/scale.md is not what `make generate` writes")


if __name__ == "__main__":
    main()
