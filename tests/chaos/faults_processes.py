"""Faults of processes: killed, suspended and restarted operators, resolver, and control plane components."""

import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random

from chaos.fault import CONTROL_PLANE, OPERATORS, RESOLVER, Fault, FaultKind
from chaos.supervised_process import SupervisedProcess
from chaos.system import System

Targets = Callable[[System], Sequence[SupervisedProcess]]


@dataclass(slots=True)
class _ProcessFault:
    """A fault of the product's processes."""

    choose: Targets
    affected: Sequence[SupervisedProcess] = field(default_factory=list)


class Kill(_ProcessFault):
    """Sends SIGKILL; starts the process again at the end."""

    def start(self, system: System) -> None:
        self.affected = self.choose(system)
        for each in self.affected:
            each.kill()

    def end(self, system: System) -> None:
        del system
        for each in self.affected:
            each.enable()


class Freeze(_ProcessFault):
    """Sends SIGSTOP; sends SIGCONT at the end. A process may exit after a long suspension."""

    def start(self, system: System) -> None:
        self.affected = self.choose(system)
        for each in self.affected:
            each.freeze()

    def end(self, system: System) -> None:
        del system
        for each in self.affected:
            each.thaw()


class Restart(_ProcessFault):
    """Stops the process gracefully; starts it again at the end."""

    def start(self, system: System) -> None:
        self.affected = self.choose(system)
        for each in self.affected:
            system.record.log("stopped in good order", process=each.name, code=each.stop())

    def end(self, system: System) -> None:
        del system
        for each in self.affected:
            each.enable()


@dataclass(frozen=True, slots=True)
class KillComponent:
    """Kills a component of the control plane; starts it again at the end."""

    component: str

    def start(self, system: System) -> None:
        system.cluster.part(self.component).kill()

    def end(self, system: System) -> None:
        system.cluster.part(self.component).restart()


@dataclass(frozen=True, slots=True)
class FreezeComponent:
    """Sends SIGSTOP to a component of the control plane; sends SIGCONT at the end."""

    component: str

    def start(self, system: System) -> None:
        system.cluster.part(self.component).kill(signal.SIGSTOP)

    def end(self, system: System) -> None:
        system.cluster.part(self.component).kill(signal.SIGCONT)
        system.cluster.wait_ready()


@dataclass(frozen=True, slots=True)
class RestartComponent:
    """Restarts a component of the control plane gracefully, at the end."""

    component: str

    def start(self, system: System) -> None:
        system.cluster.part(self.component).end()

    def end(self, system: System) -> None:
        system.cluster.part(self.component).restart()


def _leader(system: System) -> Sequence[SupervisedProcess]:
    return [system.leader()]


def _standby(system: System) -> Sequence[SupervisedProcess]:
    return [system.standby()]


def _both(system: System) -> Sequence[SupervisedProcess]:
    return system.operators


def _resolver(system: System) -> Sequence[SupervisedProcess]:
    return [system.resolver]


_TARGETS: dict[str, tuple[Targets, frozenset[str]]] = {
    "leader": (_leader, OPERATORS),
    "standby": (_standby, OPERATORS),
    "both operators": (_both, OPERATORS),
    "resolver": (_resolver, RESOLVER),
}

_ACTIONS: dict[str, type[Kill] | type[Freeze] | type[Restart]] = {"kill -9": Kill, "frozen": Freeze, "restart": Restart}

_COMPONENTS = {"API server": "apiserver", "etcd": "etcd"}

_COMPONENT_ACTIONS: dict[str, type[KillComponent] | type[FreezeComponent] | type[RestartComponent]] = {
    "kill -9": KillComponent,
    "frozen": FreezeComponent,
    "restart": RestartComponent,
}


def _kind(name: str, fault: Callable[[], Fault], touches: frozenset[str]) -> FaultKind:
    return FaultKind(name, partial(_made, fault), touches)


def _made(fault: Callable[[], Fault], random: Random) -> Fault:
    del random
    return fault()


KINDS: Sequence[FaultKind] = [
    *(
        _kind(f"{whom}: {how}", partial(fault, choose), touches)
        for whom, (choose, touches) in _TARGETS.items()
        for how, fault in _ACTIONS.items()
    ),
    *(
        _kind(f"{whom}: {how}", partial(fault, part), CONTROL_PLANE)
        for whom, part in _COMPONENTS.items()
        for how, fault in _COMPONENT_ACTIONS.items()
    ),
]
