"""Processes that die, hold still and are restarted: our own, and those of the control plane."""

import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random

from chaos.fault import CONTROL_PLANE, OPERATORS, RESOLVER, Fault, Kind
from chaos.program import Program
from chaos.system import System

Choice = Callable[[System], Sequence[Program]]


@dataclass(slots=True)
class _OnPrograms:
    """A fault of processes of ours."""

    choose: Choice
    hit: Sequence[Program] = field(default_factory=list)


class Kill(_OnPrograms):
    """`kill -9`, and a new start at the end."""

    def start(self, system: System) -> None:
        self.hit = self.choose(system)
        for each in self.hit:
            each.kill()

    def end(self, system: System) -> None:
        del system
        for each in self.hit:
            each.release()


class Freeze(_OnPrograms):
    """SIGSTOP, and SIGCONT at the end. Whoever was frozen for too long may then end."""

    def start(self, system: System) -> None:
        self.hit = self.choose(system)
        for each in self.hit:
            each.freeze()

    def end(self, system: System) -> None:
        del system
        for each in self.hit:
            each.thaw()


class Restart(_OnPrograms):
    """A stop in good order, and a new start at the end."""

    def start(self, system: System) -> None:
        self.hit = self.choose(system)
        for each in self.hit:
            system.record.note("stopped in good order", process=each.name, code=each.stop())

    def end(self, system: System) -> None:
        del system
        for each in self.hit:
            each.release()


@dataclass(frozen=True, slots=True)
class KillPart:
    """`kill -9` of a part of the control plane, and a new start at the end."""

    part: str

    def start(self, system: System) -> None:
        system.cluster.part(self.part).kill()

    def end(self, system: System) -> None:
        system.cluster.part(self.part).restart()


@dataclass(frozen=True, slots=True)
class FreezePart:
    """SIGSTOP of a part of the control plane, and SIGCONT at the end."""

    part: str

    def start(self, system: System) -> None:
        system.cluster.part(self.part).kill(signal.SIGSTOP)

    def end(self, system: System) -> None:
        system.cluster.part(self.part).kill(signal.SIGCONT)
        system.cluster.wait_ready()


@dataclass(frozen=True, slots=True)
class RestartPart:
    """A restart of a part of the control plane in good order, at the end."""

    part: str

    def start(self, system: System) -> None:
        system.cluster.part(self.part).end()

    def end(self, system: System) -> None:
        system.cluster.part(self.part).restart()


def _leader(system: System) -> Sequence[Program]:
    return [system.leader()]


def _standby(system: System) -> Sequence[Program]:
    return [system.standby()]


def _both(system: System) -> Sequence[Program]:
    return system.operators


def _resolver(system: System) -> Sequence[Program]:
    return [system.resolver]


_WHOM: dict[str, tuple[Choice, frozenset[str]]] = {
    "leader": (_leader, OPERATORS),
    "standby": (_standby, OPERATORS),
    "both operators": (_both, OPERATORS),
    "resolver": (_resolver, RESOLVER),
}

_HOW: dict[str, type[Kill] | type[Freeze] | type[Restart]] = {"kill -9": Kill, "frozen": Freeze, "restart": Restart}

_PARTS = {"API server": "apiserver", "etcd": "etcd"}

_HOW_PARTS: dict[str, type[KillPart] | type[FreezePart] | type[RestartPart]] = {
    "kill -9": KillPart,
    "frozen": FreezePart,
    "restart": RestartPart,
}


def _kind(name: str, fault: Callable[[], Fault], touches: frozenset[str]) -> Kind:
    return Kind(name, partial(_made, fault), touches)


def _made(fault: Callable[[], Fault], random: Random) -> Fault:
    del random
    return fault()


KINDS: Sequence[Kind] = [
    *(
        _kind(f"{whom}: {how}", partial(fault, choose), touches)
        for whom, (choose, touches) in _WHOM.items()
        for how, fault in _HOW.items()
    ),
    *(
        _kind(f"{whom}: {how}", partial(fault, part), CONTROL_PLANE)
        for whom, part in _PARTS.items()
        for how, fault in _HOW_PARTS.items()
    ),
]
