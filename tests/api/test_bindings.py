"""What gateways and drivers build on: set if absent, compare and swap, remove if it is still mine."""

from typing import Any

import pytest

from support.kubectl import Kubectl, Result
from support.objects import ABSENT, encoded_name, pod_link


def test_a_second_creation_is_refused_and_changes_nothing(here: Kubectl) -> None:
    here.create(pod_link(podIndex=1))
    second = here.run("create", "--filename=-", stdin=pod_link(podIndex=2))
    assert second.stderr == (
        'Error from server (AlreadyExists): error when creating "STDIN": '
        'podlinks.statefulroute.io "game.alice" already exists\n'
    )
    assert here.get_json("podlink", "game.alice")["spec"]["podIndex"] == 1


def test_a_second_creation_of_an_encoded_uid_is_refused(here: Kubectl) -> None:
    link = pod_link(encoded_name("game", "Alice"), uid="Alice")
    here.create(link)
    assert "(AlreadyExists)" in here.run("create", "--filename=-", stdin=link).stderr


def test_a_uid_is_bound_once_in_each_service(here: Kubectl) -> None:
    here.create(pod_link(podIndex=1))
    here.create(pod_link(podIndex=2, routeName="chat"))
    bound = {link["metadata"]["name"]: link["spec"]["podIndex"] for link in here.get_json("podlinks")["items"]}
    assert bound == {"game.alice": 1, "chat.alice": 2}


def test_an_update_of_what_has_changed_since_is_refused(here: Kubectl) -> None:
    read = here.create(pod_link(podIndex=1))
    here.patch("podlink", "game.alice", {"spec": {"podIndex": 2}}).expect_success()
    late = here.run("replace", "--filename=-", stdin={**read, "spec": {**read["spec"], "podIndex": 3}})
    assert late.stderr == (
        'Error from server (Conflict): error when replacing "STDIN": '
        'Operation cannot be fulfilled on podlinks.statefulroute.io "game.alice": '
        "the object has been modified; please apply your changes to the latest version and try again\n"
    )
    assert here.get_json("podlink", "game.alice")["spec"]["podIndex"] == 2


def test_a_patch_of_what_has_changed_since_is_refused(here: Kubectl) -> None:
    read = here.create(pod_link(podIndex=1))["metadata"]["resourceVersion"]
    move = {"metadata": {"resourceVersion": read}, "spec": {"podIndex": 2}}
    here.patch("podlink", "game.alice", move).expect_success()
    assert "(Conflict)" in here.patch("podlink", "game.alice", move).stderr


def remove(here: Kubectl, **preconditions: str) -> Result:
    path = f"/apis/statefulroute.io/v1alpha1/namespaces/{here.namespace}/podlinks/game.alice"
    options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions}
    return here.run("delete", "--raw", path, "--filename=-", stdin=options)


def test_a_link_of_another_life_is_not_removed(here: Kubectl) -> None:
    here.create(pod_link())
    answer = remove(here, uid="11111111-2222-3333-4444-555555555555")
    assert "(Conflict)" in answer.stderr
    assert "the UID in the precondition (11111111-2222-3333-4444-555555555555) does not match" in answer.stderr
    here.get_json("podlink", "game.alice")


def test_a_link_that_was_renewed_meanwhile_is_not_removed(here: Kubectl) -> None:
    read = here.create(pod_link(ttlSeconds=60))["metadata"]["resourceVersion"]
    here.patch("podlink", "game.alice", {"spec": {"renewTime": "2026-01-01T00:00:00Z"}}).expect_success()
    answer = remove(here, resourceVersion=read)
    assert "(Conflict)" in answer.stderr
    assert f"the ResourceVersion in the precondition ({read}) does not match" in answer.stderr
    here.get_json("podlink", "game.alice")


def test_a_link_that_is_still_the_same_is_removed(here: Kubectl) -> None:
    read = here.create(pod_link())["metadata"]
    remove(here, uid=read["uid"], resourceVersion=read["resourceVersion"]).expect_success()
    assert "(NotFound)" in here.run("get", "podlink", "game.alice").stderr


