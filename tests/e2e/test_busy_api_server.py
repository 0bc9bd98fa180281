"""The operator waits for as long as the API server's priority and fairness asks, and then does its work."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

import pytest

from support.kubectl import Kubectl
from support.operator_process import OperatorProcess, OperatorSlot
from support.restricted_account import RestrictedAccount, restricted_account
from support.service import Service
from support.waiting import eventually

NAME = "one-write-of-links"
WORKERS = 4
_API_VERSION = "flowcontrol.apiserver.k8s.io/v1"


@pytest.fixture(scope="module")
def account(installed: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestrictedAccount]:
    """The operator's account: priority and fairness never refuses an administrator."""
    with restricted_account(installed, tmp_path_factory.mktemp("account")) as account:
        yield account


@pytest.fixture(scope="module")
def operator(account: RestrictedAccount, runs_pods: None, operator_slot: OperatorSlot) -> Iterator[OperatorProcess]:
    """An operator with few workers, whose requests can be counted."""
    del runs_pods
    with operator_slot.acquire(account.kubeconfig, f"--parallel-writes={WORKERS}") as process:
        yield process.start()
        process.stop()


@contextmanager
def overload(kubectl: Kubectl, account: RestrictedAccount) -> Iterator[None]:
    """Lets the API server handle one write of a link by an account at a time, and refuse those that overlap it."""
    metadata = {"name": NAME}
    limited = {"nominalConcurrencyShares": 0, "lendablePercent": 0, "limitResponse": {"type": "Reject"}}
    level = {"type": "Limited", "limited": {**limited, "borrowingLimitPercent": 0}}
    kubectl.apply(
        {"apiVersion": _API_VERSION, "kind": "PriorityLevelConfiguration", "metadata": metadata, "spec": level}
    )
    rule = {
        "subjects": [{"kind": "ServiceAccount", "serviceAccount": account.reference}],
        "resourceRules": [
            {"apiGroups": ["statefulroute.io"], "resources": ["podlinks"], "verbs": ["patch"], "namespaces": ["*"]}
        ],
    }
    spec = {"priorityLevelConfiguration": metadata, "matchingPrecedence": 2, "rules": [rule]}
    kubectl.apply({"apiVersion": _API_VERSION, "kind": "FlowSchema", "metadata": metadata, "spec": spec})
    try:
        yield
    finally:
        kubectl.run("delete", "flowschema,prioritylevelconfiguration", NAME).expect_success()


def refusals(kubectl: Kubectl) -> int:
    """Returns how many requests the API server has refused."""
    metrics = kubectl.run("get", "--raw", "/metrics").expect_success().stdout
    pattern = rf'^apiserver_flowcontrol_rejected_requests_total{{flow_schema="{NAME}".*}} (\S+)$'
    return sum(int(float(value)) for value in re.findall(pattern, metrics, re.MULTILINE))


def test_workers_send_no_more_requests_than_the_api_server_asks_for(
    operator: OperatorProcess, account: RestrictedAccount, game: Service, installed: Kubectl
) -> None:
    batches = count()
    with overload(installed, account):
        eventually(
            lambda: game.link_all(f"probe-{next(batches)}-{number}" for number in range(20)) and refusals(installed),
            "it refuses requests",
        )
        game.await_all_bound(len(game.links()), seconds=120.0)
        first, since = refusals(installed), time.monotonic()
        game.link_all(f"user-{number}" for number in range(200))
        game.await_all_bound(len(game.links()), seconds=120.0)
        refused, elapsed = refusals(installed) - first, time.monotonic() - since
    # Each refusal asks for a pause of at least a second.
    assert 1 <= refused <= WORKERS * (elapsed + 1)
    assert operator.errors() == []
