"""The page about a run: one file, with nothing from elsewhere."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from chaos.checker import Violation
from chaos.leadership import terms
from chaos.record import FaultPeriod, Link, LogMessage, Operation, Process, Record, Run
from chaos.recovery import bind_recoveries
from chaos.statistics import faults_by_kind, moves, operations_by_name
from chaos.timeline import Timeline

_STYLE = """
body{font:14px/1.45 system-ui,sans-serif;margin:2em auto;max-width:1400px;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:1em 0}th,td{padding:.25em .8em;border-bottom:1px solid #ddd;text-align:left}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
.verdict{padding:.8em 1em;border-radius:6px;font-size:1.1em}.green{background:#e2f4e2}.red{background:#f8dcdc}
.columns{display:flex;flex-wrap:wrap;gap:3em;align-items:flex-start}
"""

_SHOWN_FINDINGS = 200


def write_report(record: Record, findings: Sequence[Violation], file: Path) -> None:
    """Write it."""
    (run,) = record.all(Run)
    began = datetime.fromtimestamp(run.at, UTC).isoformat(timespec="seconds")
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        f"<title>Chaos, seed {run.seed}</title><style>{_STYLE}</style>",
        f"<h1>Chaos, seed {run.seed}</h1>",
        _verdict(findings),
        "<h2>In short</h2>",
        _table(("", ""), [("began", began), ("machine", run.machine), *_summary(record)]),
        "<h2>The course of it</h2>",
        _legend(run.recovery_seconds),
        Timeline(record, run.recovery_seconds).svg(),
        "<div class=columns><div><h2>Faults</h2>",
        _faults(record),
        "</div><div><h2>Operations</h2>",
        _operations(record),
        "</div><div><h2>Links</h2>",
        _table(("what became of them", "times"), moves(record).items()),
        "</div></div>",
    ]
    file.write_text("\n".join(parts) + "\n", encoding="utf-8")


def _legend(seconds: float) -> str:
    return (
        "<p>Green is calm: no fault is there, and links that wait are to be bound within "
        f"{seconds:g} s; red is a calm in which some were not. Bars are faults.</p>"
    )


def _verdict(findings: Sequence[Violation]) -> str:
    if not findings:
        return "<p class='verdict green'>The checker found nothing wrong.</p>"
    rows = [(each.rule, each.message) for each in findings[:_SHOWN_FINDINGS]]
    return f"<p class='verdict red'>The checker has {len(findings)} findings.</p>" + _table(("rule", "finding"), rows)


def _summary(record: Record) -> Iterable[tuple[str, str]]:
    operations = record.all(Operation)
    done = [each for each in operations if not each.error]
    seconds = max(each.ended for each in operations) - min(each.started for each in operations) if operations else 1.0
    healed = [calm.seconds for calm in bind_recoveries(record) if calm.fault_kinds]
    worst = max((each for each in healed if each is not None), default=0.0)
    unmet = sum(each.hits == 0 for each in record.all(FaultPeriod))
    restarts = sum(each.message.startswith("it has ended") for each in record.all(LogMessage))
    return [
        (
            "faults",
            f"{len(record.all(FaultPeriod))} in {len(healed)} rounds, {seconds / 60:.1f} minutes; {unmet} met nothing",
        ),
        ("operations", f"{len(operations)} begun, {len(operations) / seconds:.1f} a second; {len(done)} acknowledged"),
        ("versions of links", f"{len(record.all(Link))} recorded"),
        ("worst time to heal", "endless" if None in healed else _seconds(worst)),
        ("terms of leaders", str(len(terms(record)))),
        ("lives of our processes", f"{len(record.all(Process))}, of which {restarts} after an end of their own"),
    ]


def _faults(record: Record) -> str:
    rows = [
        (each.kind, each.number, each.not_hit or "", _seconds(each.median_seconds), _seconds(each.worst_seconds))
        for each in faults_by_kind(record)
    ]
    return _table(("kind", "times", "met nothing", "healed in (median)", "(worst)"), rows)


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
