"""Who may view or edit a namespace by Kubernetes' own roles may view or edit its links and routes."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from localcluster import LocalCluster
from support.api_user import APIUser
from support.kubectl import Kubectl
from support.namespaces import fresh_namespace
from support.objects import pod_link, stateful_route
from support.rbac import RBAC_FOLDER, create_account
from support.waiting import eventually

VIEW, EDIT, ADMIN = PEOPLE = "view", "edit", "admin"
FORBIDDEN = 403
PERMISSIONS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
STATUS: dict[str, Any] = {"status": {"observedGeneration": 1}}


@pytest.fixture(scope="module")
def people(installed: Kubectl, cluster: LocalCluster) -> Iterator[dict[str, APIUser]]:
    """Accounts with each of the roles in one namespace."""
    if installed.run("get", "--raw", "/apis/rbac.authorization.k8s.io/v1").code:
        pytest.skip("this cluster has no RBAC")
    roles = str(RBAC_FOLDER / "people.yaml")
    installed.run("apply", "--filename", roles).expect_success()
    with ExitStack() as stack:
        namespace = stack.enter_context(fresh_namespace(installed))
        here = installed.within(namespace)
        for name in PEOPLE:
            stack.enter_context(create_account(here, name, f"ClusterRole/{name}"))
        administrator = APIUser.of(cluster.kubeconfig, namespace)
        users = {name: administrator.as_account(name) for name in PEOPLE}
        eventually(
            lambda: (
                all(each.request("GET", "podlinks").code == 200 for each in users.values())
                and users[EDIT].request("PATCH", "podlinks/none", {}).code != FORBIDDEN
                and users[ADMIN].request("PATCH", "podlinks/none", {}).code != FORBIDDEN
            ),
            "Kubernetes has added the rules to its roles",
        )
        yield users
    installed.run("delete", "--filename", roles).expect_success()


@pytest.mark.parametrize("name", [EDIT, ADMIN])
def test_editors_create_scale_and_delete_routes_and_links(people: dict[str, APIUser], name: str) -> None:
    user = people[name]
    user.request("POST", "statefulroutes", stateful_route()).expect_success()
    user.request("POST", "podlinks", pod_link()).expect_success()
    user.request("PATCH", "podlinks/game.alice", {"spec": {"ttlSeconds": 60}}).expect_success()
    user.request("PATCH", "statefulroutes/game/scale", {"spec": {"replicas": 2}}).expect_success()
    user.request("DELETE", "podlinks").expect_success()
    user.request("DELETE", "statefulroutes/game").expect_success()


def test_viewers_read_and_change_nothing(people: dict[str, APIUser]) -> None:
    people[EDIT].request("POST", "statefulroutes", stateful_route()).expect_success()
    viewer = people[VIEW]
    viewer.request("GET", "statefulroutes/game").expect_success()
    viewer.request("GET", "statefulroutes/game/status").expect_success()
    refused = (
        viewer.request("POST", "podlinks", pod_link(uid="bob")),
        viewer.request("PATCH", "statefulroutes/game", {"spec": {"port": 1}}),
        viewer.request("PATCH", "statefulroutes/game/scale", {"spec": {"replicas": 1}}),
        viewer.request("DELETE", "statefulroutes/game"),
    )
    assert {each.code for each in refused} == {FORBIDDEN}
    people[EDIT].request("DELETE", "statefulroutes/game").expect_success()


@pytest.mark.parametrize("name", PEOPLE)
def test_nobody_but_the_operator_writes_a_status(people: dict[str, APIUser], name: str) -> None:
    user = people[name]
    assert user.request("PATCH", "podlinks/game.alice/status", STATUS).code == FORBIDDEN
    assert user.request("PATCH", "statefulroutes/game/status", STATUS).code == FORBIDDEN


@pytest.mark.parametrize("name", PEOPLE)
def test_nobody_but_a_server_may_report(people: dict[str, APIUser], name: str) -> None:
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {
            "resourceAttributes": {
                "group": "statefulroute.io",
                "resource": "statefulroutes",
                "verb": "report",
                "namespace": people[name].namespace,
            }
        },
    }
    response = people[name].request("POST", PERMISSIONS, review).expect_success()
    assert response["status"]["allowed"] is False
