"""Faults in cluster objects: replaced CRDs, a flood of links, malformed annotations."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random

from pykube.exceptions import HTTPError
from pykube.objects import Pod

from chaos.fault import CONTROL_PLANE, DRIVER, OPERATORS, PODS, RESOLVER, FaultKind
from chaos.system import SERVICES, System
from support.independent_client import PodLink, StatefulRoute
from support.kubectl import Object
from support.newer_definitions import NEWER
from support.objects import condition
from support.waiting import eventually

_CRDS = Path(__file__).parents[2] / "crds"
_DEFINITIONS = ("podlinks.statefulroute.io", "statefulroutes.statefulroute.io")

#: The API server waits a minute for links that were created during the deletion of all links, and deletes again.
_GONE_SECONDS = 180.0

#: Values that pods may write, because annotations are arbitrary text.
MALFORMED_VALUES: Sequence[dict[str, str]] = (
    {"load-state": "-1", "waiting-tasks": "NaN"},
    {"load-state": "1e309", "waiting-tasks": "99999999999999999999999999"},
    {"load-state": "\u0669", "report-time": "yesterday"},
    {"load-state": "9" * 100_000},
    {"load-state": "", "waiting-tasks": " ", "routing-state": "Asleep", "report-time": "9999-99-99T99:99:99Z"},
    {"load-state": '{"a": 1}', "report-time": "+292277026596-12-04T15:30:07Z"},
)

#: The number of links that get a status of a newer version.
_NEWER_LINKS = 100

_flood = count()


@dataclass(slots=True)
class ReplaceDefinitions:
    """Deletes both CRDs with all objects, and recreates them with the routes at the end."""

    routes: Sequence[Object] = field(default_factory=list)

    @classmethod
    def from_random(cls, random: Random) -> "ReplaceDefinitions":
        del random
        return cls()

    def start(self, system: System) -> None:
        self.routes = system.client.all(StatefulRoute, system.namespace)
        system.kubectl.run("delete", "customresourcedefinition", *_DEFINITIONS, "--wait=false").expect_success()

    def end(self, system: System) -> None:
        definitions = ("get", "customresourcedefinitions", *_DEFINITIONS, "--ignore-not-found", "--output=name")
        eventually(
            lambda: not system.kubectl.run(*definitions).expect_success().stdout,
            "both kinds are deleted",
            seconds=_GONE_SECONDS,
        )
        system.kubectl.run("apply", "--filename", str(_CRDS)).expect_success()
        eventually(lambda: not system.kubectl.run("get", "podlinks,statefulroutes").code, "both kinds can be listed")
        for route in self.routes:
            fresh = {field: route[field] for field in ("apiVersion", "kind", "spec")}
            system.client.create({**fresh, "metadata": {"name": route["metadata"]["name"]}}, system.namespace)


@dataclass(slots=True)
class FloodLinks:
    """Creates as many links as a client can, and deletes them at the end."""

    number: int
    names: Sequence[str] = field(default_factory=list)

    @classmethod
    def from_random(cls, random: Random) -> "FloodLinks":
        return cls(random.randint(300, 700))

    def start(self, system: System) -> None:
        wave = next(_flood)
        service = system.services[0]
        self.names = service.link_all([f"hostile-{wave}-{each}" for each in range(self.number)])

    def end(self, system: System) -> None:
        system.client.in_parallel(lambda name: system.client.delete(PodLink, name, system.namespace), self.names)


@dataclass(slots=True)
class MalformedAnnotations:
    """Writes malformed annotations to pods, and removes them at the end."""

    annotations: dict[int, dict[str, str]]

    @classmethod
    def from_random(cls, random: Random) -> "MalformedAnnotations":
        pods = random.sample(range(SERVICES["game"].pods), len(MALFORMED_VALUES))
        return cls(dict(zip(pods, MALFORMED_VALUES, strict=True)))

    def start(self, system: System) -> None:
        self._annotate(system, self.annotations)

    def end(self, system: System) -> None:
        self._annotate(system, {pod: dict.fromkeys(names) for pod, names in self.annotations.items()})

    @staticmethod
    def _annotate(system: System, values_by_pod: Mapping[int, Mapping[str, str | None]]) -> None:
        for pod, values in values_by_pod.items():
            annotations = {f"statefulroute.io/{name}": value for name, value in values.items()}
            system.client.patch(Pod, f"game-{pod}", system.namespace, {"metadata": {"annotations": annotations}})


@dataclass(slots=True)
class NewerStatuses:
    """Writes statuses with values that this version does not know, as a newer operator does before a rollback."""

    seed: int

    @classmethod
    def from_random(cls, random: Random) -> "NewerStatuses":
        return cls(random.getrandbits(32))

    def start(self, system: System) -> None:
        for route in system.client.all(StatefulRoute, system.namespace):
            pods = [pod | {"serviceState": NEWER, "routingState": NEWER} for pod in route["status"].get("pods", ())]
            status = {
                "routingState": NEWER,
                "workloadState": NEWER,
                "pods": pods,
                "conditions": [condition(type=NEWER)],
            }
            system.client.patch_status(StatefulRoute, route["metadata"]["name"], system.namespace, status)
        names = sorted(link["metadata"]["name"] for link in system.client.all(PodLink, system.namespace))
        chosen = Random(self.seed).sample(names, min(len(names), _NEWER_LINKS))
        system.client.in_parallel(lambda name: self._change_link(system, name), chosen)

    def end(self, system: System) -> None:
        """Does nothing: the operator must replace the statuses without help."""

    @staticmethod
    def _change_link(system: System, name: str) -> None:
        status = {"phase": NEWER, "conditions": [condition(reason=NEWER), condition(type=NEWER)]}
        with suppress(HTTPError):  # its user has removed it
            system.client.patch_status(PodLink, name, system.namespace, status)


KINDS: Sequence[FaultKind] = [
    FaultKind(
        "definitions: deleted and recreated",
        ReplaceDefinitions.from_random,
        PODS | OPERATORS | RESOLVER | DRIVER,  # an unavailable operator could not finalize a route
        seconds=(2.0, 6.0),
    ),
    FaultKind("statuses: of a newer version", NewerStatuses.from_random, CONTROL_PLANE, seconds=(0.0, 1.0)),
    FaultKind("links: a flood", FloodLinks.from_random, PODS, seconds=(0.0, 1.0)),
    FaultKind("pods: malformed annotations", MalformedAnnotations.from_random, PODS),
]
