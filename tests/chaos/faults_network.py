"""Faults between a client and the API server, and in the client's credentials."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random

from chaos.fault import CONTROL_PLANE, DRIVER, OPERATORS, RESOLVER, FaultKind
from chaos.proxy import FaultProxy
from chaos.supervised_process import SupervisedProcess
from chaos.system import System

#: The faults of a proxy, by their names in the report.
MODES: dict[str, Callable[[FaultProxy], None]] = {
    "answers are slow": lambda proxy: proxy.slow(2.0),
    "429": lambda proxy: proxy.too_many_requests(share=0.7),
    "500": lambda proxy: proxy.fail(500, share=0.7),
    "504": lambda proxy: proxy.fail(504, share=0.7),
    "504 after the write": lambda proxy: proxy.time_out_afterwards(share=0.7),
    "watches are dropped": lambda proxy: proxy.drop_watches(),
    "410 instead of a watch": lambda proxy: proxy.expire_watches(),
    "410 within a watch": lambda proxy: proxy.fail_watches(410),
    "500 within a watch": lambda proxy: proxy.fail_watches(500),
    "429 within a watch": lambda proxy: proxy.fail_watches(429),
    "connections are half open": lambda proxy: proxy.half_open(),
    "connections are refused": lambda proxy: proxy.refuse(),
    "the date is an hour ahead": lambda proxy: proxy.skew_date(3600, share=0.7),
}


@dataclass(slots=True)
class NetworkFault:
    """Injects a fault by a client's proxy, and removes it at the end."""

    choose: Callable[[System], FaultProxy]
    inject: Callable[[FaultProxy], None]
    proxy: FaultProxy | None = None
    hits_before: int = 0

    def start(self, system: System) -> None:
        self.proxy = self.choose(system)
        self.hits_before = self.proxy.hits
        self.inject(self.proxy)

    def end(self, system: System) -> int:
        del system
        assert self.proxy is not None
        self.proxy.heal()
        return self.proxy.hits - self.hits_before


@dataclass(frozen=True, slots=True)
class RotateToken:
    """Replaces the token in a process's file; the old token is no longer accepted."""

    choose: Callable[[System], SupervisedProcess]

    def start(self, system: System) -> None:
        program = self.choose(system)
        program.proxy.rotate_token(program.new_token())

    def end(self, system: System) -> None:
        """Does nothing: the process must find the new token without help."""


@dataclass(frozen=True, slots=True)
class RotateAuthority:
    """Replaces the certificate authority of the API server's certificate, also in the client's file."""

    choose: Callable[[System], FaultProxy]

    def start(self, system: System) -> None:
        self.choose(system).rotate_authority()

    def end(self, system: System) -> None:
        """Does nothing: the process must find the new authority without help."""


_PROCESSES: dict[str, tuple[Callable[[System], SupervisedProcess], frozenset[str]]] = {
    "leader": (System.leader, OPERATORS),
    "standby": (System.standby, OPERATORS),
    "resolver": (lambda system: system.resolver, RESOLVER),
}


def _proxy(choose: Callable[[System], SupervisedProcess], system: System) -> FaultProxy:
    return choose(system).proxy


_PROXIES: dict[str, tuple[Callable[[System], FaultProxy], frozenset[str]]] = {
    **{target: (partial(_proxy, choose), touches) for target, (choose, touches) in _PROCESSES.items()},
    "driver": (lambda system: system.driver_proxy, DRIVER),
}


def _network_fault(
    choose: Callable[[System], FaultProxy], show: Callable[[FaultProxy], None], random: Random
) -> NetworkFault:
    del random
    return NetworkFault(choose, show)


def _token(choose: Callable[[System], SupervisedProcess], random: Random) -> RotateToken:
    del random
    return RotateToken(choose)


def _authority(choose: Callable[[System], FaultProxy], random: Random) -> RotateAuthority:
    del random
    return RotateAuthority(choose)


KINDS: Sequence[FaultKind] = [
    *(
        FaultKind(f"{target}: {fault}", partial(_network_fault, choose, show), touches)
        for target, (choose, touches) in _PROXIES.items()
        for fault, show in MODES.items()
    ),
    *(
        # A new token requires an API server that responds.
        FaultKind(f"{target}: token rotated", partial(_token, choose), touches | CONTROL_PLANE)
        for target, (choose, touches) in _PROCESSES.items()
    ),
    *(
        FaultKind(f"{target}: authority rotated", partial(_authority, choose), touches)
        for target, (choose, touches) in _PROXIES.items()
    ),
]
