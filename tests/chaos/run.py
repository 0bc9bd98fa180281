"""Runs the whole system under faults and writes the record of it.

    python tests/chaos/run.py --seed 1 --minutes 3 --folder build/chaos

Ends with 1 where the checker finds something wrong; the folder then still has the record and the report.
"""

import argparse
import logging
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import structlog

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from chaos.checker import Violation, check
from chaos.fault import FaultKind
from chaos.machine import description
from chaos.record import FaultPeriod, QuietPeriod, Record, RecordWriter, Run, Write
from chaos.registry import KINDS
from chaos.report import write_report
from chaos.schedule import ScheduledFault, rounds
from chaos.system import System, UserLoad, running
from failover.pair import SHORT_TIMES, ElectionTimes

log = logging.getLogger(__name__)

#: What the suite promises; a run may be given a factor for a machine that has other things to do.
RECOVERY_SECONDS = 10.0

#: A calm is at least so long, so that operations go on between faults.
_QUIET_SECONDS = 1.0

_POLL_SECONDS = 0.1

#: More than any process has had.
_STARTS_PER_MINUTE = 10


@dataclass(frozen=True, slots=True)
class ChaosPlan:
    """What is to be done.

    Attributes:
        seed: what all that is random begins with.
        kinds: of faults.
        rate: how many operations are begun in a second.
        minutes: how long faults go on, at the least.
        faults: how many there are, at the least.
        recovery_seconds: how long healing may take.
        times: of the operators' Lease.
    """

    seed: int
    kinds: Sequence[FaultKind] = tuple(KINDS)
    rate: float = 50.0
    minutes: float = 0.0
    faults: int = 1
    recovery_seconds: float = RECOVERY_SECONDS
    times: ElectionTimes = SHORT_TIMES


def run(plan: ChaosPlan, folder: Path) -> list[Violation]:
    """Do it; gives what the checker has found wrong. The folder then has record.jsonl and report.html.

    It has them as well where the run breaks off, because a fault could not be put right.
    """
    folder.mkdir(parents=True, exist_ok=True)
    record = RecordWriter(folder / "record.jsonl")
    try:
        record.write(Run(time.time(), plan.seed, plan.rate, plan.recovery_seconds, description()))
        _run(plan, folder, record)
    finally:
        record.close()
        written = Record.read(record.file)
        findings = check(written)
        write_report(written, findings, folder / "report.html")
    return findings


def _run(plan: ChaosPlan, folder: Path, record: RecordWriter) -> None:
    lives = 20 + int(_STARTS_PER_MINUTE * plan.minutes)
    users = UserLoad(plan.rate, plan.seed)
    with running(folder, record, users, times=plan.times, starts=lives) as system:
        _run_rounds(system, plan)
    for each in system.audit.entries():
        received = each.received.timestamp()
        record.write(Write(received, each.credential, each.verb, each.resource, each.name, each.code))


def _run_rounds(system: System, plan: ChaosPlan) -> None:
    """Have users come, and faults, round by round."""
    system.load.start()
    try:
        begun, faults = time.monotonic(), 0
        _await_recovery(system, plan.recovery_seconds, ())
        for planned in _rounds(plan):
            if faults >= plan.faults and time.monotonic() - begun > plan.minutes * 60:
                break
            faults += len(planned)
            log.info("%s faults: %s", faults, ", ".join(each.kind.name for each in planned))
            _inject(system, planned)
            healed = _await_recovery(system, plan.recovery_seconds, tuple(each.kind.name for each in planned))
            log.info("  healed after %.1f s", healed)
            system.load.check()
    finally:
        system.load.stop()
    _await_recovery(system, plan.recovery_seconds, ())


def _rounds(plan: ChaosPlan) -> Iterator[list[ScheduledFault]]:
    usable = []
    for kind in plan.kinds:
        if (lacking := kind.unsupported_reason()) is None:
            usable.append(kind)
        else:
            log.warning("%s: cannot be done here: %s", kind.name, lacking)
    return rounds(usable, Random(plan.seed))


def _inject(system: System, scheduled: Sequence[ScheduledFault]) -> None:
    """Have the faults of a round begin and end, each at its time, or as soon after it as those before let it."""
    steps = [(each.start, each, True) for each in scheduled] + [(each.end, each, False) for each in scheduled]
    begun, starts = time.monotonic(), dict[int, float]()
    for due, each, is_start in sorted(steps, key=lambda step: step[0]):
        time.sleep(max(0.0, begun + due - time.monotonic()))
        if is_start:
            starts[id(each)] = time.time()
            each.fault.start(system)
        else:
            hits = each.fault.end(system)
            system.record.write(FaultPeriod(starts[id(each)], time.time(), each.kind.name, hits))


def _await_recovery(system: System, recovery_seconds: float, fault_kinds: tuple[str, ...]) -> float:
    """Wait until every link is bound as it asks, but no longer than that may take; gives how long it took."""
    begun = time.time()
    while (left := system.recorder.unsettled(begun)) and time.time() < begun + recovery_seconds:
        time.sleep(_POLL_SECONDS)
    healed = time.time() - begun
    if left:
        log.warning("  not healed: %s links, like %s", len(left), left[:3])
    time.sleep(max(0.0, begun + _QUIET_SECONDS - time.time()))
    system.record.write(QuietPeriod(begun, time.time(), fault_kinds))
    return healed


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--faults", type=int, default=1)
    parser.add_argument("--rate", type=float, default=50.0)
    parser.add_argument("--heal-seconds", type=float, default=RECOVERY_SECONDS, help="more on a machine that is busy")
    parser.add_argument("--only", default="", help="only kinds of faults whose name has this in it")
    parser.add_argument("--folder", type=Path, default=Path("build/chaos"))
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """The program."""
    # What the users' driver tells of its watches is of no use here.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    options = _parse(arguments)
    kinds = [kind for kind in KINDS if options.only in kind.name]
    plan = ChaosPlan(options.seed, kinds, options.rate, options.minutes, options.faults, options.heal_seconds)
    findings = run(plan, options.folder)
    for finding in findings[:50]:
        log.error("%s: %s", finding.rule, finding.message)
    log.info("%s findings; the report is %s", len(findings), options.folder / "report.html")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
