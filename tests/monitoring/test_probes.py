"""Probes report the state of the operator's process in all states of the process and the API server."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from support.kubectl import Kubectl
from support.metrics import ANY_PORT, MonitoredOperator
from support.operator_process import PROGRAM, OperatorProcess, OperatorSlot
from support.restricted_account import restricted_account
from support.waiting import eventually
from unit.cluster.kubeconfigs import write_kubeconfig

#: The kubelet's default timeout for a probe.
KUBELET_SECONDS = 1.0

CACHES = ("podlinks", "statefulroutes", "pods", "statefulsets", "nodes")


@pytest.fixture
def unreachable_kubeconfig(tmp_path: Path) -> Iterator[Path]:
    """A kubeconfig for a port that is bound and that no process listens on."""
    with closing(socket.socket()) as held:
        held.bind(("127.0.0.1", 0))
        yield write_kubeconfig(tmp_path / "kubeconfig", f"https://127.0.0.1:{held.getsockname()[1]}")


@contextmanager
def starting_operator(kubeconfig: Path, folder: Path) -> Iterator[MonitoredOperator]:
    """Starts an operator and does not wait until it is ready."""
    process = OperatorProcess(kubeconfig, folder / "operator.log", *ANY_PORT).launch()
    try:
        yield MonitoredOperator(process)
    finally:
        process.kill()


def test_the_operator_is_alive_and_not_ready_without_an_api_server(
    unreachable_kubeconfig: Path, tmp_path: Path
) -> None:
    with starting_operator(unreachable_kubeconfig, tmp_path) as monitored_operator:
        eventually(
            lambda: monitored_operator.scrape().value("statefulroute_watch_restarts_total") >= len(CACHES),
            "each cache has retried",
        )
        assert monitored_operator.probe("/healthz").text == "ok"
        not_ready = monitored_operator.probe("/readyz")
        assert not_ready.code == 503
        assert not_ready.text.splitlines() == [
            "[+]ping ok",
            *(f"[-]cache-{resource} failed: the first list is not complete" for resource in CACHES),
            "readyz check failed",
        ]
        now = monitored_operator.scrape()
        assert now.value("statefulroute_cache_synced") == 0
        assert now.value("statefulroute_leader") == 0
        requests = {(labels["verb"], labels["code"]) for labels, _ in now.samples("statefulroute_api_requests_total")}
        assert requests == {("list", "unreachable")}


def test_a_stopped_process_does_not_answer_until_it_continues(unreachable_kubeconfig: Path, tmp_path: Path) -> None:
    with starting_operator(unreachable_kubeconfig, tmp_path) as monitored_operator:
        assert monitored_operator.probe("/healthz").code == 200
        os.kill(monitored_operator.operator.pid, signal.SIGSTOP)
        with pytest.raises(TimeoutError):
            monitored_operator.probe("/healthz", seconds=KUBELET_SECONDS)
        os.kill(monitored_operator.operator.pid, signal.SIGCONT)
        assert monitored_operator.probe("/healthz").code == 200


def test_a_port_in_use_ends_the_operator_with_one_sentence(unreachable_kubeconfig: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as other_process:
        address = f"127.0.0.1:{other_process.getsockname()[1]}"
        command = [
            PROGRAM,
            "operator",
            "--kubeconfig",
            unreachable_kubeconfig,
            "--no-leader-elect",
            "--bind-address",
            address,
        ]
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 1
    assert result.stderr == (
        f"statefulroute: cannot listen at {address}: "
        "another process listens there; choose another port with --bind-address\n"
    )
    assert result.stdout == ""


def test_an_invalid_address_ends_the_operator_with_an_example(unreachable_kubeconfig: Path) -> None:
    command = [PROGRAM, "operator", "--kubeconfig", unreachable_kubeconfig, "--bind-address", "8080"]
    environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1"}
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=environment)
    assert result.returncode == 2
    assert "'8080' is not HOST:PORT; for example :8080, 127.0.0.1:8080 or [::1]:8080" in result.stderr


def test_the_operator_becomes_ready_when_the_last_kind_has_synced(
    installed: Kubectl, operator_slot: OperatorSlot, tmp_path: Path
) -> None:
    if installed.run("get", "--raw", "/apis/rbac.authorization.k8s.io/v1").code:
        pytest.skip("this cluster has no RBAC")
    with (
        restricted_account(installed, tmp_path, "list nodes") as account,
        operator_slot.acquire(account.kubeconfig, *ANY_PORT) as process,
    ):
        monitored_operator = MonitoredOperator(process.launch())
        eventually(
            lambda: monitored_operator.scrape().value("statefulroute_cache_synced") == 4, "all other kinds have synced"
        )
        not_ready = monitored_operator.probe("/readyz")
        assert (not_ready.code, not_ready.text.count("[+]cache-")) == (503, 4)
        assert "[-]cache-nodes failed: the first list is not complete\n" in not_ready.text
        assert monitored_operator.probe("/healthz").text == "ok"
        forbidden = {"verb": "list", "resource": "nodes", "code": "403"}
        assert monitored_operator.scrape().value("statefulroute_api_requests_total", **forbidden)
        account.grant_all()
        eventually(lambda: monitored_operator.probe("/readyz").text == "ok", "the operator is ready")
        assert monitored_operator.scrape().value("statefulroute_cache_synced") == len(CACHES)
        for path, check in (("healthz", "watch"), ("readyz", "cache")):
            response = monitored_operator.probe(f"/{path}?verbose")
            lines = ["[+]ping ok", *(f"[+]{check}-{resource} ok" for resource in CACHES), f"{path} check passed"]
            assert (response.code, response.text.splitlines()) == (200, lines)
        process.stop()
