"""Two operators that work on the same routes: contexts of a kubeconfig do not cause it, and each of them reports it."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from failover.pair import LEASE, NAMESPACE, SHORT_TIMES, STARTED_LEADING, OperatorPair
from localcluster import LocalCluster
from statefulroute.api.group import FINALIZER
from support.api_user import APIUser
from support.command import Command
from support.independent_client import IndependentClient, StatefulRoute
from support.kubectl import Kubectl
from support.metrics import ANY_PORT, MonitoredOperator
from support.namespaces import fresh_namespace
from support.operator_process import OperatorProcess
from support.service import Service
from support.waiting import eventually, stays

TWO_LEAD = "another operator writes the status of routes: two operators lead"


class Operators:
    """Operators of an administrator, each with its own context."""

    def __init__(self, cluster: LocalCluster, folder: Path) -> None:
        self._cluster = cluster
        self._folder = folder
        self.started: list[OperatorProcess] = []

    def start(self, namespace: str, *options: str) -> OperatorProcess:
        """Starts an operator from a context with a namespace."""
        name = f"operator-{len(self.started)}"
        kubeconfig = APIUser.of(self._cluster.kubeconfig, namespace).write_kubeconfig(
            self._folder / f"{name}.kubeconfig"
        )
        options = ("--leader-elect", *SHORT_TIMES.options, *ANY_PORT, *options)
        self.started.append(OperatorProcess(kubeconfig, self._folder / f"{name}.log", *options))
        return self.started[-1].start()


@pytest.fixture
def operators(audited_cluster: LocalCluster, admin: Kubectl, tmp_path: Path) -> Iterator[Operators]:
    """Operators of this test."""
    created = Operators(audited_cluster, tmp_path)
    yield created
    for operator in created.started:
        if operator.is_running:
            operator.kill()
    for namespace in (NAMESPACE, "default"):
        admin.within(namespace).run("delete", "lease", LEASE, "--ignore-not-found").expect_success()


@contextmanager
def service_in(admin: Kubectl, client: IndependentClient) -> Iterator[Service]:
    """A service in a namespace of its own, which no operator works on at the end."""
    with fresh_namespace(admin) as namespace:
        service = Service(admin.within(namespace), client)
        yield service
        if service.exists(StatefulRoute, service.name):
            client.patch(StatefulRoute, service.name, namespace, {"metadata": {"finalizers": None}})


@pytest.fixture
def games(admin: Kubectl, independent_client: IndependentClient, operators: Operators) -> Iterator[list[Service]]:
    """Two services of which nothing exists yet, each in its own namespace."""
    with ExitStack() as stack:
        yield [stack.enter_context(service_in(admin, independent_client)) for _ in range(2)]
        for operator in operators.started:
            if operator.is_running:
                operator.kill()


def leads(operator: OperatorProcess) -> bool:
    return STARTED_LEADING in operator.log_text


def warnings(operator: OperatorProcess) -> list[dict[str, Any]]:
    """Returns what an operator has logged of others."""
    return [line for line in operator.lines if line["event"] == TWO_LEAD]


def holder(admin: Kubectl, namespace: str) -> str:
    return str(admin.within(namespace).get_json("lease", LEASE)["spec"]["holderIdentity"])


def leaders(cluster: LocalCluster, namespace: str) -> dict[str, Any]:
    """Returns what `check` reports about leaders."""
    report = json.loads(Command(cluster.kubeconfig, namespace).run_quickly("check", "--output=json").stdout)
    (result,) = (each for each in report["findings"] if each["check"] == "leaders")
    return dict(result)


def await_leading(operator: OperatorProcess) -> None:
    eventually(lambda: leads(operator), "it leads")


def test_operators_from_two_contexts_share_one_lease(operators: Operators, admin: Kubectl) -> None:
    first = operators.start("default")
    await_leading(first)
    second = operators.start("kube-public")
    stays(lambda: not leads(second), "the second one stands by", seconds=SHORT_TIMES.duration)
    assert holder(admin, NAMESPACE)
    first.stop()
    await_leading(second)


def test_two_leaders_report_each_other(
    audited_cluster: LocalCluster, admin: Kubectl, operators: Operators, games: list[Service]
) -> None:
    game, _ = games
    # Each reports the first route that it notices: routes of other tests that are being deleted must be out of sight.
    watched = f"--watch-namespace={game.namespace}"
    first = operators.start("default", watched, f"--lease-namespace={NAMESPACE}")
    await_leading(first)
    game.start()
    second = operators.start("default", watched, "--lease-namespace=default")
    await_leading(second)
    identities = [holder(admin, NAMESPACE), holder(admin, "default")]
    users = iter(range(1_000))
    changing(lambda: game.link(f"user-{next(users)}"), lambda: all(map(warnings, (first, second))))
    for operator, other in ((first, identities[1]), (second, identities[0])):
        (line,) = warnings(operator)
        assert (line["operator"], line["route"], line["namespace"]) == (other, "game", game.namespace)
    eventually(lambda: len(two_leader_events(game)) == 2, "both have recorded an event")
    assert {note.split("'")[1] for note in two_leader_events(game)} == set(identities)
    for operator in (first, second):
        assert MonitoredOperator(operator).scrape().value("statefulroute_foreign_status_writes_total")
    found = leaders(audited_cluster, game.namespace)
    assert (found["level"], found["example"]) == ("problem", f"{NAMESPACE}/{LEASE}")
    assert all(identity in found["message"] for identity in identities)
    second.stop()
    assert leaders(audited_cluster, game.namespace)["level"] == "ok"
    assert "--lease-namespace" in found["remedy"]


def test_operators_of_different_namespaces_are_not_reported_as_two_leaders(
    audited_cluster: LocalCluster, operators: Operators, games: list[Service]
) -> None:
    first, second = (
        operators.start("default", f"--watch-namespace={game.namespace}", f"--lease-namespace={namespace}")
        for game, namespace in zip(games, (NAMESPACE, "default"), strict=True)
    )
    for operator, game in ((first, games[0]), (second, games[1])):
        await_leading(operator)
        game.start()
        game.await_bound(game.link("alice"))
    found = leaders(audited_cluster, games[0].namespace)
    assert (found["level"], found["message"]) == ("ok", "2 operators lead, each in its own namespaces")
    assert not warnings(first) + warnings(second)


def test_leader_does_not_take_its_predecessor_for_another_leader(pair: OperatorPair, game: Service) -> None:
    leader, standby = pair.start(SHORT_TIMES)
    game.start()
    identity = pair.holder()
    game.await_bound(game.link("before"))
    eventually(lambda: game.route_status().get("operator") == identity, "the status names its writer")
    leader.operator.kill()
    standby.await_leading()
    game.await_bound(game.link("after"))
    eventually(lambda: game.route_status().get("operator") == pair.holder() != identity, "the next one writes it")
    assert not warnings(standby.operator)
    assert game.route()["metadata"]["finalizers"] == [FINALIZER]


def changing(change: Callable[[], object], condition: Callable[[], bool]) -> None:
    """Makes changes until a condition holds: each operator writes a status when it is the first to notice a change."""

    def attempt() -> bool:
        change()
        return condition()

    eventually(attempt, "both operators notice the other", seconds=60)


def two_leader_events(game: Service) -> list[str]:
    """Returns the notes of the events about two leaders."""
    return [each["note"] for each in game.events("StatefulRoute") if each["reason"] == "AnotherOperatorWrites"]