UID = "uid is immutable: delete this PodLink and create one for the other uid"
ROUTE_NAME = "routeName is immutable: delete this PodLink and create one for the other route"
POLICY = (
    ": ValidatingAdmissionPolicy 'local-namespace.podlinks.statefulroute.io' with binding "
    "'local-namespace.podlinks.statefulroute.io' denied request: only local namespace is supported"
)

CHANGES = {
    "the uid": ({"uid": "bob"}, f'spec.uid: Invalid value: "bob": {UID}'),
    "the uid's letters": ({"uid": "Alice"}, f'spec.uid: Invalid value: "Alice": {UID}'),
    "the route": ({"routeName": "chat"}, f'spec.routeName: Invalid value: "chat": {ROUTE_NAME}'),
    "the namespace": ({"namespace": "kube-system"}, POLICY),
    "the life but not the renewal": (
        {"ttlSeconds": None},
        "spec.renewTime: Invalid value: renewTime needs ttlSeconds: a persistent link is not renewed",
    ),
    "the pod, by its name too": (
        {"podName": "game-1"},
        "spec.podName: Invalid value: podIndex and podName exclude each other: name the pod by one of them",
    ),
    "the pod, to none that can be": (
        {"podIndex": -1},
        "spec.podIndex: Invalid value: -1: podIndex must be from 0 to 2147483647",
    ),
}


@pytest.mark.parametrize(("change", "says"), CHANGES.values(), ids=CHANGES)
def test_a_change_is_refused_with_the_reason(here: Kubectl, change: dict[str, Any], says: str) -> None:
    here.create(pod_link(podIndex=1, ttlSeconds=60, renewTime="2026-01-01T00:00:00Z"))
    assert here.patch("podlink", "game.alice", {"spec": change}).errors == (says,)


def test_a_uid_cannot_be_taken_away(here: Kubectl) -> None:
    here.create(pod_link())
    assert "spec.uid: Required value" in here.patch("podlink", "game.alice", {"spec": {"uid": None}}).errors


@pytest.mark.parametrize(
    ("change", "spec"),
    [
        pytest.param({"podIndex": 2}, {"podIndex": 2}, id="to another pod"),
        pytest.param({"podIndex": None}, {"podIndex": ABSENT}, id="to whatever pod"),
        pytest.param(
            {"podIndex": None, "podName": "game-1"},
            {"podIndex": ABSENT, "podName": "game-1"},
            id="to a pod by its name",
        ),
        pytest.param(
            {"ttlSeconds": None, "renewTime": None},
            {"ttlSeconds": ABSENT, "renewTime": ABSENT},
            id="to a persistent link",
        ),
        pytest.param({"ttlSeconds": 120}, {"ttlSeconds": 120}, id="to a longer life"),
        pytest.param({"renewTime": "2026-01-02T00:00:00Z"}, {"renewTime": "2026-01-02T00:00:00Z"}, id="to a renewal"),
    ],
)
def test_a_link_may_change(here: Kubectl, change: dict[str, Any], spec: dict[str, Any]) -> None:
    before = here.create(pod_link(podIndex=1, ttlSeconds=60, renewTime="2026-01-01T00:00:00Z"))
    here.patch("podlink", "game.alice", {"spec": change}).expect_success()
    after = here.get_json("podlink", "game.alice")
    assert {field: after["spec"].get(field, ABSENT) for field in spec} == spec
    assert after["metadata"]["generation"] == before["metadata"]["generation"] + 1


def test_two_writers_each_own_their_fields(here: Kubectl) -> None:
    here.apply(pod_link(ttlSeconds=60), "--server-side", "--field-manager=gateway")
    here.patch("podlink", "game.alice", {"spec": {"podIndex": 3}}, "--field-manager=operator").expect_success()
    again = here.apply(pod_link(ttlSeconds=90), "--server-side", "--field-manager=gateway")
    assert again["spec"] == {"routeName": "game", "uid": "alice", "podIndex": 3, "ttlSeconds": 90}


def test_a_binding_that_another_owns_is_not_taken_over_by_apply(here: Kubectl) -> None:
    here.apply(pod_link(podIndex=1), "--server-side", "--field-manager=gateway")
    answer = here.run("apply", "--server-side", "--field-manager=other", "--filename=-", stdin=pod_link(podIndex=2))
    assert answer.stderr.startswith('error: Apply failed with 1 conflict: conflict with "gateway": .spec.podIndex\n')
