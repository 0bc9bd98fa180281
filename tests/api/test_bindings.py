"""The atomic operations that gateways and drivers use: create, compare and swap, and delete with preconditions."""

from typing import Any

import pytest

from support.kubectl import Kubectl, Result
from support.objects import ABSENT, encoded_name, pod_link


def test_second_creation_is_rejected_and_changes_nothing(here: Kubectl) -> None:
    here.create(pod_link(podIndex=1))
    response = here.run("create", "--filename=-", stdin=pod_link(podIndex=2))
    assert response.stderr == (
        'Error from server (AlreadyExists): error when creating "STDIN": '
        'podlinks.statefulroute.io "game.alice" already exists\n'
    )
    assert here.get_json("podlink", "game.alice")["spec"]["podIndex"] == 1


def test_second_creation_of_an_encoded_uid_is_rejected(here: Kubectl) -> None:
    link = pod_link(encoded_name("game", "Alice"), uid="Alice")
    here.create(link)
    assert "(AlreadyExists)" in here.run("create", "--filename=-", stdin=link).stderr


def test_uid_has_one_link_in_each_service(here: Kubectl) -> None:
    here.create(pod_link(podIndex=1))
    here.create(pod_link(podIndex=2, routeName="chat"))
    bound = {link["metadata"]["name"]: link["spec"]["podIndex"] for link in here.get_json("podlinks")["items"]}
    assert bound == {"game.alice": 1, "chat.alice": 2}


def test_update_of_an_old_version_is_rejected(here: Kubectl) -> None:
    version = here.create(pod_link(podIndex=1))
    here.patch("podlink", "game.alice", {"spec": {"podIndex": 2}}).expect_success()
    response = here.run("replace", "--filename=-", stdin={**version, "spec": {**version["spec"], "podIndex": 3}})
    assert response.stderr == (
        'Error from server (Conflict): error when replacing "STDIN": '
        'Operation cannot be fulfilled on podlinks.statefulroute.io "game.alice": '
        "the object has been modified; please apply your changes to the latest version and try again\n"
    )
    assert here.get_json("podlink", "game.alice")["spec"]["podIndex"] == 2


def test_patch_of_an_old_version_is_rejected(here: Kubectl) -> None:
    version = here.create(pod_link(podIndex=1))["metadata"]["resourceVersion"]
    move = {"metadata": {"resourceVersion": version}, "spec": {"podIndex": 2}}
    here.patch("podlink", "game.alice", move).expect_success()
    assert "(Conflict)" in here.patch("podlink", "game.alice", move).stderr


def remove(here: Kubectl, **preconditions: str) -> Result:
    path = f"/apis/statefulroute.io/v1alpha1/namespaces/{here.namespace}/podlinks/game.alice"
    options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions}
    return here.run("delete", "--raw", path, "--filename=-", stdin=options)


def test_link_with_another_uid_is_not_deleted(here: Kubectl) -> None:
    here.create(pod_link())
    response = remove(here, uid="11111111-2222-3333-4444-555555555555")
    assert "(Conflict)" in response.stderr
    assert "the UID in the precondition (11111111-2222-3333-4444-555555555555) does not match" in response.stderr
    here.get_json("podlink", "game.alice")


def test_link_renewed_in_the_meantime_is_not_deleted(here: Kubectl) -> None:
    version = here.create(pod_link(ttlSeconds=60))["metadata"]["resourceVersion"]
    here.patch("podlink", "game.alice", {"spec": {"renewTime": "2026-01-01T00:00:00Z"}}).expect_success()
    response = remove(here, resourceVersion=version)
    assert "(Conflict)" in response.stderr
    assert f"the ResourceVersion in the precondition ({version}) does not match" in response.stderr
    here.get_json("podlink", "game.alice")


def test_unchanged_link_is_deleted(here: Kubectl) -> None:
    version = here.create(pod_link())["metadata"]
    remove(here, uid=version["uid"], resourceVersion=version["resourceVersion"]).expect_success()
    assert "(NotFound)" in here.run("get", "podlink", "game.alice").stderr


UID = "uid is immutable: delete this PodLink and create one for the other uid"
ROUTE_NAME = "routeName is immutable: delete this PodLink and create one for the other route"
POLICY = (
    ": ValidatingAdmissionPolicy 'local-namespace.podlinks.statefulroute.io' with binding "
    "'local-namespace.podlinks.statefulroute.io' denied request: only local namespace is supported"
)

UID_OR_SLOT = "a PodLink needs either uid or slot: the user, or the slot of users, that it binds"

