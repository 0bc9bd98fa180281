"""Defines a fault: a single failure of the system, from its start to its end."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from chaos.system import System

#: The parts that faults affect. Faults of pods and nodes need a working API server, so they exclude faults of the
#: control plane.
OPERATORS, RESOLVER, DRIVER = frozenset({"operators"}), frozenset({"resolver"}), frozenset({"driver"})
CONTROL_PLANE, PODS = frozenset({"control plane"}), frozenset({"control plane", "pods"})


class Fault(Protocol):
    """A single failure.

    Both methods may take some seconds. An exception from `end` stops the run, because a fault that is not repaired
    would spoil all later results.
    """

    def start(self, system: "System") -> None:
        """Injects the fault. Targets that depend on the moment (the leader) are chosen here."""

    def end(self, system: "System") -> int | None:
        """Repairs the cause. After this returns, the system must recover without help.

        Returns:
            The number of requests and connections that the fault affected; None if they are not counted.
        """


@dataclass(frozen=True, slots=True)
class FaultKind:
    """A kind of fault.

    Attributes:
        name: the name in the report: target and failure, like `operator: kill -9`.
        make: creates a fault; all its random choices use the argument.
        affects: the affected parts: faults that affect the same part never overlap.
        seconds: the minimum and maximum duration.
        unsupported_reason: returns why this machine does not support the fault, or None.
    """

    name: str
    make: Callable[[Random], Fault]
    affects: frozenset[str]
    seconds: tuple[float, float] = (1.0, 6.0)
    unsupported_reason: Callable[[], str | None] = lambda: None
