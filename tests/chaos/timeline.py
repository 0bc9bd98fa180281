"""Draws a run over time: operations, waiting links, and faults."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from chaos.record import FaultPeriod, Operation, Record
from chaos.recovery import Recovery, bind_recoveries

_WIDTH, _LEFT, _RIGHT = 1400, 230, 20
_LANE, _PLOT, _GAP, _TOP = 15, 90, 28, 10
_ENOUGH_BARS = 2.0

_STYLE = (
    "text{font:11px system-ui,sans-serif;fill:#333}.good{stroke:#2a7;fill:none}.bad{stroke:#c33;fill:none}"
    ".wait{fill:#e90;opacity:.6}.fault{fill:#36c}.calm{fill:#eaf6ea}.late{fill:#f6dada}.axis{stroke:#bbb}"
)


class Timeline:
    """Draws a record as SVG.

    Args:
        record: the record of the run.
        limit: the maximum time of a recovery, in seconds.
    """

    def __init__(self, record: Record, limit: float) -> None:
        self._operations = record.all(Operation)
        self._fault_periods = record.all(FaultPeriod)
        self._recoveries = bind_recoveries(record)
        self._limit = limit
        times = [each.ended for each in self._operations] or [0.0]
        self._started = min(each.started for each in self._operations) if self._operations else 0.0
        self._ended = max(times) + 1
        self._kinds = sorted({each.kind for each in self._fault_periods})
        self._bottom = _TOP + 2 * (_PLOT + _GAP) + len(self._kinds) * _LANE + 24

    def svg(self) -> str:
        """Returns the drawing."""
        first, second = _TOP, _TOP + _PLOT + _GAP
        lanes = second + _PLOT + _GAP
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {self._bottom}" width="100%">',
            f"<style>{_STYLE}</style>",
            *self._shades(),
            *self._rates(first),
            *self._waiting(second),
            *self._faults(lanes),
            *self._axis(),
            "</svg>",
        ]
        return "\n".join(parts)

    def _x(self, at: float) -> float:
        part = (at - self._started) / (self._ended - self._started)
        return round(_LEFT + part * (_WIDTH - _LEFT - _RIGHT), 1)

    def _shades(self) -> Iterable[str]:
        """Draws the periods without faults; red if a recovery exceeded the limit."""
        for recovery in self._recoveries:
            kind = "late" if any(True for _ in recovery.exceeding(self._limit)) else "calm"
            x, width = self._x(recovery.started), max(1.0, self._x(recovery.ended) - self._x(recovery.started))
            description = f"{_recovery_seconds(recovery)} after {' and '.join(recovery.fault_kinds) or 'no fault'}"
            yield (
                f'<rect class="{kind}" x="{x}" y="{_TOP}" width="{width:.1f}" height="{self._bottom - _TOP - 20}">'
                f"<title>{escape(description)}</title></rect>"
            )

    def _rates(self, top: int) -> Iterable[str]:
        good = Counter(int(each.ended) for each in self._operations if not each.error)
        bad = Counter(int(each.ended) for each in self._operations if each.error)
        most = max([*good.values(), *bad.values(), 1])
        yield from self._titles(top, "operations a second:", f"acknowledged, failed; {most} at most")
        for name, counts in (("good", good), ("bad", bad)):
            yield f'<polyline class="{name}" points="{self._line(counts, top, most)}"/>'

    def _line(self, counts: Mapping[int, int], top: int, most: int) -> str:
        seconds = range(int(self._started), int(self._ended) + 1)
        return " ".join(f"{self._x(each)},{top + _PLOT * (1 - counts.get(each, 0) / most):.1f}" for each in seconds)

    def _waiting(self, top: int) -> Iterable[str]:
        counts = waiting(self._recoveries, self._started, self._ended)
        most = max([*counts, 1])
        yield from self._titles(top, "links waiting without faults", f"{most} at most")
        for second, number in enumerate(counts):
            if number:
                x, height = self._x(self._started + second), _PLOT * number / most
                width = max(1.0, self._x(self._started + second + 1) - x)
                yield (
                    f'<rect class="wait" x="{x}" y="{top + _PLOT - height:.1f}" width="{width:.1f}" '
                    f'height="{height:.1f}"/>'
                )

    def _faults(self, top: int) -> Iterable[str]:
        for number, kind in enumerate(self._kinds):
            y = top + number * _LANE
            yield f'<text x="{_LEFT - 8}" y="{y + 10}" text-anchor="end">{escape(kind)}</text>'
            for each in self._fault_periods:
                if each.kind == kind:
                    x = self._x(each.started)
                    width = max(_ENOUGH_BARS, self._x(each.ended) - x)
                    yield (
                        f'<rect class="fault" x="{x}" y="{y + 2}" width="{width:.1f}" height="{_LANE - 4}">'
                        f"<title>{escape(kind)}, {each.ended - each.started:.1f} s</title></rect>"
                    )

    def _axis(self) -> Iterable[str]:
        length = self._ended - self._started
        step = next(each for each in (5, 10, 30, 60, 120, 300, 600, 3600) if length / each <= 20 or each == 3600)
        for second in range(0, int(length) + 1, step):
            x = self._x(self._started + second)
            yield f'<line class="axis" x1="{x}" y1="{_TOP}" x2="{x}" y2="{self._bottom - 20}" stroke-width=".4"/>'
            yield f'<text x="{x}" y="{self._bottom - 6}" text-anchor="middle">{second // 60}:{second % 60:02}</text>'

    def _titles(self, top: int, *lines: str) -> Iterable[str]:
        for number, line in enumerate(lines):
            yield f'<text x="{_LEFT - 8}" y="{top + 14 + 14 * number}" text-anchor="end">{escape(line)}</text>'


def waiting(recoveries: Sequence[Recovery], started: float, ended: float) -> list[int]:
    """Returns the number of waiting links at each second of the periods without faults."""
    counts = [0] * (int(ended - started) + 1)
    for recovery in recoveries:
        for each in recovery.waiting_links:
            since, until = max(each.started, recovery.started), min(each.ended or recovery.ended, recovery.ended)
            for second in range(int(since - started), int(until - started) + 1):
                if 0 <= second < len(counts):
                    counts[second] += 1
    return counts


def _recovery_seconds(recovery: Recovery) -> str:
    return "not all recovered" if recovery.seconds is None else f"recovered in {recovery.seconds:.1f} s"
