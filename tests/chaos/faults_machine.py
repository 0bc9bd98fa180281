"""Faults in the environment of one process: its clock and its memory."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random

from chaos import clock, memory
from chaos.clock import ProcessClock
from chaos.fault import OPERATORS, RESOLVER, FaultKind
from chaos.memory import MemoryGroup
from chaos.supervised_process import SupervisedProcess
from chaos.system import System

#: Less than Python and the imports of the processes need: the processes are killed during their start.
LIMIT_MEBIBYTES = 40


@dataclass(slots=True)
class ClockSkew:
    """Shifts the clock of a process, and resets it at the end.

    A process that started in the meantime is started again, as the runbook of the alert says: it reads the clock once.
    """

    choose: Callable[[System], SupervisedProcess]
    hours: int
    affected: list[tuple[SupervisedProcess, int, ProcessClock]] = field(default_factory=list)

    def start(self, system: System) -> None:
        program = self.choose(system)
        process_clock = ProcessClock(program.kubeconfig.parent)
        self.affected = [(program, program.start_number, process_clock)]
        process_clock.shift(60 * self.hours)

    def end(self, system: System) -> None:
        del system
        for program, start_number, process_clock in self.affected:
            process_clock.reset()
            if program.start_number != start_number:
                program.kill()
                program.enable()


@dataclass(slots=True)
class MemoryLimit:
    """Restarts a process with too little memory: the kernel kills it repeatedly until the end."""

    choose: Callable[[System], SupervisedProcess]
    affected: list[tuple[SupervisedProcess, MemoryGroup]] = field(default_factory=list)

    def start(self, system: System) -> None:
        program = self.choose(system)
        group = MemoryGroup(f"chaos-{program.name}", LIMIT_MEBIBYTES)
        self.affected = [(program, group)]
        program.kill()
        program.command_prefix = [*group.prefix]
        program.enable()

    def end(self, system: System) -> None:
        for program, group in self.affected:
            program.command_prefix = []
            system.record.log("killed by the memory limit", process=program.name, times=group.oom_kills)
            group.close()


_TARGETS: dict[str, tuple[Callable[[System], SupervisedProcess], frozenset[str]]] = {
    "leader": (System.leader, OPERATORS),
    "standby": (System.standby, OPERATORS),
    "resolver": (lambda system: system.resolver, RESOLVER),
}


def _clock_skew(choose: Callable[[System], SupervisedProcess], hours: int, random: Random) -> ClockSkew:
    del random
    return ClockSkew(choose, hours)


def _memory_limit(choose: Callable[[System], SupervisedProcess], random: Random) -> MemoryLimit:
    del random
    return MemoryLimit(choose)


KINDS: Sequence[FaultKind] = [
    *(
        FaultKind(
            f"{whom}: clock {hours:+d} h",
            partial(_clock_skew, choose, hours),
            touches,
            unsupported_reason=clock.unsupported_reason,
        )
        for whom, (choose, touches) in _TARGETS.items()
        for hours in (1, -1)
    ),
    *(
        FaultKind(
            f"{whom}: too little memory",
            partial(_memory_limit, choose),
            touches,
            seconds=(3.0, 8.0),
            unsupported_reason=memory.unsupported_reason,
        )
        for whom, (choose, touches) in _TARGETS.items()
    ),
]
