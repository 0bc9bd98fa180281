"""The operator needs no more than the role that is shipped with it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.kubectl import Kubectl
from harness.operator import OperatorProcess, OperatorSeat
from harness.patience import eventually
from harness.service import Service
from harness.witness import StatefulRoute

ROLE = Path(__file__).parents[2] / "deploy" / "rbac" / "operator.yaml"
NAME = "statefulroute-operator"


@pytest.fixture(scope="module")
def account(installed: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The kubeconfig of a ServiceAccount that has the operator's role and no other."""
    if installed.run("get", "--raw", "/apis/rbac.authorization.k8s.io/v1").code:
        pytest.skip("this cluster has no RBAC")
    here = installed.within("default")
    here.run("create", "serviceaccount", NAME).expect_success()
    installed.run("apply", "--filename", str(ROLE)).expect_success()
    installed.run(
        "create", "clusterrolebinding", NAME, f"--clusterrole={NAME}", f"--serviceaccount=default:{NAME}"
    ).expect_success()
    token = here.run("create", "token", NAME).expect_success().stdout
    kubeconfig = tmp_path_factory.mktemp("account") / "kubeconfig"
    known = installed.run("config", "view", "--raw", "--minify", "--flatten", "--output=json").expect_success().object
    user = known["users"][0]["name"]
    # kubectl writes the file, and keeps it from others.
    kubeconfig.touch(mode=0o600)
    kubeconfig.write_text(json.dumps({**known, "users": [{"name": user, "user": {"token": token}}]}))
    yield kubeconfig
    installed.run("delete", "clusterrolebinding", NAME).expect_success()
    installed.run("delete", "--filename", str(ROLE)).expect_success()
    here.run("delete", "serviceaccount", NAME).expect_success()


@pytest.fixture(scope="module")
def operator(account: Path, seat: OperatorSeat) -> Iterator[OperatorProcess]:
    """An operator that works as that account."""
    with seat.taken(account) as process:
        yield process.start()
        process.stop()


def test_the_account_may_do_nothing_else(account: Path, installed: Kubectl) -> None:
    restricted = Kubectl(installed.program, account, installed.cache, "default")
    for allowed in (
        "patch podlinks",
        "patch podlinks --subresource=status",
        "delete podlinks",
        "watch pods",
        "patch statefulroutes",
    ):
        assert restricted.run("auth", "can-i", *allowed.split()).stdout == "yes\n", allowed
    for forbidden in ("create podlinks", "delete pods", "update pods", "get secrets", "patch statefulsets.apps"):
        assert restricted.run("auth", "can-i", *forbidden.split()).stdout == "no\n", forbidden


def test_with_that_role_alone_the_operator_does_all_that_it_does(operator: OperatorProcess, game: Service) -> None:
    pinned, chosen = game.link("alice", podIndex=2, ttlSeconds=300), game.link("bob")
    game.await_bound(pinned)
    game.await_bound(chosen)
    game.await_status(links=2, routablePods=3)
    game.scale(4)
    game.await_pods(4)
    game.edit_route(routingState="DenyNewCall")
    game.await_status(observedGeneration=2, bestPodIndex=None)
    game.await_link(game.link("carol"), "Pending", "NoAvailablePod")
    game.edit_route(routingState="Ready")
    game.await_bound("game.carol")
    game.await_gone(game.link("dora", podIndex=0, ttlSeconds=1))
    game.scale(2)
    eventually(lambda: game.get(pinned)["spec"]["podIndex"] != 2, "it is moved")
    eventually(lambda: {"Bound", "Expired", "PodLost"} <= {each["reason"] for each in game.events()}, "all is told")
    assert game.route()["metadata"]["finalizers"] == ["statefulroute.io/operator"]
    game.kubectl.run("delete", "statefulroute", "game", "--timeout=30s").expect_success()
    eventually(lambda: not game.exists(StatefulRoute, "game"), "the route is gone")
    game.await_link(pinned, "Pending", "RouteNotFound")
    assert "forbidden" not in operator.text.lower()
    assert operator.complaints() == []
