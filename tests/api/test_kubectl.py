"""The two kinds in kubectl: resource names, columns, field selectors, and `kubectl explain`."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from support.kubectl import Kubectl
from support.namespaces import fresh_namespace
from support.objects import condition, encoded_name, pod_link, stateful_route
from support.waiting import eventually

LINKS = ("fleet.alice", "game.alice", "game.carol", "game.x-426f62")


@pytest.fixture(scope="module")
def play(installed: Kubectl) -> Iterator[Kubectl]:
    """Returns a kubectl in a namespace with a route, two bound links, a pending one, and a link of another route."""
    with fresh_namespace(installed) as name:
        here = installed.within(name)
        here.create(stateful_route())
        here.create(pod_link(podIndex=2))
        here.create(pod_link(encoded_name("game", "Bob"), uid="Bob", podIndex=1))
        here.create(pod_link(uid="carol"))
        here.create(pod_link(routeName="fleet", podName="fleet-5d8f-x2"))
        set_status(
            here, "podlink", "game.alice", phase="Bound", podIndex=2, podName="game-2", host="game-2.game.play.svc"
        )
        set_status(here, "podlink", "game.carol", phase="Pending", conditions=[condition(reason="NoAvailablePod")])
        set_status(
            here,
            "sr",
            "game",
            workloadState="Idle",
            replicas=3,
            routablePods=2,
            links=2,
            bestPodIndex=0,
            bestPodName="game-0",
            conditions=[condition(reason="Routable")],
        )
        yield here


def set_status(here: Kubectl, kind: str, name: str, **status: Any) -> None:
    here.patch(kind, name, {"status": status}, "--subresource=status").expect_success()


@pytest.mark.parametrize("alias", ["pl", "podlink", "podlinks", "podlinks.v1alpha1.statefulroute.io"])
def test_links_are_listed_by_each_resource_name(play: Kubectl, alias: str) -> None:
    names = play.run("get", alias, "--output=name").expect_success().stdout.split()
    assert names == [f"podlink.statefulroute.io/{name}" for name in LINKS]


@pytest.mark.parametrize("alias", ["sr", "statefulroute", "statefulroutes"])
def test_routes_are_listed_by_each_resource_name(play: Kubectl, alias: str) -> None:
    names = play.run("get", alias, "--output=name").expect_success().stdout.split()
    assert names == ["statefulroute.statefulroute.io/game"]


def test_category_lists_both_kinds(play: Kubectl) -> None:
    names = play.run("get", "stateful-routing", "--output=name").expect_success().stdout.split()
    assert {name.split(".")[0] for name in names} == {"podlink", "statefulroute"}


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("spec.uid=alice", ["fleet.alice", "game.alice"]),
        ("spec.uid=Bob", ["game.x-426f62"]),
        ("spec.uid=no-user", []),
        ("spec.routeName=game", ["game.alice", "game.carol", "game.x-426f62"]),
        ("spec.routeName!=game", ["fleet.alice"]),
        ("spec.podIndex=2", ["game.alice"]),
        ("spec.podName=fleet-5d8f-x2", ["fleet.alice"]),
        ("spec.podIndex=1,spec.uid=Bob", ["game.x-426f62"]),
        ("status.phase=Pending", ["game.carol"]),
        ("status.phase=Bound,spec.routeName=game", ["game.alice"]),
    ],
)
def test_links_are_selected_by_field_selectors(play: Kubectl, selector: str, names: list[str]) -> None:
    items = play.get_json("podlinks", f"--field-selector={selector}")["items"]
    assert [item["metadata"]["name"] for item in items] == names


@pytest.mark.parametrize(
    ("command", "columns"),
    [
        ("get pl", "NAME ROUTE UID POD PHASE REASON AGE"),
        ("get pl -o wide", "NAME ROUTE UID SLOT POD PHASE REASON EXPIRES HOST AGE"),
        ("get sr", "NAME READY ROUTING WORKLOAD REPLICAS ROUTABLE LINKS UNSERVED BEST AGE"),
        ("get sr -o wide", "NAME READY ROUTING WORKLOAD REPLICAS ROUTABLE LINKS UNSERVED BEST REASON AGE"),
    ],
)
def test_printer_columns(play: Kubectl, command: str, columns: str) -> None:
    assert play.run(*command.split()).expect_success().stdout.splitlines()[0].split() == columns.split()


@pytest.mark.parametrize(
    ("command", "cells"),
    [
        ("get pl game.alice -o wide", "game.alice game alice game-2 Bound game-2.game.play.svc"),
        ("get pl game.carol", "game.carol game carol Pending NoAvailablePod"),
        ("get sr -o wide", "game True Ready Idle 3 2 2 game-0 Routable"),
    ],
)
def test_values_of_printer_columns(play: Kubectl, command: str, cells: str) -> None:
    *shown, _age = play.run(*command.split(), "--no-headers").expect_success().stdout.split()
    assert shown == cells.split()


def test_routes_are_scaled(play: Kubectl) -> None:
    play.patch("statefulroute", "game", {"spec": {"replicas": 3}}).expect_success()
    play.run("scale", "statefulroute", "game", "--current-replicas=3", "--replicas=5").expect_success()
    scale = play.run("get", "statefulroute", "game", "--subresource=scale", "--output=json").expect_success().object
    assert (scale["spec"], scale["status"]["replicas"]) == ({"replicas": 5}, 3)


def test_routes_without_replicas_have_no_scale_until_they_are_scaled(play: Kubectl) -> None:
    play.create(stateful_route("unscaled"))
    shown = play.run("get", "statefulroute", "unscaled", "--subresource=scale")
    play.run("scale", "statefulroute", "unscaled", "--replicas=5").expect_success()
    scaled = play.get_json("statefulroute", "unscaled")
    play.run("delete", "statefulroute", "unscaled").expect_success()
    assert 'the spec replicas field ".spec.replicas" does not exist' in shown.stderr
    assert scaled["spec"]["replicas"] == 5


@pytest.fixture(scope="module")
def published(installed: Kubectl) -> dict[str, dict[str, Any]]:
    """Returns the published schemas by kind. The API server publishes them shortly after it establishes the CRDs."""
    schemas_by_kind: dict[str, dict[str, Any]] = {}

    def are_published() -> bool:
        response = installed.run("get", "--raw", "/openapi/v3/apis/statefulroute.io/v1alpha1")
        schemas = json.loads(response.stdout)["components"]["schemas"] if response.code == 0 else {}
        schemas_by_kind.update({name.rsplit(".", 1)[-1]: schema for name, schema in schemas.items()})
        return {"PodLink", "StatefulRoute"} <= schemas_by_kind.keys()

    eventually(are_published, "the API server publishes both kinds")
    return schemas_by_kind


def properties(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields all fields below a schema, each with its path."""
    for name, field in schema.get("properties", {}).items():
        yield f"{path}.{name}", field
        if name != "metadata":
            yield from properties(field, f"{path}.{name}")
            yield from properties(field.get("items", {}), f"{path}.{name}")


