"""Pods and nodes that are lost, and workloads that shrink and are rolled."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from random import Random
from typing import Any

from chaos.fault import PODS, Kind
from chaos.system import PODS_SECONDS, SERVICES, System
from harness.kubectl import Object
from harness.patience import eventually

_BIG, _SMALL = "game", "room"

#: What kubectl says once no pod of the version before is left.
_ROLLED = "complete"


@dataclass(slots=True)
class PodsLost:
    """Some pods of a service are gone from one moment to the next; until the end there is no room for new ones."""

    pods: Sequence[int]
    room: ExitStack = field(default_factory=ExitStack)

    @classmethod
    def drawn(cls, random: Random) -> "PodsLost":
        """At least ten, and not all."""
        number = SERVICES[_BIG][0]
        return cls(random.sample(range(number), random.randint(10, number - 2)))

    def start(self, system: System) -> None:
        all_pods = sum(pods for pods, _, _ in SERVICES.values())
        self.room.enter_context(_service(system, _BIG).only_pods(all_pods - len(self.pods)))
        names = [f"{_BIG}-{pod}" for pod in self.pods]
        system.kubectl.run("delete", "pod", *names, "--force", "--grace-period=0", "--wait=false").expect_success()

    def end(self, system: System) -> None:
        self.room.close()
        system.await_pods()


@dataclass(slots=True)
class NodeLost:
    """A node does not exist for a while, and its pods with it."""

    number: int
    known: Object = field(default_factory=dict)

    @classmethod
    def drawn(cls, random: Random) -> "NodeLost":
        return cls(random.randrange(1, 4))

    def start(self, system: System) -> None:
        node = f"node-{self.number}"
        self.known = system.kubectl.get_json("node", node)
        system.kubectl.run("delete", "node", node).expect_success()

    def end(self, system: System) -> None:
        metadata: dict[str, Any] = self.known["metadata"]
        kept = {field: metadata[field] for field in ("name", "labels", "annotations")}
        node = {"apiVersion": "v1", "kind": "Node", "metadata": kept, "status": self.known["status"]}
        system.kubectl.create(node)
        name = f"node/node-{self.number}"
        system.kubectl.run("wait", "--for=condition=Ready", "--timeout=50s", name).expect_success()
        system.await_pods()


class ToZero:
    """A service is scaled to no pod at all, and back."""

    @classmethod
    def drawn(cls, random: Random) -> "ToZero":
        del random
        return cls()

    def start(self, system: System) -> None:
        _service(system, _BIG).scale(0)

    def end(self, system: System) -> None:
        _service(system, _BIG).scale(SERVICES[_BIG][0])
        system.await_pods()


class Rolled:
    """A service's pods are replaced one by one, as by a new version of it."""

    @classmethod
    def drawn(cls, random: Random) -> "Rolled":
        del random
        return cls()

    def start(self, system: System) -> None:
        system.kubectl.run("rollout", "restart", f"statefulset/{_SMALL}").expect_success()

    def end(self, system: System) -> None:
        status = ("rollout", "status", f"statefulset/{_SMALL}", "--watch=false")
        eventually(
            lambda: _ROLLED in system.kubectl.run(*status).expect_success().stdout,
            f"every pod of {_SMALL} is replaced",
            seconds=PODS_SECONDS,
        )
        system.await_pods()


def _service(system: System, name: str) -> Any:
    return next(each for each in system.services if each.name == name)


KINDS: Sequence[Kind] = [
    Kind("pods: lost by tens", PodsLost.drawn, PODS, seconds=(2.0, 8.0)),
    Kind("node: lost", NodeLost.drawn, PODS, seconds=(3.0, 12.0)),
    Kind("pods: scaled to 0 and back", ToZero.drawn, PODS, seconds=(1.0, 6.0)),
    Kind("pods: rolled one by one", Rolled.drawn, PODS, seconds=(1.0, 2.0)),
]
