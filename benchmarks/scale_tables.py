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
from measuring import simulated
from measuring.capacity import (
    Costs,
    Installation,
    Limit,
    limits_of_links,
    limits_of_work,
    limits_of_writes,
    renewal_seconds,
)
from measuring.comparison import Kept, compared, kept
from measuring.numbers import number
from measuring.rounds import spreads

RESULTS = Path(__file__).parent / "results"
DOCUMENT = Path(__file__).parents[1] / "docs" / "scale.md"
_MIB = 2**20
_TEMPORARY = (100_000, 1_000_000)
_GIVEN = {
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


def costs(found: Kept) -> Costs:
    """What a link costs: simulated among the most links; what HTTP adds, and the servers, as measured among fewer."""
    links, many = medians(found["scale"])[-1]
    server = medians(found["apiserver"])[-1][1]
    http = {row["figure"]: row["measured"] - row["simulated"] for row in rows(found)}
    bind, choose = (max(0.0, http.get(name, 0.0)) for name in (simulated.BIND, simulated.CHOOSE))
    empty = found["scale"]["empty"]
    return Costs(
        apiserver_write=server[apiserver.RENEWAL],
        apiserver_event=server[apiserver.EVENT],
        etcd_write=server[apiserver.ETCD_RENEWAL],
        stored=server[apiserver.HELD["stored"]],
        stored_write=server[apiserver.STORED_RENEWAL],
        apiserver_bytes=server[apiserver.HELD["apiserver live"]],
        list_seconds=server[apiserver.LIST_SECONDS],
        operator_bytes=(many[simulated.PEAK] - empty[simulated.PEAK]) * _MIB / links,
        operator_read=(many[simulated.READ] + many[simulated.JUDGED]) * 1000 / links,
        operator_bind=many[simulated.BIND] + bind,
        operator_renewal=many[simulated.RENEW] + bind,
        operator_move=many[simulated.CHOOSE] + choose,
        stall=many[simulated.STALL] * 1000 / links,
    )


def rows(found: Kept) -> list[dict[str, Any]]:
    """The simulated figures beside the measured ones."""
    return compared(found["scale"]["rounds"], found)


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *lines))


def by_size(values: Mapping[str, Any]) -> str:
    """A row for each figure, a column for each size, and on what machine it was."""
    found = medians(values)
    names = list(dict.fromkeys(name for _, figures in found for name in figures))
    lines = [[name, *(number(figures[name]) if name in figures else "" for _, figures in found)] for name in names]
    machine = values["machine"]
    told = f"{machine['cores']} cores ({machine['processor']}), Python {machine['python']}"
    head = ["", *(f"{size:,} links" for size, _ in found)]
    busy = (
        ", so it had other work as well, and all times are too high" if machine["loadBefore"] > machine["cores"] else ""
    )
    return f"{table(head, lines)}\n\n{told}; load {machine['loadBefore']:.1f} before{busy}."


def comparison(found: Kept) -> str:
    """The simulated figures beside the measured ones."""
    lines = [
        [row["links"], row["figure"], number(row["simulated"]), number(row["measured"]), f"{row['ratio']:.2f}"]
        for row in rows(found)
    ]
    return table(["", "figure", "simulated", "measured", "ratio"], lines)


def given(_: Kept) -> str:
    """The assumed installation."""
    installation = Installation()
    return table(
        ["", ""], [[f"{getattr(installation, each.name):g}", _GIVEN[each.name]] for each in fields(installation)]
    )


def limits(found: Kept) -> str:
    """Every limit, and how seldom temporary links may be renewed."""
    what, installation = costs(found), Installation()
    groups = {"links": limits_of_links(what, installation), "writes a second": limits_of_writes(what, installation)}
    groups |= {f"{name} a second": found for name, found in limits_of_work(what, installation).items()}
    lines = [_line(name, limit) for name, found in groups.items() for limit in found]
    for links in _TEMPORARY:
        seconds = renewal_seconds(links, what, installation)
        lines.append(
            [f"seconds between two renewals of {links:,} temporary links", "links / renewals", number(seconds)]
        )
    return table(["most, by", "reckoned", ""], lines)


def _line(name: str, limit: Limit) -> list[str]:
    return [f"{name}: {limit.what}", limit.formula, number(limit.most)]


TABLES: dict[str, Callable[[Kept], str]] = {
    "compared": comparison,
    "simulated": lambda found: by_size(found["scale"]),
    "apiserver": lambda found: by_size(found["apiserver"]),
    "given": given,
    "limits": limits,
}


def written(document: str, found: Kept) -> str:
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
    after = written(before, kept(RESULTS))
    if not asked.check:
        DOCUMENT.write_text(after)
    elif after != before:
        sys.exit("docs/scale.md is not what `make generate` writes")


if __name__ == "__main__":
    main()
