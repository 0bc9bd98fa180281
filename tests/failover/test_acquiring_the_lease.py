"""An operator that cannot acquire its Lease logs what to do."""

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
def operator(pair: OperatorPair) -> Replica:
    """One of the operators, not started yet."""
    return pair.replica(next(iter(pair.kubeconfigs)), *SHORT_TIMES.options)


@pytest.fixture
def deleted_role_binding(pair: OperatorPair) -> Iterator[dict[str, Any]]:
    """The binding of the Role for the Lease, which is deleted until the test creates it again."""
    name = f"{LEASE}-lease"
    binding = pair.admin.get_json("rolebinding", name)
    pair.admin.run("delete", "rolebinding", name).expect_success()
    manifest = {key: binding[key] for key in ("apiVersion", "kind", "roleRef", "subjects")} | {
        "metadata": {"name": name}
    }
    yield manifest
    pair.admin.apply(manifest)


def test_missing_namespace_is_named(audited_cluster: LocalCluster, admin: Kubectl, tmp_path: Path) -> None:
    del admin  # it has installed the kinds
    # No other user can have rights in that namespace.
    process = OperatorProcess(
        audited_cluster.kubeconfig, tmp_path / "log", "--leader-elect", "--lease-namespace=nowhere"
    ).launch()
    assert process.wait() == 1
    (line,) = process.errors()
    assert line["event"] == (
        f"statefulroute: namespace 'nowhere' of the operator's Lease {LEASE!r} does not exist: "
        "create it, or name another with --lease-namespace"
    )


def test_missing_role_is_named_and_takes_effect_when_granted(
    pair: OperatorPair, operator: Replica, game: Service, deleted_role_binding: dict[str, Any]
) -> None:
    operator.operator.start()
    eventually(operator.warnings, "it logs what is missing")
    ((event, error),) = operator.warnings()
    assert event == "the Lease was not acquired: trying again"
    missing = f"this operator may not use the Lease {LEASE!r} in namespace {NAMESPACE!r}: "
    assert error.startswith(f"{missing}bind the Role {LEASE}-lease there to its account (leases.coordination.k8s.io")
    assert not operator.is_leader
    pair.admin.apply(deleted_role_binding)
    operator.await_leading()
    game.start()
    game.await_bound(game.link("alice"))
    assert not operator.errors()


def test_lease_without_a_holder_record_is_acquired(pair: OperatorPair, operator: Replica) -> None:
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": LEASE}}
    pair.admin.create({**lease, "spec": {}})
    operator.operator.start()
    operator.await_leading()
    assert pair.holder()