@pytest.mark.parametrize("kind", ["PodLink", "StatefulRoute"])
def test_each_published_field_has_a_description(published: dict[str, dict[str, Any]], kind: str) -> None:
    fields = dict(properties(published[kind], kind))
    assert f"{kind}.status.conditions.message" in fields
    assert [path for path, field in fields.items() if not field.get("description")] == []


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("podlink", "A PodLink binds one uid, or one slot of uids, to one pod of a stateful service."),
        ("podlink.spec.podIndex", "The index of the pod that the uid or slot is bound to."),
        ("podlink.spec.podName", "The name of the pod, for workloads whose pods have no index"),
        ("podlink.status.host", "The stable DNS name of the pod."),
        ("podlink.status.phase", "One of Pending, Bound, HandingOver, Lost, Rejected, or a value of a later version."),
        ("statefulroute", "A StatefulRoute routes the users of one stateful service"),
        ("sr.spec.load.http", "The endpoint that the operator polls if the source is HTTP."),
        ("sr.spec.namedPods", "Overrides the routing state of pods without an index."),
        ("sr.spec.onPodLost.action", "Keep marks the links Lost"),
        ("sr.status.pods.weightedLoadMilli", "The weighted load, in thousandths."),
    ],
)
def test_kubectl_explain_shows_the_description(installed: Kubectl, path: str, text: str) -> None:
    explained = installed.run("explain", path).expect_success().stdout
    assert text in " ".join(explained.split())
