"""`check`: problems and how to fix them."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
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
def _cleanup(game: Service) -> Iterator[None]:
    """Delete all links after each test."""
    yield
    eventually(lambda: _delete_links(game), "no link is left")


def _delete_links(game: Service) -> bool:
    """Delete all links; returns whether none is left. Requests fail while the API server loads a definition."""
    try:
        game.client.delete_all(PodLink, game.namespace)
        return not game.links()
    except HTTPError:
        return False


def results_of(command: Command, *arguments: str, code: int) -> list[dict[str, Any]]:
    """Returns the results of `check` that are not ok."""
    result = command.run_quickly("check", "--output=json", *arguments)
    assert (result.code, result.stderr) == (code, "")
    report = json.loads(result.stdout)
    assert report["healthy"] is (code == 0)
    return [each for each in report["findings"] if each["level"] != "ok"]


def problem(command: Command) -> dict[str, Any]:
    """Returns the only problem that `check` finds."""
    (found,) = (each for each in results_of(command, code=1) if each["level"] == "problem")
    return dict(found)


def _comparable(output: str, game: Service) -> str:
    """Returns the output without the namespace and the version, which differ between runs and releases."""
    return output.replace(game.namespace, "NAMESPACE").replace(version("statefulroute"), "0.0.0")


def test_check_finds_no_problem_in_a_healthy_service(
    statefulroute: Command, game: Service, snapshot: SnapshotAssertion
) -> None:
    game.await_bound(game.link("alice"))
    result = statefulroute.run("check").expect_success()
    assert _comparable(result.stdout, game) == snapshot


def test_check_reports_what_is_missing_in_an_empty_cluster(snapshot: SnapshotAssertion) -> None:
    with LocalCluster.start(name=f"bare-{os.getpid()}", nodes=0) as bare:
        result = Command(bare.kubeconfig, "default").run_quickly("check")
    assert (result.code, result.stderr) == (1, "")
    assert result.stdout == snapshot


def test_check_counts_pending_links_by_reason(
    statefulroute: Command, game: Service, snapshot: SnapshotAssertion
) -> None:
    for uid in ("first", "second"):
        game.await_link(game.link(uid, podIndex=7), "Pending", "PodNotFound")
    orphan = {"apiVersion": "statefulroute.io/v1alpha1", "kind": "PodLink", "metadata": {"name": "gone.alice"}}
    game.client.create({**orphan, "spec": {"routeName": "gone", "uid": "alice"}}, game.namespace)
    game.await_link("gone.alice", "Pending", "RouteNotFound")
    result = statefulroute.run_quickly("check")
    assert result.code == 1
    assert _comparable(result.stdout, game) == snapshot


def test_check_reports_lost_links_as_a_problem(statefulroute: Command, game: Service) -> None:
    game.await_bound(game.link("kept", podIndex=2))
    game.set_on_pod_lost("Keep")
    game.annotate(2, {"statefulroute.io/routing-state": "Shutdown"})
    try:
        game.await_link("game.kept", "Lost", "PodLost")
        found = problem(statefulroute)
        assert (found["check"], found["count"], found["example"]) == ("links", 1, f"{game.namespace}/game.kept")
        assert found["message"].startswith(f"1 link is Lost (PodLost), for example {game.namespace}/game.kept: ")
        assert "statefulroute move" in found["remedy"]
        by_kubectl = game.kubectl.run("get", "podlink", "game.kept", "--no-headers").expect_success().stdout.split()
        assert by_kubectl[:5] == ["game.kept", "game", "kept", "game-2", "Lost"]
        for arguments in (("links", "--uid", "kept"), ("whereis", "kept")):
            assert "game-2" in statefulroute.run_quickly(*arguments, "--no-headers").stdout.split()
    finally:
        game.annotate(2, {"statefulroute.io/routing-state": None})
        game.set_on_pod_lost("Rebind")
        game.await_pod(2, routingState="Ready")


def test_check_reports_missing_workloads_and_overfull_pods_as_problems(statefulroute: Command, game: Service) -> None:
    for uid in ("one", "two"):
        game.link(uid, podIndex=0)
    game.await_all_bound(2)
    game.edit_route(placement={"maxLinksPerPod": 1})
    game.create_route("lonely")
    eventually(
        lambda: condition_of(game.route("lonely"), "WorkloadFound").get("status") == "False",
        "the route has the condition",
    )
    game.await_pod(0, links=2)
    by_check = {found["check"]: found for found in results_of(statefulroute, code=1) if found["level"] == "problem"}
    assert by_check["routes"]["message"].startswith(f"{game.namespace}/lonely is not WorkloadFound (WorkloadNotFound)")
    assert by_check["capacity"]["message"] == (
        f"{game.namespace}/game: 1 of its pods carry more links than maxLinksPerPod (1), for example game-0 with 2"
    )
    game.edit_route(placement=None)
    game.kubectl.run("delete", "statefulroute", "lonely").expect_success()


def test_check_says_how_to_combine_budgets(statefulroute: Command, game: Service) -> None:
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "game"}}}
    budget = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "theirs"}, "spec": spec}
    game.kubectl.create(budget)
    game.edit_route(disruption={})
    try:
        game.await_condition("EvictionsGuarded", "False", "AnotherBudget")
        found = problem(statefulroute)
        assert found["message"].startswith(f"{game.namespace}/game is not EvictionsGuarded (AnotherBudget): ")
        assert "PodDisruptionBudget 'theirs' selects the pods as well" in found["message"]
        assert "{key: statefulroute.io/occupied, operator: DoesNotExist}" in found["remedy"]
    finally:
        game.edit_route(disruption=None)
        game.kubectl.run("delete", "pdb", "theirs").expect_success()
    game.await_observed()


def test_check_reports_a_route_with_as_many_links_as_it_may_have(statefulroute: Command, game: Service) -> None:
    game.link("last", podIndex=0)
    game.await_all_bound(1)
    game.edit_route(links={"max": 1})
    eventually(lambda: game.route()["status"]["links"] == 1, "the route has the link in its status")
    (found,) = [each for each in results_of(statefulroute, code=1) if each["check"] == "capacity"]
    assert found["message"] == (
        f"{game.namespace}/game takes no new users from resolvers and drivers: its links are 1 of 1 (links.max)"
    )
    game.edit_route(links=None)


def test_check_reports_a_shut_down_service_as_a_notice(statefulroute: Command, game: Service) -> None:
    game.edit_route(routingState="Shutdown")
    game.await_condition("Ready", "False", "Shutdown")
    reasons = [found["message"] for found in results_of(statefulroute, code=0)]
    assert any("is not Ready (Shutdown)" in reason for reason in reasons)
    game.edit_route(routingState="Ready")
    game.await_condition("Ready", "True")


def test_check_reports_a_route_without_a_port_as_a_notice(statefulroute: Command, game: Service) -> None:
    def notices() -> list[str]:
        found = [each for each in results_of(statefulroute, code=0) if "spec.port" in each["message"]]
        return [f"{each['level']}: {each['message']}" for each in found]

    (notice,) = notices()
    assert notice == (
        f"notice: 1 route has no spec.port, for example {game.namespace}/game: the resolver answers no-port to "
        "gateways, so they cannot reach its users' pods"
    )
    game.edit_route(port=7777)
    assert notices() == []
    game.edit_route(port=None)


def test_check_reports_a_stopped_operator(statefulroute: Command, game: Service, operator: OperatorProcess) -> None:
    operator.stop()
    game.link("unobserved")
    game.link("over", ttlSeconds=1, renewTime="2020-01-01T00:00:00Z")
    found = [each for each in results_of(statefulroute, code=1) if each["check"] == "operator"]
    assert [each["message"] for each in found] == [
        f"the operator has not observed the present spec of 1 object, for example {game.namespace}/game.unobserved",
        f"the operator has not removed 1 expired link, for example {game.namespace}/game.over",
    ]
    operator.start()
    game.await_bound("game.unobserved")


def test_check_names_the_difference_of_a_definition_of_another_version(
    statefulroute: Command, installed: Kubectl
) -> None:
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
    """Returns a context in which an admission policy, or its binding, is changed."""
    installed.patch(kind, name, change).expect_success()
    try:
        yield
    finally:
        # `apply` reverts only the fields that it has set itself.
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
def test_check_reports_a_policy_that_does_not_apply_to_all_objects(
    kind: str, change: dict[str, Any], where: str, statefulroute: Command, installed: Kubectl
) -> None:
    with changed(installed, kind, "local-namespace.podlinks.statefulroute.io", {"spec": change}):
        assert f": {where} differs" in problem(statefulroute)["message"]
    assert not [found for found in results_of(statefulroute, code=0) if found["check"] == "policies"]


def test_check_accepts_a_policy_that_covers_more_resources(statefulroute: Command, installed: Kubectl) -> None:
    name = "operator-writes.statefulroute.io"
    constraints = installed.get_json("validatingadmissionpolicy", name)["spec"]["matchConstraints"]
    crews = {"apiGroups": ["example.com"], "apiVersions": ["*"], "operations": ["UPDATE"], "resources": ["crews"]}
    change = {"spec": {"matchConstraints": {"resourceRules": [*constraints["resourceRules"], crews]}}}
    with changed(installed, "validatingadmissionpolicy", name, change):
        policies = [found for found in results_of(statefulroute, code=0) if found["check"] == "policies"]
        assert [found["level"] for found in policies] in ([], ["ok"])
    change = {"spec": {"matchConstraints": {"resourceRules": [*constraints["resourceRules"][1:], crews]}}}
    with changed(installed, "validatingadmissionpolicy", name, change):
        assert ": spec.matchConstraints.resourceRules[0]" in problem(statefulroute)["message"]


def test_check_reports_a_missing_policy(statefulroute: Command, installed: Kubectl) -> None:
    installed.run("delete", "validatingadmissionpolicybinding", "own-pod.statefulroute.io").expect_success()
    try:
        found = problem(statefulroute)
        assert found["message"] == "the ValidatingAdmissionPolicyBinding own-pod.statefulroute.io is missing"
    finally:
        installed.run("apply", "--filename", str(ROOT / "deploy/admission")).expect_success()


@pytest.fixture
def reader(statefulroute: Command, namespaced_kubectl: Kubectl, tmp_path: Path) -> Iterator[Command]:
    """The command of a user who may only read links."""
    namespaced_kubectl.run(
        "create", "role", "reads-links", "--verb=get,list,watch", "--resource=podlinks.statefulroute.io"
    ).expect_success()
    with create_account(namespaced_kubectl, "reader", "Role/reads-links"):
        token = namespaced_kubectl.run("create", "token", "reader").expect_success().stdout.strip()
        config = yaml.safe_load(statefulroute.kubeconfig.read_text())
        config["users"] = [{"name": user["name"], "user": {"token": token}} for user in config["users"]]
        path = tmp_path / "kubeconfig"
        path.write_text(yaml.safe_dump(config))
        yield Command(path, statefulroute.namespace)


def test_check_names_the_missing_permissions_of_a_user(reader: Command, game: Service) -> None:
    found = results_of(reader, code=1)
    messages = {each["message"] for each in found}
    where = f"in namespace {game.namespace!r}"
    assert f"you may not list statefulroutes {where}" in messages
    assert f"you may not delete podlinks {where}: no unlink for you" in messages
    assert "PodLink is served; you do not have the permission to check its version" in messages
    refused = reader.run_quickly("unlink", "game", "alice")
    assert (refused.code, refused.stderr.count("\n")) == (1, 1)
    assert refused.stderr.startswith("error: you do not have the permission")