CHANGES = {
    "uid": ({"uid": "bob"}, f"spec.uid: Invalid value: {UID}"),
    "case of the uid": ({"uid": "Alice"}, f"spec.uid: Invalid value: {UID}"),
    "route": ({"routeName": "chat"}, f"spec.routeName: Invalid value: {ROUTE_NAME}"),
    "namespace": ({"namespace": "kube-system"}, POLICY),
    "TTL but not the renewal": (
        {"ttlSeconds": None},
        "spec.renewTime: Invalid value: renewTime needs ttlSeconds: a persistent link is not renewed",
    ),
    "pod index and pod name": (
        {"podName": "game-1"},
        "spec.podName: Invalid value: podIndex and podName exclude each other: name the pod by one of them",
    ),
    "negative pod index": (
        {"podIndex": -1},
        "spec.podIndex: Invalid value: podIndex must be from 0 to 2147483647",
    ),
}


@pytest.mark.parametrize(("change", "message"), CHANGES.values(), ids=CHANGES)
def test_invalid_change_is_rejected_with_a_message(here: Kubectl, change: dict[str, Any], message: str) -> None:
    here.create(pod_link(podIndex=1, ttlSeconds=60, renewTime="2026-01-01T00:00:00Z"))
    assert here.patch("podlink", "game.alice", {"spec": change}).errors == (message,)


def test_uid_cannot_be_removed(here: Kubectl) -> None:
    here.create(pod_link())
    errors = here.patch("podlink", "game.alice", {"spec": {"uid": None}}).errors
    assert f"spec.uid: Invalid value: {UID_OR_SLOT}" in errors


def test_uid_cannot_be_replaced_by_a_slot(here: Kubectl) -> None:
    here.create(pod_link())
    assert here.patch("podlink", "game.alice", {"spec": {"uid": None, "slot": 1}}).errors == (
        "spec.uid: Invalid value: uid and slot are immutable: delete this PodLink and create one for the other",
    )


def test_slot_is_immutable(here: Kubectl) -> None:
    here.create(pod_link("game.x-slot-1", uid=ABSENT, slot=1, podIndex=0))
    assert here.patch("podlink", "game.x-slot-1", {"spec": {"slot": 2}}).errors == (
        "spec.slot: Invalid value: slot is immutable: delete this PodLink, and the operator creates it again",
    )
    here.patch("podlink", "game.x-slot-1", {"spec": {"podIndex": 1}}).expect_success()


@pytest.mark.parametrize(
    ("change", "spec"),
    [
        pytest.param({"podIndex": 2}, {"podIndex": 2}, id="to another pod"),
        pytest.param({"podIndex": None}, {"podIndex": ABSENT}, id="to any pod"),
        pytest.param(
            {"podIndex": None, "podName": "game-1"},
            {"podIndex": ABSENT, "podName": "game-1"},
            id="to a pod name",
        ),
        pytest.param(
            {"ttlSeconds": None, "renewTime": None},
            {"ttlSeconds": ABSENT, "renewTime": ABSENT},
            id="to a persistent link",
        ),
        pytest.param({"ttlSeconds": 120}, {"ttlSeconds": 120}, id="to a longer TTL"),
        pytest.param({"renewTime": "2026-01-02T00:00:00Z"}, {"renewTime": "2026-01-02T00:00:00Z"}, id="to a renewal"),
    ],
)
def test_valid_change_is_accepted(here: Kubectl, change: dict[str, Any], spec: dict[str, Any]) -> None:
    before = here.create(pod_link(podIndex=1, ttlSeconds=60, renewTime="2026-01-01T00:00:00Z"))
    here.patch("podlink", "game.alice", {"spec": change}).expect_success()
    after = here.get_json("podlink", "game.alice")
    assert {field: after["spec"].get(field, ABSENT) for field in spec} == spec
    assert after["metadata"]["generation"] == before["metadata"]["generation"] + 1


def test_two_field_managers_own_their_fields(here: Kubectl) -> None:
    here.apply(pod_link(ttlSeconds=60), "--server-side", "--field-manager=gateway")
    here.patch("podlink", "game.alice", {"spec": {"podIndex": 3}}, "--field-manager=operator").expect_success()
    again = here.apply(pod_link(ttlSeconds=90), "--server-side", "--field-manager=gateway")
    assert again["spec"] == {"routeName": "game", "uid": "alice", "podIndex": 3, "ttlSeconds": 90}


def test_apply_conflicts_with_the_owner_of_the_binding(here: Kubectl) -> None:
    here.apply(pod_link(podIndex=1), "--server-side", "--field-manager=gateway")
    response = here.run("apply", "--server-side", "--field-manager=other", "--filename=-", stdin=pod_link(podIndex=2))
    assert response.stderr.startswith('error: Apply failed with 1 conflict: conflict with "gateway": .spec.podIndex\n')
