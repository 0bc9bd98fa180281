"""What a kubelet is told of the operator's process, whatever becomes of it and of the API server."""

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

#: How long a kubelet waits for an answer, unless its probe says otherwise.
KUBELET_SECONDS = 1.0

CACHES = ("podlinks", "statefulroutes", "pods", "statefulsets", "nodes")


@pytest.fixture
def nowhere(tmp_path: Path) -> Iterator[Path]:
    """The kubeconfig of an API server that does not answer: nobody listens at its port, and nobody else can."""
    with closing(socket.socket()) as held:
        held.bind(("127.0.0.1", 0))
        yield write_kubeconfig(tmp_path / "kubeconfig", f"https://127.0.0.1:{held.getsockname()[1]}")


@contextmanager
def launched(kubeconfig: Path, folder: Path) -> Iterator[MonitoredOperator]:
    """An operator that works for this cluster; it is not waited for that it serves."""
    process = OperatorProcess(kubeconfig, folder / "operator.log", *ANY_PORT).launch()
    try:
        yield MonitoredOperator(process)
    finally:
        process.kill()


def test_without_an_api_server_it_lives_and_is_not_ready(nowhere: Path, tmp_path: Path) -> None:
    with launched(nowhere, tmp_path) as monitored_operator:
        eventually(
            lambda: monitored_operator.scrape().value("statefulroute_watch_restarts_total") >= len(CACHES),
            "each cache has tried",
        )
        assert monitored_operator.probe("/healthz").text == "ok"
        unready = monitored_operator.probe("/readyz")
        assert unready.code == 503
        assert unready.text.splitlines() == [
            "[+]ping ok",
            *(f"[-]cache-{resource} failed: the first list is not complete" for resource in CACHES),
            "readyz check failed",
        ]
        now = monitored_operator.scrape()
        assert now.value("statefulroute_cache_synced") == 0
        assert now.value("statefulroute_leader") == 0
        asked = {(labels["verb"], labels["code"]) for labels, _ in now.samples("statefulroute_api_requests_total")}
        assert asked == {("list", "unreachable")}


def test_a_process_that_stands_still_does_not_answer_and_answers_when_it_goes_on(nowhere: Path, tmp_path: Path) -> None:
    with launched(nowhere, tmp_path) as monitored_operator:
        assert monitored_operator.probe("/healthz").code == 200
        os.kill(monitored_operator.operator.pid, signal.SIGSTOP)
        with pytest.raises(TimeoutError):
            monitored_operator.probe("/healthz", seconds=KUBELET_SECONDS)
        os.kill(monitored_operator.operator.pid, signal.SIGCONT)
        assert monitored_operator.probe("/healthz").code == 200


def test_a_port_that_is_taken_ends_it_with_one_sentence(nowhere: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        command = [PROGRAM, "operator", "--kubeconfig", nowhere, "--no-leader-elect", "--bind-address", address]
        ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 1
    assert ended.stderr == (
        f"statefulroute: cannot listen at {address}: "
        "another process listens there; choose another port with --bind-address\n"
    )
    assert ended.stdout == ""


def test_an_address_that_is_none_ends_it_with_a_sentence_that_shows_one(nowhere: Path) -> None:
    command = [PROGRAM, "operator", "--kubeconfig", nowhere, "--bind-address", "8080"]
    environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1"}
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=environment)
    assert ended.returncode == 2
    assert "'8080' is not HOST:PORT; for example 0.0.0.0:8080, 127.0.0.1:8080 or [::]:8080" in ended.stderr


def test_it_is_ready_when_the_last_kind_could_be_read_and_not_before(
    installed: Kubectl, operator_slot: OperatorSlot, tmp_path: Path
) -> None:
    if installed.run("get", "--raw", "/apis/rbac.authorization.k8s.io/v1").code:
        pytest.skip("this cluster has no RBAC")
    with (
        restricted_account(installed, tmp_path, "list nodes") as account,
        operator_slot.acquire(account.kubeconfig, *ANY_PORT) as process,
    ):
        monitored_operator = MonitoredOperator(process.launch())
        eventually(lambda: monitored_operator.scrape().value("statefulroute_cache_synced") == 4, "all others are read")
        unready = monitored_operator.probe("/readyz")
        assert (unready.code, unready.text.count("[+]cache-")) == (503, 4)
        assert "[-]cache-nodes failed: the first list is not complete\n" in unready.text
        assert monitored_operator.probe("/healthz").text == "ok"
        forbidden = {"verb": "list", "resource": "nodes", "code": "403"}
        assert monitored_operator.scrape().value("statefulroute_api_requests_total", **forbidden)
        account.grant_all()
        eventually(lambda: monitored_operator.probe("/readyz").text == "ok", "it is ready")
        assert monitored_operator.scrape().value("statefulroute_cache_synced") == len(CACHES)
        for path, check in (("healthz", "watch"), ("readyz", "cache")):
            said = monitored_operator.probe(f"/{path}?verbose")
            lines = ["[+]ping ok", *(f"[+]{check}-{resource} ok" for resource in CACHES), f"{path} check passed"]
            assert (said.code, said.text.splitlines()) == (200, lines)
        process.stop()
