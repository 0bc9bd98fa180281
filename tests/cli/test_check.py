"""`check`: what is wrong, and how to put it right."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from requests.exceptions import HTTPError
from syrupy.assertion import SnapshotAssertion

from localcluster import LocalCluster
from support.command import Command
from support.independent_client import PodLink
from support.kubectl import Kubectl
from support.operator_process import OperatorProcess
from support.rbac import create_account
from support.service import Service, condition_of
from support.waiting import eventually

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _as_found(game: Service) -> Iterator[None]:
    """Each test leaves the route as it found it, and no link."""
    yield
    eventually(lambda: _is_emptied(game), "no link is left")


def _is_emptied(game: Service) -> bool:
    """Whether no link is left; while the API server takes in another definition, it refuses whatever it is asked."""
    try:
        game.client.delete_all(PodLink, game.namespace)
        return not game.links()
    except HTTPError:
        return False


def findings(command: Command, *arguments: str, code: int) -> list[dict[str, Any]]:
    """What `check` finds, all that is well left out."""
    result = command.run_quickly("check", "--output=json", *arguments)
    assert (result.code, result.stderr) == (code, "")
    said = json.loads(result.stdout)
    assert said["healthy"] is (code == 0)
    return [found for found in said["findings"] if found["level"] != "ok"]


def problem(command: Command) -> dict[str, Any]:
    """The only problem that `check` finds."""
    (found,) = (each for each in findings(command, code=1) if each["level"] == "problem")
    return dict(found)


def test_all_is_well_through_kubectl(statefulroute: Command, game: Service, snapshot: SnapshotAssertion) -> None:
    game.await_bound(game.link("alice"))
    result = statefulroute.run("check").expect_success()
    # A service whose pods report no load is well: that is a notice.
    assert result.stdout.replace(game.namespace, "NAMESPACE") == snapshot


def test_a_cluster_where_nothing_is_installed_is_told_what_it_lacks(snapshot: SnapshotAssertion) -> None:
    with LocalCluster.start(name=f"bare-{os.getpid()}", nodes=0) as bare:
        result = Command(bare.kubeconfig, "default").run_quickly("check")
    assert (result.code, result.stderr) == (1, "")
    assert result.stdout == snapshot


def test_links_that_wait_are_counted_by_their_reasons(
    statefulroute: Command, game: Service, snapshot: SnapshotAssertion
) -> None:
    for uid in ("first", "second"):
        game.await_link(game.link(uid, podIndex=7), "Pending", "PodNotFound")
    orphan = {"apiVersion": "statefulroute.io/v1alpha1", "kind": "PodLink", "metadata": {"name": "gone.alice"}}
    game.client.create({**orphan, "spec": {"routeName": "gone", "uid": "alice"}}, game.namespace)
    game.await_link("gone.alice", "Pending", "RouteNotFound")
    result = statefulroute.run_quickly("check")
    assert result.code == 1
    assert result.stdout.replace(game.namespace, "NAMESPACE") == snapshot


def test_lost_links_are_a_problem(statefulroute: Command, game: Service) -> None:
    game.await_bound(game.link("kept", podIndex=2))
    game.set_on_pod_lost("Keep")
    game.annotate(2, {"statefulroute.io/routing-state": "Shutdown"})
    try:
        game.await_link("game.kept", "Lost", "PodLost")
        found = problem(statefulroute)
        assert (found["check"], found["count"], found["example"]) == ("links", 1, f"{game.namespace}/game.kept")
        assert found["message"].startswith(f"1 link is Lost (PodLost), for example {game.namespace}/game.kept: ")
        assert "statefulroute move" in found["remedy"]
    finally:
        game.annotate(2, {"statefulroute.io/routing-state": None})
        game.set_on_pod_lost("Rebind")
        game.await_pod(2, routingState="Ready")


def test_routes_without_a_workload_and_overfull_pods_are_problems(statefulroute: Command, game: Service) -> None:
    for uid in ("one", "two"):
        game.link(uid, podIndex=0)
    game.await_all_bound(2)
    game.edit_route(placement={"maxLinksPerPod": 1})
    game.create_route("lonely")
    eventually(
        lambda: condition_of(game.route("lonely"), "WorkloadFound").get("status") == "False", "the route says so"
    )
    game.await_pod(0, links=2)
    by_check = {found["check"]: found for found in findings(statefulroute, code=1) if found["level"] == "problem"}
    assert by_check["routes"]["message"].startswith(f"{game.namespace}/lonely is not WorkloadFound (WorkloadNotFound)")
    assert by_check["capacity"]["message"] == (
        f"{game.namespace}/game: 1 of its pods carry more links than maxLinksPerPod (1), for example game-0 with 2"
    )
    game.edit_route(placement=None)
    game.kubectl.run("delete", "statefulroute", "lonely").expect_success()


def test_a_service_that_is_shut_down_may_be_meant_so(statefulroute: Command, game: Service) -> None:
    game.edit_route(routingState="Shutdown")
    game.await_condition("Ready", "False", "Shutdown")
    reasons = [found["message"] for found in findings(statefulroute, code=0)]
    assert any("is not Ready (Shutdown)" in reason for reason in reasons)
    game.edit_route(routingState="Ready")
    game.await_condition("Ready", "True")


def test_an_operator_that_is_away_is_missed(statefulroute: Command, game: Service, operator: OperatorProcess) -> None:
    operator.stop()
    game.link("unheard")
    game.link("over", ttlSeconds=1, renewTime="2020-01-01T00:00:00Z")
    found = [each for each in findings(statefulroute, code=1) if each["check"] == "operator"]
    assert [each["message"] for each in found] == [
        f"the operator has not observed the present spec of 1 object, for example {game.namespace}/game.unheard",
        f"the operator has not removed 1 expired link, for example {game.namespace}/game.over",
    ]
    operator.start()
    game.await_bound("game.unheard")


def test_a_definition_of_another_version_is_told_by_what_differs(statefulroute: Command, installed: Kubectl) -> None:
    name = "podlinks.statefulroute.io"
    path = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/uid/maxLength"
    change = [{"op": "replace", "path": path, "value": 100}]
    installed.run("patch", "crd", name, "--type=json", f"--patch={json.dumps(change)}").expect_success()
    try:
        found = problem(statefulroute)
        where = "schema.openAPIV3Schema.properties.spec.properties.uid.maxLength"
        assert re.fullmatch(rf"PodLink is installed, but not in version \S+: {where} differs", found["message"])
        assert found["remedy"].startswith("kubectl apply -f crds")
    finally:
        installed.run("apply", "--filename", str(ROOT / "crds")).expect_success()
        eventually(lambda: not installed.run("get", "podlinks").code, "the kind is served again")


@contextmanager
def changed(installed: Kubectl, kind: str, name: str, change: dict[str, Any]) -> Iterator[None]:
    """An admission policy, or its binding, that says something else as long as the context lasts."""
    installed.patch(kind, name, change).expect_success()
    try:
        yield
    finally:
        # `apply` takes back only what it has set itself.
        installed.run("replace", "--filename", str(ROOT / "deploy/admission")).expect_success()


@pytest.mark.parametrize(
    ("kind", "change", "where"),
    [
        ("validatingadmissionpolicybinding", {"validationActions": ["Audit"]}, "spec.validationActions[0]"),
        (
            "validatingadmissionpolicybinding",
            {"matchResources": {"namespaceSelector": {"matchLabels": {"a": "b"}}}},
            "spec.matchResources",
        ),
        ("validatingadmissionpolicy", {"failurePolicy": "Ignore"}, "spec.failurePolicy"),
        (
            "validatingadmissionpolicy",
            {"matchConstraints": {"namespaceSelector": {"matchLabels": {"a": "b"}}}},
            "spec.matchConstraints.namespaceSelector.matchLabels",
        ),
    ],
    ids=["audit", "some-namespaces", "ignore", "policy-of-some-namespaces"],
)
def test_a_policy_that_is_not_in_force_everywhere_is_a_problem(
    kind: str, change: dict[str, Any], where: str, statefulroute: Command, installed: Kubectl
) -> None:
    with changed(installed, kind, "local-namespace.podlinks.statefulroute.io", {"spec": change}):
        assert f": {where} differs" in problem(statefulroute)["message"]
    assert not [found for found in findings(statefulroute, code=0) if found["check"] == "policies"]


def test_a_policy_that_is_missing_is_a_problem(statefulroute: Command, installed: Kubectl) -> None:
    installed.run("delete", "validatingadmissionpolicybinding", "own-pod.statefulroute.io").expect_success()
    try:
        found = problem(statefulroute)
        assert found["message"] == "the ValidatingAdmissionPolicyBinding own-pod.statefulroute.io is missing"
    finally:
        installed.run("apply", "--filename", str(ROOT / "deploy/admission")).expect_success()


@pytest.fixture
def somebody(statefulroute: Command, here: Kubectl, tmp_path: Path) -> Iterator[Command]:
    """The command of somebody who may only look at links."""
    here.run(
        "create", "role", "looks", "--verb=get,list,watch", "--resource=podlinks.statefulroute.io"
    ).expect_success()
    with create_account(here, "somebody", "Role/looks"):
        token = here.run("create", "token", "somebody").expect_success().stdout.strip()
        config = yaml.safe_load(statefulroute.kubeconfig.read_text())
        config["users"] = [{"name": user["name"], "user": {"token": token}} for user in config["users"]]
        path = tmp_path / "kubeconfig"
        path.write_text(yaml.safe_dump(config))
        yield Command(path, statefulroute.namespace)


def test_somebody_without_rights_is_told_which_are_lacking(somebody: Command, game: Service) -> None:
    found = findings(somebody, code=1)
    told = {each["message"] for each in found}
    where = f"in namespace {game.namespace!r}"
    assert f"you may not list statefulroutes {where}" in told
    assert f"you may not delete podlinks {where}: no unlink for you" in told
    assert "PodLink is served; you do not have the permission to check its version" in told
    refused = somebody.run_quickly("unlink", "game", "alice")
    assert (refused.code, refused.stderr.count("\n")) == (1, 1)
    assert refused.stderr.startswith("error: you do not have the permission")
