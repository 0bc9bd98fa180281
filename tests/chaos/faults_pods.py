"""Faults of pods, nodes and workloads: deletion, scaling, rolling updates."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from random import Random
from typing import Any

from chaos.fault import PODS, FaultKind
from chaos.system import PODS_SECONDS, SERVICES, System
from support.kubectl import Object
from support.service import Service
from support.waiting import eventually

_BIG, _SMALL = "game", "room"

#: kubectl's message when no pod of the previous version is left.
_ROLLOUT_COMPLETE = "complete"


@dataclass(slots=True)
class DeletePods:
    """Deletes some pods of a service, with a quota that prevents new ones until the end."""

    pods: Sequence[int]
    quota: ExitStack = field(default_factory=ExitStack)

    @classmethod
    def from_random(cls, random: Random) -> "DeletePods":
        """Chooses at least ten pods, but not all."""
        number = SERVICES[_BIG][0]
        return cls(random.sample(range(number), random.randint(10, number - 2)))

    def start(self, system: System) -> None:
        all_pods = sum(pods for pods, _, _ in SERVICES.values())
        self.quota.enter_context(_service(system, _BIG).pod_quota(all_pods - len(self.pods)))
        names = [f"{_BIG}-{pod}" for pod in self.pods]
        system.kubectl.run("delete", "pod", *names, "--force", "--grace-period=0", "--wait=false").expect_success()

    def end(self, system: System) -> None:
        self.quota.close()
        system.await_pods()


@dataclass(slots=True)
class DeleteNode:
    """Deletes a node with its pods, and recreates it at the end."""

    number: int
    node: Object = field(default_factory=dict)

    @classmethod
    def from_random(cls, random: Random) -> "DeleteNode":
        return cls(random.randrange(1, 4))

    def start(self, system: System) -> None:
        node = f"node-{self.number}"
        self.node = system.kubectl.get_json("node", node)
        system.kubectl.run("delete", "node", node).expect_success()

    def end(self, system: System) -> None:
        metadata: dict[str, Any] = self.node["metadata"]
        kept = {field: metadata[field] for field in ("name", "labels", "annotations")}
        node = {"apiVersion": "v1", "kind": "Node", "metadata": kept, "status": self.node["status"]}
        system.kubectl.create(node)
        name = f"node/node-{self.number}"
        system.kubectl.run("wait", "--for=condition=Ready", "--timeout=50s", name).expect_success()
        system.await_pods()


class ScaleToZero:
    """Scales a service to zero, and back at the end."""

    @classmethod
    def from_random(cls, random: Random) -> "ScaleToZero":
        del random
        return cls()

    def start(self, system: System) -> None:
        _service(system, _BIG).scale(0)

    def end(self, system: System) -> None:
        _service(system, _BIG).scale(SERVICES[_BIG][0])
        system.await_pods()


class RollingUpdate:
    """Replaces the pods of a service one by one, as for a new version."""

    @classmethod
    def from_random(cls, random: Random) -> "RollingUpdate":
        del random
        return cls()

    def start(self, system: System) -> None:
        system.kubectl.run("rollout", "restart", f"statefulset/{_SMALL}").expect_success()

    def end(self, system: System) -> None:
        status = ("rollout", "status", f"statefulset/{_SMALL}", "--watch=false")
        eventually(
            lambda: _ROLLOUT_COMPLETE in system.kubectl.run(*status).expect_success().stdout,
            f"every pod of {_SMALL} is replaced",
            seconds=PODS_SECONDS,
        )
        system.await_pods()


def _service(system: System, name: str) -> Service:
    return next(each for each in system.services if each.name == name)


KINDS: Sequence[FaultKind] = [
    FaultKind("pods: lost by tens", DeletePods.from_random, PODS, seconds=(2.0, 8.0)),
    FaultKind("node: lost", DeleteNode.from_random, PODS, seconds=(3.0, 12.0)),
    FaultKind("pods: scaled to 0 and back", ScaleToZero.from_random, PODS, seconds=(1.0, 6.0)),
    FaultKind("pods: rolled one by one", RollingUpdate.from_random, PODS, seconds=(1.0, 2.0)),
]
