"""What a fault is: one thing that goes wrong with the system, from its start to its end."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from chaos.system import System

#: What faults disturb. To lose pods or a node takes an API server that does what it is told, so neither comes together
#: with a fault of the control plane.
OPERATORS, RESOLVER, DRIVER = frozenset({"operators"}), frozenset({"resolver"}), frozenset({"driver"})
CONTROL_PLANE, PODS = frozenset({"control plane"}), frozenset({"control plane", "pods"})


class Fault(Protocol):
    """One thing that goes wrong, once.

    Both methods may take some seconds. What `end` raises ends the run: a fault that cannot be put right would spoil all
    that comes after it.
    """

    def start(self, system: "System") -> None:
        """Have it go wrong. Whom it hits is decided here, where it depends on the moment (who leads?)."""

    def end(self, system: "System") -> int | None:
        """Put its cause right. From the moment that this returns, the system has to heal by itself.

        Returns:
            How many requests and connections have met it; None where that is not counted.
        """


@dataclass(frozen=True, slots=True)
class FaultKind:
    """A kind of fault, as the schedule draws it.

    Attributes:
        name: as the report shows it: whom it hits and how, like `operator: kill -9`.
        make: makes a fault of the kind; all that is random in it comes from the argument.
        affects: what it disturbs: faults that touch the same are never there at the same time.
        seconds: how long it lasts, at the least and at the most.
        unsupported_reason: why this machine cannot have it, as a sentence; None where it can.
    """

    name: str
    make: Callable[[Random], Fault]
    affects: frozenset[str]
    seconds: tuple[float, float] = (1.0, 6.0)
    unsupported_reason: Callable[[], str | None] = lambda: None
