"""Links are bound to the pod that they name, or to one that the operator chooses."""

from datetime import UTC, datetime, timedelta

import pytest

from support.admission import is_admitted, without_policy
from support.independent_client import PodLink
from support.kubectl import Kubectl
from support.objects import pod_link
from support.service import Service, condition_of
from support.waiting import eventually

pytestmark = pytest.mark.usefixtures("operator")


def at(text: str) -> datetime:
    """Parses a time of Kubernetes."""
    return datetime.fromisoformat(text)


def test_link_that_names_its_pod_is_bound_there(game: Service) -> None:
    name = game.link("alice", podIndex=2)
    game.await_bound(name)
    link = game.get(name)
    condition = condition_of(link)
    bound_time = link["status"].pop("boundTime")
    assert at(link["metadata"]["creationTimestamp"]) <= at(bound_time) <= datetime.now(UTC)
    assert condition.pop("lastTransitionTime") == bound_time
    assert link["metadata"]["generation"] == 1
    assert link["spec"] == {"routeName": "game", "uid": "alice", "podIndex": 2}
    assert link["status"] == {
        "phase": "Bound",
        "podIndex": 2,
        "podName": "game-2",
        "host": f"game-2.game.{game.namespace}.svc",
        "observedGeneration": 1,
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "Bound",
                "message": "bound to pod 'game-2'",
                "observedGeneration": 1,
            }
        ],
    }


def test_link_that_leaves_the_choice_gets_a_pod(game: Service) -> None:
    name = game.link("alice")
    status = game.await_bound(name)
    link = game.get(name)
    index = link["spec"]["podIndex"]
    assert index in {0, 1, 2}
    assert (status["podIndex"], status["podName"]) == (index, f"game-{index}")
    assert status["host"] == f"game-{index}.game.{game.namespace}.svc"
    assert status["observedGeneration"] == link["metadata"]["generation"] == 2


def test_kubectl_waits_for_a_link_and_lists_it(game: Service) -> None:
    name = game.link("alice", podIndex=1)
    game.kubectl.run("wait", "--for=condition=Ready", "--timeout=30s", f"podlink/{name}").expect_success()
    shown = game.kubectl.run("get", "podlinks", "--no-headers").expect_success().stdout.split()
    assert shown[:5] == ["game.alice", "game", "alice", "game-1", "Bound"]


def test_temporary_link_expires_its_ttl_after_its_creation(game: Service) -> None:
    name = game.link("alice", podIndex=0, ttlSeconds=300)
    status = game.await_bound(name)
    created = at(game.get(name)["metadata"]["creationTimestamp"])
    assert at(status["expireTime"]) == created + timedelta(seconds=300)


def test_renewed_temporary_link_expires_its_ttl_after_its_renewal(game: Service) -> None:
    name = game.link("alice", podIndex=0, ttlSeconds=300)
    game.await_bound(name)
    renewed = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=7)
    game.kubectl.patch("podlink", name, {"spec": {"renewTime": renewed.isoformat()}}).expect_success()
    eventually(lambda: at(game.get(name)["status"]["expireTime"]) == renewed + timedelta(seconds=300), "it is renewed")
    assert game.await_bound(name)["podIndex"] == 0


def test_moved_link_is_bound_to_its_new_pod(game: Service) -> None:
    name = game.link("alice", podIndex=0)
    before = game.await_bound(name)
    game.kubectl.patch("podlink", name, {"spec": {"podIndex": 2}}).expect_success()
    after = game.await_bound(name)
    assert (before["podName"], after["podName"]) == ("game-0", "game-2")
    assert after["host"] == f"game-2.game.{game.namespace}.svc"


def test_links_that_leave_the_choice_are_spread_evenly(game: Service) -> None:
    game.link_all(f"user-{number}" for number in range(30))
    game.await_all_bound(30)
    assert game.links_by_pod() == {0: 10, 1: 10, 2: 10}
    game.await_status(links=30)
    assert [pod["links"] for pod in game.route_status()["pods"]] == [10, 10, 10]


def test_links_that_leave_the_choice_even_out_an_uneven_distribution(game: Service) -> None:
    game.link_all((f"pinned-{number}" for number in range(12)), podIndex=1)
    game.await_all_bound(12)
    game.link_all(f"chosen-{number}" for number in range(12))
    game.await_all_bound(24)
    assert game.links_by_pod() == {0: 6, 1: 12, 2: 6}


def test_status_that_another_client_has_overwritten_is_restored(game: Service) -> None:
    name = game.link("alice", podIndex=2)
    before = game.await_bound(name)
    game.client.patch_status(PodLink, name, game.namespace, {"podName": "game-0", "host": "elsewhere.invalid"})
    eventually(lambda: game.get(name)["status"].get("host") == before["host"], "its host is restored")
    assert game.await_bound(name)["podName"] == "game-2"


def test_two_services_of_one_namespace_are_independent(game: Service) -> None:
    other = Service(game.kubectl, game.client, "chat")
    other.start(replicas=1)
    mine, theirs = game.link("alice", podIndex=2), other.link("alice")
    assert game.await_bound(mine)["podName"] == "game-2"
    assert other.await_bound(theirs)["host"] == f"chat-0.chat.{game.namespace}.svc"
    game.await_status(links=1)
    other.await_status(links=1)


def test_stored_link_into_another_namespace_is_rejected_and_binds_nothing(game: Service, installed: Kubectl) -> None:
    with without_policy(game, installed):
        eventually(lambda: is_admitted(game, pod_link(namespace="kube-system", podIndex=1)), "the link is stored")
        game.link("bob", namespace=game.namespace, podIndex=1)
    game.await_link("game.alice", "Rejected", "NotLocalNamespace")
    link = game.get("game.alice")
    condition = condition_of(link)
    assert (condition["status"], condition["message"]) == ("False", "only local namespace is supported")
    assert link["status"].keys() == {"phase", "conditions", "observedGeneration"}
    game.await_bound("game.bob")
    game.await_status(links=1)
    assert game.pod_status(1)["links"] == 1


def test_rejected_link_that_leaves_the_choice_gets_no_pod(game: Service, installed: Kubectl) -> None:
    with without_policy(game, installed):
        eventually(lambda: is_admitted(game, pod_link(namespace="kube-system")), "the link is stored")
    game.await_link("game.alice", "Rejected", "NotLocalNamespace")
    assert "podIndex" not in game.get("game.alice")["spec"]


def test_rejected_link_is_bound_once_it_names_its_own_namespace(game: Service, installed: Kubectl) -> None:
    with without_policy(game, installed):
        eventually(lambda: is_admitted(game, pod_link(namespace="kube-system")), "the link is stored")
    game.await_link("game.alice", "Rejected", "NotLocalNamespace")
    game.kubectl.patch("podlink", "game.alice", {"spec": {"namespace": game.namespace}}).expect_success()
    game.await_bound("game.alice")
