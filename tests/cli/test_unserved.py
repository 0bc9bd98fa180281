"""Links whose pod does not serve users now: no command shows them as healthy."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from localcluster import LocalCluster
from support.command import Command
from support.independent_client import PodLink
from support.metrics import http_get
from support.resolver_process import ResolverProcess
from support.service import NO_ROUTING_STATE, NOT_READY, READY, SHUT_DOWN, Service
from support.waiting import eventually


@pytest.fixture(scope="module")
def resolver(
    cluster: LocalCluster, game: Service, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ResolverProcess]:
    """A resolver of the namespace."""
    log = tmp_path_factory.mktemp("resolver") / "log"
    process = ResolverProcess(cluster.kubeconfig, log, "--watch-namespace", game.namespace)
    process.start()
    yield process
    process.stop()


@pytest.fixture(autouse=True)
def _users(game: Service) -> Iterator[None]:
    """Two users on pod 1 and one on pod 0, which stay there for the test."""
    game.edit_route(onPodLost={"action": "Keep", "graceSeconds": 3600})
    game.link_each({"alice": {"podIndex": 0}, "bob": {"podIndex": 1}, "carol": {"podIndex": 1}})
    game.await_all_bound(3)
    game.await_status(links=3, unservedLinks=0)
    yield
    game.annotate(1, READY | NO_ROUTING_STATE)
    game.client.delete_all(PodLink, game.namespace)
    eventually(lambda: not game.links(), "no link is left")


def problems(command: Command) -> dict[str, dict[str, Any]]:
    """Returns the problems that `check` finds, by check."""
    report = json.loads(command.run_quickly("check", "--output=json").stdout)
    return {each["check"]: each for each in report["findings"] if each["level"] == "problem"}


def whereis(command: Command, uid: str) -> dict[str, Any]:
    """Returns the only link of a user with what `whereis` adds to it."""
    (found,) = command.run_quickly("whereis", uid, "--output=json").expect_success().object["items"]
    return dict(found)


def test_check_reports_links_whose_pod_does_not_serve(statefulroute: Command, game: Service) -> None:
    assert problems(statefulroute) == {}
    game.annotate(1, NOT_READY)
    game.await_status(unservedLinks=2)
    result = statefulroute.run_quickly("check")
    assert result.code == 1
    assert "are Bound\n" not in result.stdout
    found = problems(statefulroute)
    assert found.keys() == {"links"}
    assert found["links"]["message"] == (
        f"2 links are Bound and not served now (ContainersNotReady), for example {game.namespace}/game.bob "
        "by pod 'game-1'"
    )
    assert (found["links"]["count"], found["links"]["example"]) == (2, f"{game.namespace}/game.bob")
    assert "statefulroute move" in found["links"]["remedy"]
    game.annotate(1, READY)
    game.await_status(unservedLinks=0)
    assert problems(statefulroute) == {}


def test_check_reports_links_of_a_missing_pod(statefulroute: Command, game: Service) -> None:
    with game.pod_quota(2):
        game.kubectl.run("delete", "pod", "game-1", "--wait=false").expect_success()
        game.await_status(unservedLinks=2)
        assert "(PodNotFound)" in problems(statefulroute)["links"]["message"]
    game.await_status(unservedLinks=0)


@pytest.mark.parametrize(
    ("annotations", "reason"),
    [(NOT_READY, "ContainersNotReady"), (SHUT_DOWN, "Shutdown")],
    ids=["not ready", "shut down"],
)
def test_whereis_says_why_a_pod_does_not_serve_where_the_resolver_responds_with_503(
    statefulroute: Command,
    game: Service,
    resolver: ResolverProcess,
    annotations: dict[str, str | None],
    reason: str,
) -> None:
    path = f"/v1/namespaces/{game.namespace}/routes/game/links/bob"
    eventually(lambda: http_get(resolver.lookups, path).code == 200, "the resolver knows the link")
    served = whereis(statefulroute, "bob")
    assert (served["served"], served["notServingReason"]) == (True, None)
    assert served["address"] == json.loads(http_get(resolver.lookups, path).text)["address"]
    game.annotate(1, annotations)
    game.await_pod(1, notServingReason=reason)
    eventually(lambda: http_get(resolver.lookups, path).code == 503, "the pod does not serve")
    unserved = whereis(statefulroute, "bob")
    assert (unserved["served"], unserved["notServingReason"], unserved["address"]) == (False, reason, None)
    row = statefulroute.run_quickly("whereis", "bob", "--no-headers").stdout.split()
    assert (row[:2], row[3:5]) == (["game", "game-1"], [reason, "-"])
    assert whereis(statefulroute, "alice")["served"]


def test_whereis_says_that_a_link_waits_for_a_pod(statefulroute: Command, game: Service) -> None:
    for pod in range(3):
        game.annotate(pod, {"statefulroute.io/routing-state": "DenyNewCall"})
    game.await_link(game.link("dave"), "Pending", "NoAvailablePod")
    found = whereis(statefulroute, "dave")
    assert (found["served"], found["notServingReason"], found["address"]) == (False, "NoAvailablePod", None)
    for pod in range(3):
        game.annotate(pod, NO_ROUTING_STATE)


def test_tables_show_unserved_links_and_the_reason(statefulroute: Command, game: Service) -> None:
    game.annotate(1, NOT_READY)
    game.await_status(unservedLinks=2)
    header, row = (line.split() for line in statefulroute.run_quickly("routes").stdout.splitlines())
    assert dict(zip(header, row, strict=True))["LINKS"] == "1/3"
    header, *rows = (
        line.split() for line in statefulroute.run_quickly("pods", "game", "-o", "wide").stdout.splitlines()
    )
    reasons = [dict(zip(header, row, strict=True))["NOT-SERVING"] for row in rows]
    assert reasons == ["-", "ContainersNotReady", "-"]
