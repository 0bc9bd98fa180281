"""What goes wrong with the machine under one process: its clock, its memory."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random

from chaos import clock, memory
from chaos.clock import ProcessClock
from chaos.fault import OPERATORS, RESOLVER, Kind
from chaos.memory import MemoryGroup
from chaos.program import Program
from chaos.system import System

#: Less than Python and what our processes import take: they are killed while they start.
TOO_FEW_MEBIBYTES = 40


@dataclass(slots=True)
class ClockOff:
    """A process's time of day jumps, and jumps back at the end."""

    choose: Callable[[System], Program]
    hours: int
    hit: list[ProcessClock] = field(default_factory=list)

    def start(self, system: System) -> None:
        self.hit = [ProcessClock(self.choose(system).kubeconfig.parent)]
        for each in self.hit:
            each.set_off(self.hours)

    def end(self, system: System) -> None:
        del system
        for each in self.hit:
            each.set_right()


@dataclass(slots=True)
class TooLittleMemory:
    """A process is started again with a limit that does not do, and is killed for it again and again until the end."""

    choose: Callable[[System], Program]
    hit: list[tuple[Program, MemoryGroup]] = field(default_factory=list)

    def start(self, system: System) -> None:
        program = self.choose(system)
        group = MemoryGroup(f"chaos-{program.name}", TOO_FEW_MEBIBYTES)
        self.hit = [(program, group)]
        program.kill()
        program.command_prefix = [*group.prefix]
        program.release()

    def end(self, system: System) -> None:
        for program, group in self.hit:
            program.command_prefix = []
            system.record.note("killed for want of memory", process=program.name, times=group.kills)
            group.close()


_WHOM: dict[str, tuple[Callable[[System], Program], frozenset[str]]] = {
    "leader": (System.leader, OPERATORS),
    "standby": (System.standby, OPERATORS),
    "resolver": (lambda system: system.resolver, RESOLVER),
}


def _clock_off(choose: Callable[[System], Program], hours: int, random: Random) -> ClockOff:
    del random
    return ClockOff(choose, hours)


def _too_little(choose: Callable[[System], Program], random: Random) -> TooLittleMemory:
    del random
    return TooLittleMemory(choose)


KINDS: Sequence[Kind] = [
    *(
        Kind(
            f"{whom}: clock {hours:+d} h",
            partial(_clock_off, choose, hours),
            touches,
            lacking=clock.lacking,
        )
        for whom, (choose, touches) in _WHOM.items()
        for hours in (1, -1)
    ),
    *(
        Kind(
            f"{whom}: too little memory",
            partial(_too_little, choose),
            touches,
            seconds=(3.0, 8.0),
            lacking=memory.lacking,
        )
        for whom, (choose, touches) in _WHOM.items()
    ),
]
