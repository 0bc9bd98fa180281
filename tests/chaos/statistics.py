"""What a run comes to, in figures."""

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
    """What came after the faults of one kind; other faults may have been there at the same time.

    Attributes:
        kind: its name.
        number: how many there were.
        not_hit: how many of them no request and no connection has met.
        median_seconds: until everything was bound again; None where it never was.
        worst_seconds: at the worst.
    """

    kind: str
    number: int
    not_hit: int
    median_seconds: float | None
    worst_seconds: float | None


@dataclass(frozen=True, slots=True)
class OperationStatistics:
    """What came of one operation.

    Attributes:
        name: of the operation.
        acknowledged: how many were.
        failed: how many were not.
        worst_seconds: how long the slowest that was acknowledged took.
    """

    name: str
    acknowledged: int
    failed: int
    worst_seconds: float


def faults_by_kind(record: Record) -> Sequence[FaultStatistics]:
    """Each kind of fault, the slowest to heal first."""
    healed: dict[str, list[Recovery]] = defaultdict(list)
    for calm in bind_recoveries(record):
        for kind in calm.fault_kinds:
            healed[kind].append(calm)
    troubles: dict[str, list[FaultPeriod]] = defaultdict(list)
    for trouble in record.all(FaultPeriod):
        troubles[trouble.kind].append(trouble)
    rows = [_kind(kind, came, healed[kind]) for kind, came in troubles.items()]
    return sorted(rows, key=lambda row: -(row.worst_seconds if row.worst_seconds is not None else 1e9))


def _kind(kind: str, came: Sequence[FaultPeriod], healed: Sequence[Recovery]) -> FaultStatistics:
    number, unmet = len(came), sum(each.hits == 0 for each in came)
    seconds = [calm.seconds for calm in healed]
    known = [each for each in seconds if each is not None]
    if len(known) < len(seconds) or not known:
        return FaultStatistics(kind, number, unmet, None, None)
    return FaultStatistics(kind, number, unmet, median(known), max(known))


def operations_by_name(record: Record) -> Sequence[OperationStatistics]:
    """Each operation, by its name."""
    rows = []
    for name in sorted({each.name for each in record.all(Operation)}):
        done = [each for each in record.all(Operation) if each.name == name]
        good = [each.ended - each.started for each in done if not each.error]
        rows.append(OperationStatistics(name, len(good), len(done) - len(good), max(good, default=0.0)))
    return rows


def moves(record: Record) -> Mapping[str, int]:
    """How often links were bound, moved and ended, by the reason."""
    found: Counter[str] = Counter()
    for versions in LinkHistory(record).versions.values():
        for before, after in pairwise([None, *versions]):
            assert after is not None
            if event := _event(before, after):
                found[event] += 1
    return dict(found.most_common())


def _event(before: Link | None, after: Link) -> str | None:
    """What has become of a link between two versions, as far as it is worth counting."""
    if after.is_gone:
        return "ended: its time was over" if before and before.expires and before.expires <= after.at else "removed"
    if before is None or before.is_gone:
        return "created, with a pod" if after.pod is not None else "created, without a pod"
    if before.pod is None and after.pod is not None:
        return "bound to a pod that was chosen for it"
    if after.previous is not None and after.previous != before.previous:
        return f"moved: {after.previous[1]}"
    return None
