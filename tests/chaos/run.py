"""Runs the whole system under faults and writes the record of it.

    python tests/chaos/run.py --seed 1 --minutes 3 --folder build/chaos

Exits with 1 if the checker finds violations; the folder contains the record and the report in either case.
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
from chaos.record import Calm, FaultPeriod, QuietPeriod, Record, RecordWriter, Run, Write
from chaos.registry import KINDS
from chaos.report import write_report
from chaos.schedule import ScheduledFault, rounds
from chaos.slot_history import are_even
from chaos.system import SERVICES, System, UserLoad, running
from failover.pair import SHORT_TIMES, ElectionTimes

log = logging.getLogger(__name__)

#: The recovery time that the suite promises; a run on a busy machine may set another.
RECOVERY_SECONDS = 10.0

#: The minimum duration between faults, so that operations also run without faults.
_QUIET_SECONDS = 1.0

_POLL_SECONDS = 0.1

#: How long links are recorded in the end, when no slot may move.
_CALM_SECONDS = 3.0

#: More than any process has needed.
_STARTS_PER_MINUTE = 10


@dataclass(frozen=True, slots=True)
class ChaosPlan:
    """The settings of a run.

    Attributes:
        seed: the random seed.
        kinds: the kinds of faults.
        rate: the operations per second.
        minutes: the minimum duration of the faults.
        faults: the minimum number of faults.
        recovery_seconds: the maximum time of a recovery.
        times: the times of the operators' Lease.
    """

    seed: int
    kinds: Sequence[FaultKind] = tuple(KINDS)
    rate: float = 50.0
    minutes: float = 0.0
    faults: int = 1
    recovery_seconds: float = RECOVERY_SECONDS
    times: ElectionTimes = SHORT_TIMES


def run(plan: ChaosPlan, folder: Path) -> list[Violation]:
    """Runs a plan and returns the violations. The folder then contains record.jsonl and report.html.

    It also contains them if the run is aborted because a fault could not be repaired.
    """
    folder = folder.absolute()  # the cluster's processes have another working directory
    folder.mkdir(parents=True, exist_ok=True)
    record = RecordWriter(folder / "record.jsonl")
    try:
        record.write(Run(time.time(), plan.seed, plan.rate, plan.recovery_seconds, description()))
        _run(plan, folder, record)
    finally:
        record.close()
        written = Record.read(record.file)
        violations = check(written)
        write_report(written, violations, folder / "report.html")
    return violations


def _run(plan: ChaosPlan, folder: Path, record: RecordWriter) -> None:
    lives = 20 + int(_STARTS_PER_MINUTE * plan.minutes)
    users = UserLoad(plan.rate, plan.seed)
    with running(folder, record, users, times=plan.times, starts=lives) as system:
        _run_rounds(system, plan)
    for each in system.audit.entries():
        received = each.received.timestamp()
        record.write(Write(received, each.credential, each.verb, each.resource, each.name, each.code))


def _run_rounds(system: System, plan: ChaosPlan) -> None:
    """Generates load and injects faults, round by round."""
    system.load.start()
    try:
        started, faults = time.monotonic(), 0
        _await_recovery(system, plan.recovery_seconds, ())
        for scheduled in _rounds(plan):
            if faults >= plan.faults and time.monotonic() - started > plan.minutes * 60:
                break
            faults += len(scheduled)
            log.info("%s faults: %s", faults, ", ".join(each.kind.name for each in scheduled))
            _inject(system, scheduled)
            seconds = _await_recovery(system, plan.recovery_seconds, tuple(each.kind.name for each in scheduled))
            log.info("  recovered after %.1f s", seconds)
            system.load.check()
    finally:
        system.load.stop()
    _await_recovery(system, plan.recovery_seconds, ())
    stopped = time.time()
    settled = _await_even_slots(system, plan.recovery_seconds)
    time.sleep(_CALM_SECONDS)
    ended = time.time()
    system.record.write(QuietPeriod(stopped, ended))
    system.record.write(Calm(settled, ended))


def _rounds(plan: ChaosPlan) -> Iterator[list[ScheduledFault]]:
    usable = []
    for kind in plan.kinds:
        if (reason := kind.unsupported_reason()) is None:
            usable.append(kind)
        else:
            log.warning("%s: not supported on this machine: %s", kind.name, reason)
    return rounds(usable, Random(plan.seed))


def _inject(system: System, scheduled: Sequence[ScheduledFault]) -> None:
    """Injects and repairs the faults of a round, each at its time or as soon as the previous step is finished."""
    steps = [(each.start, each, True) for each in scheduled] + [(each.end, each, False) for each in scheduled]
    started, starts = time.monotonic(), dict[int, float]()
    for due, each, is_start in sorted(steps, key=lambda step: step[0]):
        time.sleep(max(0.0, started + due - time.monotonic()))
        if is_start:
            starts[id(each)] = time.time()
            each.fault.start(system)
        else:
            hits = each.fault.end(system)
            system.record.write(FaultPeriod(starts[id(each)], time.time(), each.kind.name, hits))


def _await_recovery(system: System, recovery_seconds: float, fault_kinds: tuple[str, ...]) -> float:
    """Waits until every link is bound for its spec, or the time is over, and returns the seconds.

    It also waits for the ends of the hand-overs that are in progress, which may take their time-out longer.
    """
    started = time.time()
    while (waiting := system.recorder.unsettled(started)) and time.time() < started + recovery_seconds:
        time.sleep(_POLL_SECONDS)
    seconds = time.time() - started
    limit = started + recovery_seconds + max(each.hand_over_seconds or 0 for each in SERVICES.values())
    while any(at <= started for at, _ in system.recorder.hand_overs().values()) and time.time() <= limit:
        time.sleep(_POLL_SECONDS)
    if waiting:
        log.warning("  not recovered: %s links, like %s", len(waiting), waiting[:3])
    time.sleep(max(0.0, started + _QUIET_SECONDS - time.time()))
    system.record.write(QuietPeriod(started, time.time(), fault_kinds))
    return seconds


def _await_even_slots(system: System, recovery_seconds: float) -> float:
    """Waits until the slots are spread evenly over the pods, and returns the time; the checker judges the result."""
    slotted = {name: each for name, each in SERVICES.items() if each.slots is not None}
    hand_over_seconds = max(each.hand_over_seconds or 0 for each in slotted.values())
    limit = time.time() + recovery_seconds + 3 * hand_over_seconds
    while time.time() < limit:
        counts = {
            name: [system.recorder.slots(name)[pod] for pod in range(each.pods)] for name, each in slotted.items()
        }
        are_still = not system.recorder.unsettled(time.time()) and not system.recorder.hand_overs()
        if are_still and all(are_even(held, slotted[name].slots or 0) for name, held in counts.items()):
            return time.time()
        time.sleep(_POLL_SECONDS)
    log.warning("  the slots are not spread evenly: %s", counts)
    return time.time()


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--faults", type=int, default=1)
    parser.add_argument("--rate", type=float, default=50.0)
    parser.add_argument(
        "--recovery-seconds",
        type=float,
        default=RECOVERY_SECONDS,
        help="the maximum time of a recovery; more on a busy machine",
    )
    parser.add_argument("--only", default="", help="only kinds of faults whose name contains this text")
    parser.add_argument("--folder", type=Path, default=Path("build/chaos"))
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program."""
    # Discards the logs of the users' driver.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    options = _parse(arguments)
    kinds = [kind for kind in KINDS if options.only in kind.name]
    plan = ChaosPlan(options.seed, kinds, options.rate, options.minutes, options.faults, options.recovery_seconds)
    violations = run(plan, options.folder)
    for violation in violations[:50]:
        log.error("%s: %s", violation.rule, violation.message)
    log.info("%s violations; the report is %s", len(violations), options.folder / "report.html")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
