"""Computes the figures of a run."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from chaos.link_history import LinkHistory
from chaos.record import FaultPeriod, Link, Operation, Record
from chaos.recovery import Recovery, bind_recoveries


@dataclass(frozen=True, slots=True)
class FaultStatistics:
    """The recoveries after faults of one kind; other faults may have been active at the same time.

    Attributes:
        kind: the name of the kind.
        number: the number of faults.
        not_hit: the number of faults that affected no request and no connection.
        median_seconds: the median time until everything was bound again; None if that never happened.
        worst_seconds: the longest time.
    """

    kind: str
    number: int
    not_hit: int
    median_seconds: float | None
    worst_seconds: float | None


@dataclass(frozen=True, slots=True)
class OperationStatistics:
    """The results of one operation.

    Attributes:
        name: the name of the operation.
        acknowledged: the number of acknowledged operations.
        failed: the number of failed operations.
        worst_seconds: the duration of the slowest acknowledged operation.
    """

    name: str
    acknowledged: int
    failed: int
    worst_seconds: float


def faults_by_kind(record: Record) -> Sequence[FaultStatistics]:
    """Returns the figures of each kind of fault, the slowest recovery first."""
    recoveries: dict[str, list[Recovery]] = defaultdict(list)
    for recovery in bind_recoveries(record):
        for kind in recovery.fault_kinds:
            recoveries[kind].append(recovery)
    periods_by_kind: dict[str, list[FaultPeriod]] = defaultdict(list)
    for period in record.all(FaultPeriod):
        periods_by_kind[period.kind].append(period)
    rows = [_kind(kind, periods, recoveries[kind]) for kind, periods in periods_by_kind.items()]
    return sorted(rows, key=lambda row: -(row.worst_seconds if row.worst_seconds is not None else 1e9))


def _kind(kind: str, periods: Sequence[FaultPeriod], recoveries: Sequence[Recovery]) -> FaultStatistics:
    number, not_hit = len(periods), sum(each.hits == 0 for each in periods)
    seconds = [recovery.seconds for recovery in recoveries]
    finite = [each for each in seconds if each is not None]
    if len(finite) < len(seconds) or not finite:
        return FaultStatistics(kind, number, not_hit, None, None)
    return FaultStatistics(kind, number, not_hit, median(finite), max(finite))


def operations_by_name(record: Record) -> Sequence[OperationStatistics]:
    """Returns the figures of each operation, ordered by name."""
    rows = []
    for name in sorted({each.name for each in record.all(Operation)}):
        operations = [each for each in record.all(Operation) if each.name == name]
        durations = [each.ended - each.started for each in operations if not each.error]
        rows.append(
            OperationStatistics(name, len(durations), len(operations) - len(durations), max(durations, default=0.0))
        )
    return rows


def moves(record: Record) -> Mapping[str, int]:
    """Returns the number of bindings, moves and deletions of links by their reason."""
    counts: Counter[str] = Counter()
    for versions in LinkHistory(record).versions.values():
        for before, after in pairwise([None, *versions]):
            assert after is not None
            if event := _event(before, after):
                counts[event] += 1
    return dict(counts.most_common())


def _event(before: Link | None, after: Link) -> str | None:
    """Returns the change between two versions of a link; None if it does not count."""
    if after.is_gone:
        return "deleted: expired" if before and before.expires and before.expires <= after.at else "removed"
    if before is None or before.is_gone:
        return "created, with a pod" if after.pod is not None else "created, without a pod"
    if before.pod is None and after.pod is not None:
        return "bound to a chosen pod"
    if after.previous is not None and after.previous != before.previous:
        return f"moved: {after.previous[1]}"
    if before.hand_over != after.hand_over and before.pod == after.pod:
        return "asked for a hand-over" if after.hand_over is not None else "hand-over withdrawn"
    return None
