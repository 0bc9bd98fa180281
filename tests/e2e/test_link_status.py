"""A link's status says where it stands, where it was, and since when, in words of a closed list."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from pykube.exceptions import HTTPError

from harness.kubectl import Kubectl
from harness.objects import pod_link
from harness.patience import eventually
from harness.recorder import Recorder
from harness.service import DENIES_NEW_CALLS, SAYS_NOTHING, SHUT_DOWN, Service, condition_of
from harness.witness import PodLink
from statefulroute.api.vocabulary import LinkPhase, LinkReason

pytestmark = pytest.mark.usefixtures("operator")

DEFINITION = next((Path(__file__).parents[2] / "crds").glob("*podlinks*"))


def deny_by_annotation(game: Service) -> None:
    for index in range(3):
        game.annotate(index, DENIES_NEW_CALLS)


def deny_by_override(game: Service) -> None:
    game.edit_route(pods=[{"index": index, "routingState": "DenyNewCall"} for index in range(3)])


def deny_by_route(game: Service) -> None:
    game.edit_route(routingState="DenyNewCall")


def admit_again(game: Service) -> None:
    for index in range(3):
        game.annotate(index, SAYS_NOTHING)
    game.edit_route(pods=None, routingState="Ready")


@pytest.mark.parametrize("deny", [deny_by_annotation, deny_by_override, deny_by_route], ids=lambda deny: deny.__name__)
def test_pods_that_deny_new_calls_keep_their_users_and_take_no_new_ones(
    deny: Any, standing: Service, history: Recorder
) -> None:
    uid = deny.__name__.replace("_", "-")
    holds = standing.link(uid, podIndex=1)
    standing.await_bound(holds)
    deny(standing)
    standing.await_status(bestPodIndex=None)
    waits = standing.link(f"{uid}-late")
    standing.await_link(waits, "Pending", "NoAvailablePod")
    wait = ("wait", "--for=condition=Ready", "--timeout=2s")
    standing.kubectl.run(*wait, f"podlink/{holds}").expect_success()
    assert "timed out" in standing.kubectl.run(*wait, f"podlink/{waits}").stderr
    admit_again(standing)
    standing.kubectl.run("wait", "--for=condition=Ready", "--timeout=50s", f"podlink/{waits}").expect_success()
    eventually(lambda: "bestPodIndex" in standing.route_status(), "the route takes new users again")
    assert history.story(holds) == ["created", "Bound"]


def test_every_status_is_of_the_closed_list_and_of_the_present_generation(standing: Service) -> None:
    standing.on_pod_lost("Keep")
    names = [
        standing.link("bound", podIndex=0),
        standing.link("chosen"),
        standing.link("temporary", podIndex=1, ttlSeconds=600),
        standing.link("early", podIndex=8),
        Service(standing.kubectl, standing.witness, "nowhere").link("alice"),
    ]
    for name in names:
        eventually(lambda name=name: standing.get(name).get("status"), f"{name} is answered")
        eventually(lambda name=name: is_settled(standing.get(name)), f"{name} is settled")
    for name in names:
        link = standing.get(name)
        assert link["status"]["phase"] in {*LinkPhase}
        condition = condition_of(link)
        assert condition["reason"] in {*LinkReason}
        assert condition["status"] == ("True" if link["status"]["phase"] == "Bound" else "False")
        assert condition["observedGeneration"] == link["metadata"]["generation"]


def test_a_users_move_is_remembered(standing: Service, history: Recorder) -> None:
    name = standing.link("mover", podIndex=0)
    standing.await_bound(name)
    standing.kubectl.patch("podlink", name, {"spec": {"podIndex": 2}}).expect_success()
    status = standing.await_bound(name)
    assert status["podIndex"] == 2
    previous = status["previous"]
    assert previous == {"podIndex": 0, "reason": "Moved", "time": status["boundTime"]}
    standing.kubectl.patch("podlink", name, {"spec": {"podIndex": 1}}).expect_success()
    assert standing.await_bound(name)["previous"]["podIndex"] == 2
    assert history.story(name) == ["created", "Bound", "Bound", "Bound", "Bound", "Bound"]


def test_the_time_of_binding_changes_with_the_pod_and_with_nothing_else(standing: Service) -> None:
    standing.on_pod_lost("Keep")
    name = standing.link("steady", podIndex=2)
    bound_time = standing.await_bound(name)["boundTime"]
    wait_a_second(standing)
    standing.kubectl.patch("podlink", name, {"spec": {"ttlSeconds": 600}}).expect_success()
    eventually(lambda: "expireTime" in standing.get(name)["status"], "its time is told")
    assert standing.await_bound(name)["boundTime"] == bound_time
    standing.witness.patch_status(PodLink, name, standing.namespace, {"host": "elsewhere.invalid"})
    eventually(lambda: standing.get(name)["status"]["host"] != "elsewhere.invalid", "its host is right again")
    assert standing.await_bound(name)["boundTime"] == bound_time
    standing.annotate(2, SHUT_DOWN)
    lost = standing.await_link(name, "Lost", "PodLost")
    standing.annotate(2, SAYS_NOTHING)
    again = standing.await_bound(name)
    assert lost.get("boundTime") == bound_time
    assert again["boundTime"] > bound_time
    wait_a_second(standing)
    standing.kubectl.patch("podlink", name, {"spec": {"podIndex": 1}}).expect_success()
    assert standing.await_bound(name)["boundTime"] > again["boundTime"]


def test_a_link_that_got_in_without_the_rule_of_names_is_invalid_and_binds_nothing(
    standing: Service, installed: Kubectl
) -> None:
    misnamed = pod_link("misnamed", uid="zoe", podIndex=1)
    with without_rules(installed):
        eventually(lambda: gets_in(standing, misnamed), "it gets in")
    standing.await_link("misnamed", "Rejected", "Invalid")
    link = standing.get("misnamed")
    assert condition_of(link)["message"] == "metadata.name must be game.zoe"
    assert link["status"].keys() == {"phase", "conditions", "observedGeneration"}
    standing.await_bound(standing.link("zoe", podIndex=1))
    standing.witness.delete(PodLink, "misnamed", standing.namespace)


@contextmanager
def without_rules(kubectl: Kubectl) -> Iterator[None]:
    """The kind without the rules about its whole, for as long as the context lasts."""
    definition = yaml.safe_load(DEFINITION.read_text())
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert schema.pop("x-kubernetes-validations")
    kubectl.run("replace", "--filename=-", stdin=definition).expect_success()
    try:
        yield
    finally:
        kubectl.run("replace", "--filename", str(DEFINITION)).expect_success()
        there = kubectl.within("default")
        eventually(
            lambda: "must be game.zoe" in there.try_out(pod_link("misnamed", uid="zoe")).stderr, "the rules are back"
        )


def gets_in(game: Service, link: dict[str, Any]) -> bool:
    """Whether the API server takes the link now."""
    try:
        game.witness.create(link, game.namespace)
    except HTTPError as refusal:
        assert re.search(r"metadata.name must be|not found", str(refusal))  # noqa: PT017 - others are failures
        return False
    return True


def is_settled(link: dict[str, Any]) -> bool:
    """Whether the operator has answered the link's present spec."""
    return bool(link["status"].get("observedGeneration") == link["metadata"]["generation"])


def wait_a_second(game: Service) -> None:
    """Times of a status are to the second: wait until the API server's clock has gone on by one."""
    first = game.witness.create(pod_link("clock.a", routeName="clock", uid="a"), game.namespace)
    name = first["metadata"]["name"]

    def has_gone_on() -> bool:
        game.witness.delete(PodLink, name, game.namespace)
        again = game.witness.create(pod_link(name, routeName="clock", uid="a"), game.namespace)
        return bool(again["metadata"]["creationTimestamp"] > first["metadata"]["creationTimestamp"])

    eventually(has_gone_on, "a second has gone by")
    game.witness.delete(PodLink, name, game.namespace)
