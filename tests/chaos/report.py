"""Writes the report of a run: a single HTML file without external resources."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from chaos.checker import Violation
from chaos.figures import faults_by_kind, moves, operations_by_name
from chaos.leadership import terms
from chaos.record import FaultPeriod, Link, LogMessage, Operation, Process, Record, Run
from chaos.recovery import bind_recoveries
from chaos.timeline import Timeline

_STYLE = """
body{font:14px/1.45 system-ui,sans-serif;margin:2em auto;max-width:1400px;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:1em 0}th,td{padding:.25em .8em;border-bottom:1px solid #ddd;text-align:left}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
.verdict{padding:.8em 1em;border-radius:6px;font-size:1.1em}.green{background:#e2f4e2}.red{background:#f8dcdc}
.columns{display:flex;flex-wrap:wrap;gap:3em;align-items:flex-start}
"""

_SHOWN_VIOLATIONS = 200


def write_report(record: Record, violations: Sequence[Violation], file: Path) -> None:
    """Writes the report."""
    (run,) = record.all(Run)
    started = datetime.fromtimestamp(run.at, UTC).isoformat(timespec="seconds")
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        f"<title>Chaos, seed {run.seed}</title><style>{_STYLE}</style>",
        f"<h1>Chaos, seed {run.seed}</h1>",
        _verdict(violations),
        "<h2>Summary</h2>",
        _table(("", ""), [("started", started), ("machine", run.machine), *_summary(record)]),
        "<h2>Timeline</h2>",
        _legend(run.recovery_seconds),
        Timeline(record, run.recovery_seconds).svg(),
        "<div class=columns><div><h2>Faults</h2>",
        _faults(record),
        "</div><div><h2>Operations</h2>",
        _operations(record),
        "</div><div><h2>Links</h2>",
        _table(("change", "count"), moves(record).items()),
        "</div></div>",
    ]
    file.write_text("\n".join(parts) + "\n", encoding="utf-8")


def _legend(seconds: float) -> str:
    return (
        "<p>Green: no fault is active, and waiting links are bound within "
        f"{seconds:g} s; red: some links were not. Bars are faults.</p>"
    )


def _verdict(violations: Sequence[Violation]) -> str:
    if not violations:
        return "<p class='verdict green'>The checker found no violations.</p>"
    rows = [(each.rule, each.message) for each in violations[:_SHOWN_VIOLATIONS]]
    return f"<p class='verdict red'>The checker found {len(violations)} violations.</p>" + _table(
        ("rule", "violation"), rows
    )


def _summary(record: Record) -> Iterable[tuple[str, str]]:
    operations = record.all(Operation)
    acknowledged = [each for each in operations if not each.error]
    seconds = max(each.ended for each in operations) - min(each.started for each in operations) if operations else 1.0
    recovered = [recovery.seconds for recovery in bind_recoveries(record) if recovery.fault_kinds]
    worst = max((each for each in recovered if each is not None), default=0.0)
    unused = sum(each.hits == 0 for each in record.all(FaultPeriod))
    minutes = seconds / 60
    restarts = sum(each.message.startswith("exited") for each in record.all(LogMessage))
    return [
        (
            "faults",
            f"{len(record.all(FaultPeriod))} in {len(recovered)} rounds, {minutes:.1f} minutes; {unused} unused",
        ),
        (
            "operations",
            f"{len(operations)} started, {len(operations) / seconds:.1f} a second; {len(acknowledged)} acknowledged",
        ),
        ("versions of links", f"{len(record.all(Link))} recorded"),
        ("longest recovery", "never" if None in recovered else _seconds(worst)),
        ("terms of leaders", str(len(terms(record)))),
        ("process starts", f"{len(record.all(Process))}, of which {restarts} after an unexpected exit"),
    ]


def _faults(record: Record) -> str:
    rows = [
        (each.kind, each.number, each.not_hit or "", _seconds(each.median_seconds), _seconds(each.worst_seconds))
        for each in faults_by_kind(record)
    ]
    return _table(("kind", "count", "no effect", "recovery (median)", "(longest)"), rows)


def _operations(record: Record) -> str:
    rows = [
        (each.name, each.acknowledged, each.failed, _seconds(each.worst_seconds)) for each in operations_by_name(record)
    ]
    return _table(("operation", "acknowledged", "failed", "slowest"), rows)


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.1f} s"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    def cells(tag: str, values: Sequence[object]) -> str:
        kinds = ["" if not number else " class=n" for number in range(len(values))] if len(head) > 2 else [""] * 9
        return "".join(f"<{tag}{kind}>{escape(str(each))}</{tag}>" for kind, each in zip(kinds, values, strict=False))

    lines = [f"<tr>{cells('td', row)}</tr>" for row in rows]
    return f"<table><tr>{cells('th', head)}</tr>{''.join(lines)}</table>"
