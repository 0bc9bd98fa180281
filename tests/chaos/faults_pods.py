"""Faults of pods, nodes and workloads: deletion, scaling, rolling updates."""

import json
import signal
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from random import Random
from typing import Any

from pykube.objects import StatefulSet

from chaos.fault import PODS, FaultKind
from chaos.system import PODS_SECONDS, SERVICES, System
from support.kubectl import Object
from support.service import Service
from support.waiting import eventually

_BIG, _SMALL, _SLOTTED = "game", "room", "document"

#: Keeps a pod from starting.
_HOLD = "localcluster/hold"

#: kubectl's message when no pod of the previous version is left.
_ROLLOUT_COMPLETE = "complete"


@dataclass(slots=True)
class DeletePods:
    """Deletes some pods of a service, with a quota that prevents new ones until the end."""

    pods: Sequence[int]
    service: str = _BIG
    quota: ExitStack = field(default_factory=ExitStack)

    @classmethod
    def from_random(cls, random: Random) -> "DeletePods":
        """Chooses at least ten pods, but not all."""
        number = SERVICES[_BIG].pods
        return cls(random.sample(range(number), random.randint(10, number - 2)))

    @classmethod
    def with_slots(cls, random: Random) -> "DeletePods":
        """Chooses one pod or two of the service with slots."""
        return cls(_some_with_slots(random), _SLOTTED)

    def start(self, system: System) -> None:
        all_pods = sum(each.pods for each in SERVICES.values())
        self.quota.enter_context(_service(system, self.service).pod_quota(all_pods - len(self.pods)))
        names = [f"{self.service}-{pod}" for pod in self.pods]
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


class AllNodesNotReady:
    """Makes every node not ready while kwok is suspended, which would restore them at once."""

    @classmethod
    def from_random(cls, random: Random) -> "AllNodesNotReady":
        del random
        return cls()

    def start(self, system: System) -> None:
        system.cluster.part("kwok").kill(signal.SIGSTOP)
        change = {"status": {"conditions": [{"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"}]}}
        options = ("--type=strategic", f"--patch={json.dumps(change)}", "--subresource=status")
        for node in self._nodes(system):
            system.kubectl.run("patch", node, *options).expect_success()

    def end(self, system: System) -> None:
        system.cluster.part("kwok").kill(signal.SIGCONT)
        ready = ("wait", "--for=condition=Ready", "--timeout=100s", *self._nodes(system))
        system.kubectl.run(*ready).expect_success()
        system.await_pods()

    @staticmethod
    def _nodes(system: System) -> Sequence[str]:
        return system.kubectl.run("get", "nodes", "--output=name").expect_success().stdout.split()


@dataclass(frozen=True, slots=True)
class StuckPods:
    """Replaces some pods by pods that do not start until the end, like those of an image that cannot be pulled."""

    pods: Sequence[int]

    @classmethod
    def from_random(cls, random: Random) -> "StuckPods":
        """Chooses a few pods."""
        return cls(random.sample(range(SERVICES[_BIG].pods), random.randint(2, 6)))

    def start(self, system: System) -> None:
        self._update_template(system, "true")
        names = [f"{_BIG}-{pod}" for pod in self.pods]
        system.kubectl.run("delete", "pod", *names, "--force", "--grace-period=0", "--wait=false").expect_success()

    def end(self, system: System) -> None:
        self._update_template(system, None)
        names = [f"{_BIG}-{pod}" for pod in self.pods]
        eventually(
            lambda: not system.kubectl.run("annotate", "pod", *names, f"{_HOLD}-").code,
            "the controller has created all pods",
            seconds=PODS_SECONDS,
        )
        system.await_pods()

    @staticmethod
    def _update_template(system: System, value: str | None) -> None:
        # The pods that are not deleted stay as they are.
        template = {"metadata": {"annotations": {_HOLD: value}}}
        change = {"spec": {"updateStrategy": {"type": "OnDelete", "rollingUpdate": None}, "template": template}}
        system.client.patch(StatefulSet, _BIG, system.namespace, change)


