"""What a kubelet is told of the operator's process, whatever becomes of it and of the API server."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from harness.kubectl import Kubectl
from harness.lacking import lacking
from harness.operator import PROGRAM, OperatorProcess, OperatorSeat
from harness.patience import eventually
from harness.scraping import ANYWHERE, Watched
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
def launched(kubeconfig: Path, folder: Path) -> Iterator[Watched]:
    """An operator that works for this cluster; it is not waited for that it serves."""
    process = OperatorProcess(kubeconfig, folder / "operator.log", *ANYWHERE).launch()
    try:
        yield Watched(process)
    finally:
        process.kill()


def test_without_an_api_server_it_lives_and_is_not_ready(nowhere: Path, tmp_path: Path) -> None:
    with launched(nowhere, tmp_path) as watched:
        eventually(
            lambda: watched.scrape().value("statefulroute_watch_restarts_total") >= len(CACHES), "each cache has tried"
        )
        assert watched.probe("/healthz").text == "ok"
        unready = watched.probe("/readyz")
        assert unready.code == 503
        assert unready.text.splitlines() == [
            "[+]ping ok",
            *(f"[-]cache-{resource} failed: the first list is not complete" for resource in CACHES),
            "readyz check failed",
        ]
        now = watched.scrape()
        assert now.value("statefulroute_cache_synced") == 0
        assert now.value("statefulroute_leader") == 0
        asked = {(labels["verb"], labels["code"]) for labels, _ in now.of("statefulroute_api_requests_total")}
        assert asked == {("list", "unreachable")}


def test_a_process_that_stands_still_does_not_answer_and_answers_when_it_goes_on(nowhere: Path, tmp_path: Path) -> None:
    with launched(nowhere, tmp_path) as watched:
        assert watched.probe("/healthz").code == 200
        os.kill(watched.operator.pid, signal.SIGSTOP)
        with pytest.raises(TimeoutError):
            watched.probe("/healthz", seconds=KUBELET_SECONDS)
        os.kill(watched.operator.pid, signal.SIGCONT)
        assert watched.probe("/healthz").code == 200


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
    installed: Kubectl, seat: OperatorSeat, tmp_path: Path
) -> None:
    if installed.run("get", "--raw", "/apis/rbac.authorization.k8s.io/v1").code:
        pytest.skip("this cluster has no RBAC")
    with lacking(installed, tmp_path, "list nodes") as account, seat.taken(account.kubeconfig, *ANYWHERE) as process:
        watched = Watched(process.launch())
        eventually(lambda: watched.scrape().value("statefulroute_cache_synced") == 4, "all others are read")
        unready = watched.probe("/readyz")
        assert (unready.code, unready.text.count("[+]cache-")) == (503, 4)
        assert "[-]cache-nodes failed: the first list is not complete\n" in unready.text
        assert watched.probe("/healthz").text == "ok"
        forbidden = {"verb": "list", "resource": "nodes", "code": "403"}
        assert watched.scrape().value("statefulroute_api_requests_total", **forbidden)
        account.give_all()
        eventually(lambda: watched.probe("/readyz").text == "ok", "it is ready")
        assert watched.scrape().value("statefulroute_cache_synced") == len(CACHES)
        for path, check in (("healthz", "watch"), ("readyz", "cache")):
            said = watched.probe(f"/{path}?verbose")
            lines = ["[+]ping ok", *(f"[+]{check}-{resource} ok" for resource in CACHES), f"{path} check passed"]
            assert (said.code, said.text.splitlines()) == (200, lines)
        process.stop()
