"""An operator that cannot have its Lease says in a sentence what is to be done."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from failover.pair import LEASE, NAMESPACE, SHORT_TIMES, OperatorPair, Replica
from localcluster import LocalCluster
from support.kubectl import Kubectl
from support.operator_process import OperatorProcess
from support.service import Service
from support.waiting import eventually


@pytest.fixture
def one(pair: OperatorPair) -> Replica:
    """One of the operators, not started yet."""
    return pair.replica(next(iter(pair.kubeconfigs)), *SHORT_TIMES.options)


@pytest.fixture
def without_its_role(pair: OperatorPair) -> Iterator[dict[str, Any]]:
    """The binding of the Lease's Role, which is taken away until the test gives it again."""
    name = f"{LEASE}-lease"
    binding = pair.admin.get_json("rolebinding", name)
    pair.admin.run("delete", "rolebinding", name).expect_success()
    given = {key: binding[key] for key in ("apiVersion", "kind", "roleRef", "subjects")} | {"metadata": {"name": name}}
    yield given
    pair.admin.apply(given)


def test_a_namespace_that_does_not_exist_is_named(
    audited_cluster: LocalCluster, admin: Kubectl, tmp_path: Path
) -> None:
    del admin  # it has installed the kinds
    # Nobody else could have rights there.
    administrators = OperatorProcess(
        audited_cluster.kubeconfig, tmp_path / "log", "--leader-elect", "--lease-namespace=nowhere"
    ).launch()
    assert administrators.wait() == 1
    (line,) = administrators.errors()
    assert line["event"] == (
        f"statefulroute: namespace 'nowhere' of the operator's Lease {LEASE!r} does not exist: "
        "create it, or name another with --lease-namespace"
    )


def test_a_role_that_is_missing_is_named_and_takes_effect_when_it_is_given(
    pair: OperatorPair, one: Replica, game: Service, without_its_role: dict[str, Any]
) -> None:
    one.operator.start()
    eventually(one.warnings, "it says what is missing")
    ((event, error),) = one.warnings()
    assert event == "the Lease cannot be had: trying again"
    asked = f"this operator may not use the Lease {LEASE!r} in namespace {NAMESPACE!r}: "
    assert error.startswith(f"{asked}bind the Role {LEASE}-lease there to its account (leases.coordination.k8s.io")
    assert not one.is_leader
    pair.admin.apply(without_its_role)
    one.await_leading()
    game.start()
    game.await_bound(game.link("alice"))
    assert not one.errors()


def test_a_lease_that_another_kind_of_program_left_behind_is_taken(pair: OperatorPair, one: Replica) -> None:
    left = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": LEASE}}
    pair.admin.create({**left, "spec": {}})
    one.operator.start()
    one.await_leading()
    assert pair.holder()