@dataclass(frozen=True, slots=True)
class ShutDownPods:
    """Shuts down some pods of a service, which hand their users over until the end."""

    pods: Sequence[int]

    @classmethod
    def from_random(cls, random: Random) -> "ShutDownPods":
        """Chooses a few pods."""
        return cls(random.sample(range(SERVICES[_BIG].pods), random.randint(1, 4)))

    def start(self, system: System) -> None:
        states = [{"index": pod, "routingState": "Shutdown"} for pod in sorted(self.pods)]
        _service(system, _BIG).edit_route(pods=states)

    def end(self, system: System) -> None:
        _service(system, _BIG).edit_route(pods=None)


@dataclass(frozen=True, slots=True)
class DenyUsers:
    """Lets some pods of the service with slots take no new users, so that they give their slots away, until the end."""

    pods: Sequence[int]

    @classmethod
    def from_random(cls, random: Random) -> "DenyUsers":
        """Chooses one pod or two."""
        return cls(_some_with_slots(random))

    def start(self, system: System) -> None:
        states = [{"index": pod, "routingState": "DenyNewCall"} for pod in sorted(self.pods)]
        _service(system, _SLOTTED).edit_route(pods=states)

    def end(self, system: System) -> None:
        _service(system, _SLOTTED).edit_route(pods=None)


class WithoutHandOver:
    """Takes the hand-overs from the service with slots until the end: slots move at once."""

    @classmethod
    def from_random(cls, random: Random) -> "WithoutHandOver":
        del random
        return cls()

    def start(self, system: System) -> None:
        _service(system, _SLOTTED).edit_route(handOver=None)

    def end(self, system: System) -> None:
        seconds = SERVICES[_SLOTTED].hand_over_seconds
        _service(system, _SLOTTED).edit_route(handOver={"timeoutSeconds": seconds})


@dataclass(frozen=True, slots=True)
class Scale:
    """Scales a service down, and back at the end."""

    service: str
    replicas: int

    @classmethod
    def to_zero(cls, random: Random) -> "Scale":
        del random
        return cls(_BIG, 0)

    @classmethod
    def with_slots(cls, random: Random) -> "Scale":
        """Chooses how many pods of the service with slots remain."""
        return cls(_SLOTTED, random.randrange(SERVICES[_SLOTTED].pods))

    def start(self, system: System) -> None:
        _service(system, self.service).scale(self.replicas)

    def end(self, system: System) -> None:
        _service(system, self.service).scale(SERVICES[self.service].pods)
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


def _some_with_slots(random: Random) -> Sequence[int]:
    return random.sample(range(SERVICES[_SLOTTED].pods), random.randint(1, 2))


def _service(system: System, name: str) -> Service:
    return next(each for each in system.services if each.name == name)


KINDS: Sequence[FaultKind] = [
    FaultKind("pods: lost by tens", DeletePods.from_random, PODS, seconds=(2.0, 8.0)),
    FaultKind("pods: stuck", StuckPods.from_random, PODS, seconds=(10.0, 20.0)),
    FaultKind("nodes: all not ready", AllNodesNotReady.from_random, PODS, seconds=(60.0, 60.0)),
    FaultKind("node: lost", DeleteNode.from_random, PODS, seconds=(3.0, 12.0)),
    FaultKind("pods: shut down", ShutDownPods.from_random, PODS, seconds=(4.0, 10.0)),
    FaultKind("pods: scaled to 0 and back", Scale.to_zero, PODS, seconds=(1.0, 6.0)),
    FaultKind("slots: pods lost", DeletePods.with_slots, PODS, seconds=(3.0, 8.0)),
    FaultKind("slots: pods take no new users", DenyUsers.from_random, PODS, seconds=(4.0, 10.0)),
    FaultKind("slots: hand-overs off and on", WithoutHandOver.from_random, PODS, seconds=(3.0, 8.0)),
    FaultKind("slots: scaled down and back", Scale.with_slots, PODS, seconds=(3.0, 8.0)),
    FaultKind("pods: rolled one by one", RollingUpdate.from_random, PODS, seconds=(1.0, 2.0)),
]
