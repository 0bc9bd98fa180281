"""The status of a link: its phase, its pod, its previous pod and its times, with reasons of a closed vocabulary."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from pykube.exceptions import HTTPError

from statefulroute.api.vocabulary import LinkPhase, LinkReason
from support.independent_client import PodLink
from support.kubectl import Kubectl
from support.link_recorder import LinkRecorder
from support.objects import pod_link
from support.service import DENY_NEW_CALLS, NO_ROUTING_STATE, SHUT_DOWN, Service, condition_of
from support.waiting import eventually

pytestmark = pytest.mark.usefixtures("operator")

DEFINITION = next((Path(__file__).parents[2] / "crds").glob("*podlinks*"))


def deny_by_annotation(game: Service) -> None:
    for index in range(3):
        game.annotate(index, DENY_NEW_CALLS)


def deny_by_override(game: Service) -> None:
    game.edit_route(pods=[{"index": index, "routingState": "DenyNewCall"} for index in range(3)])


def deny_by_route(game: Service) -> None:
    game.edit_route(routingState="DenyNewCall")


def allow_new_calls(game: Service) -> None:
    for index in range(3):
        game.annotate(index, NO_ROUTING_STATE)
    game.edit_route(pods=None, routingState="Ready")


@pytest.mark.parametrize("deny", [deny_by_annotation, deny_by_override, deny_by_route], ids=lambda deny: deny.__name__)
def test_pods_that_deny_new_calls_keep_their_users_and_take_no_new_ones(
    deny: Any, shared_service: Service, history: LinkRecorder
) -> None:
    uid = deny.__name__.replace("_", "-")
    holds = shared_service.link(uid, podIndex=1)
    shared_service.await_bound(holds)
    deny(shared_service)
    shared_service.await_status(bestPodIndex=None)
    waits = shared_service.link(f"{uid}-late")
    shared_service.await_link(waits, "Pending", "NoAvailablePod")
    wait = ("wait", "--for=condition=Ready", "--timeout=2s")
    shared_service.kubectl.run(*wait, f"podlink/{holds}").expect_success()
    assert "timed out" in shared_service.kubectl.run(*wait, f"podlink/{waits}").stderr
    allow_new_calls(shared_service)
    shared_service.kubectl.run("wait", "--for=condition=Ready", "--timeout=50s", f"podlink/{waits}").expect_success()
    eventually(lambda: "bestPodIndex" in shared_service.route_status(), "the route takes new users again")
    assert history.transitions(holds) == ["created", "Bound"]


def test_every_status_has_known_values_and_the_current_generation(shared_service: Service) -> None:
    shared_service.set_on_pod_lost("Keep")
    names = [
        shared_service.link("bound", podIndex=0),
        shared_service.link("chosen"),
        shared_service.link("temporary", podIndex=1, ttlSeconds=600),
        shared_service.link("early", podIndex=8),
        Service(shared_service.kubectl, shared_service.client, "nowhere").link("alice"),
    ]
    for name in names:
        eventually(lambda name=name: shared_service.get(name).get("status"), f"{name} has a status")
        eventually(lambda name=name: is_current(shared_service.get(name)), f"the status of {name} is current")
    for name in names:
        link = shared_service.get(name)
        assert link["status"]["phase"] in {*LinkPhase}
        condition = condition_of(link)
        assert condition["reason"] in {*LinkReason}
        assert condition["status"] == ("True" if link["status"]["phase"] == "Bound" else "False")
        assert condition["observedGeneration"] == link["metadata"]["generation"]


def test_status_records_a_move_by_the_user(shared_service: Service, history: LinkRecorder) -> None:
    name = shared_service.link("mover", podIndex=0)
    shared_service.await_bound(name)
    shared_service.kubectl.patch("podlink", name, {"spec": {"podIndex": 2}}).expect_success()
    status = shared_service.await_bound(name)
    assert status["podIndex"] == 2
    previous = status["previous"]
    assert previous == {"podIndex": 0, "podName": "game-0", "reason": "Moved", "time": status["boundTime"]}
    shared_service.kubectl.patch("podlink", name, {"spec": {"podIndex": 1}}).expect_success()
    assert shared_service.await_bound(name)["previous"]["podIndex"] == 2
    assert history.transitions(name) == ["created", "Bound", "Bound", "Bound", "Bound", "Bound"]


def test_bound_time_changes_with_the_pod_only(shared_service: Service) -> None:
    shared_service.set_on_pod_lost("Keep")
    name = shared_service.link("steady", podIndex=2)
    bound_time = shared_service.await_bound(name)["boundTime"]
    wait_a_second(shared_service)
    shared_service.kubectl.patch("podlink", name, {"spec": {"ttlSeconds": 600}}).expect_success()
    eventually(lambda: "expireTime" in shared_service.get(name)["status"], "its status has the expire time")
    assert shared_service.await_bound(name)["boundTime"] == bound_time
    shared_service.client.patch_status(PodLink, name, shared_service.namespace, {"host": "elsewhere.invalid"})
    eventually(lambda: shared_service.get(name)["status"]["host"] != "elsewhere.invalid", "its host is restored")
    assert shared_service.await_bound(name)["boundTime"] == bound_time
    shared_service.annotate(2, SHUT_DOWN)
    lost = shared_service.await_link(name, "Lost", "PodLost")
    shared_service.annotate(2, NO_ROUTING_STATE)
    again = shared_service.await_bound(name)
    assert lost.get("boundTime") == bound_time
    assert again["boundTime"] > bound_time
    wait_a_second(shared_service)
    shared_service.kubectl.patch("podlink", name, {"spec": {"podIndex": 1}}).expect_success()
    assert shared_service.await_bound(name)["boundTime"] > again["boundTime"]


def test_stored_link_with_a_wrong_name_is_invalid_and_binds_nothing(
    shared_service: Service, installed: Kubectl
) -> None:
    misnamed = pod_link("misnamed", uid="zoe", podIndex=1)
    with without_rules(installed):
        eventually(lambda: is_stored(shared_service, misnamed), "the link is stored")
    shared_service.await_link("misnamed", "Rejected", "Invalid")
    link = shared_service.get("misnamed")
    assert condition_of(link)["message"] == "metadata.name must be game.zoe"
    assert link["status"].keys() == {"phase", "conditions", "observedGeneration"}
    shared_service.await_bound(shared_service.link("zoe", podIndex=1))
    shared_service.client.delete(PodLink, "misnamed", shared_service.namespace)


@contextmanager
def without_rules(kubectl: Kubectl) -> Iterator[None]:
    """Removes the validation rules of the whole object from the kind while the context lasts."""
    definition = yaml.safe_load(DEFINITION.read_text())
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert schema.pop("x-kubernetes-validations")
    kubectl.run("replace", "--filename=-", stdin=definition).expect_success()
    try:
        yield
    finally:
        kubectl.run("replace", "--filename", str(DEFINITION)).expect_success()
        default = kubectl.within("default")
        eventually(
            lambda: "must be game.zoe" in default.dry_run(pod_link("misnamed", uid="zoe")).stderr,
            "the rules are enforced again",
        )


def is_stored(game: Service, link: dict[str, Any]) -> bool:
    """Returns whether the API server stores the link now."""
    try:
        game.client.create(link, game.namespace)
    except HTTPError as refusal:
        assert re.search(r"metadata.name must be|not found", str(refusal))  # noqa: PT017 - any other refusal is a failure
        return False
    return True


def is_current(link: dict[str, Any]) -> bool:
    """Returns whether the status describes the current spec."""
    return bool(link["status"].get("observedGeneration") == link["metadata"]["generation"])


def wait_a_second(game: Service) -> None:
    """Waits until the API server's clock has advanced by a second, because times of a status have whole seconds."""
    first = game.client.create(pod_link("clock.a", routeName="clock", uid="a"), game.namespace)
    name = first["metadata"]["name"]

    def has_advanced() -> bool:
        game.client.delete(PodLink, name, game.namespace)
        second = game.client.create(pod_link(name, routeName="clock", uid="a"), game.namespace)
        return bool(second["metadata"]["creationTimestamp"] > first["metadata"]["creationTimestamp"])

    eventually(has_advanced, "a second has passed")
    game.client.delete(PodLink, name, game.namespace)
