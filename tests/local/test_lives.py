"""Tests how clusters start, run side by side and stop, without leaving anything."""

import os
import signal
import sys
from pathlib import Path

import pytest

from local.cluster_process import (
    Kubectl,
    command_lines_naming,
    eventually,
    first_line,
    killed,
    python,
    run_localcluster,
)
from localcluster import AlreadyRunningError, LocalCluster, LocalClusterError, NotRunningError
from localcluster.processes import is_stopped
from localcluster.programs import build
from localcluster.progress import PlainProgress
from localcluster.state import clean_up_leftovers, read_roster

pytestmark = pytest.mark.timeout(1500)

OWNER = """
import sys, time
from localcluster import LocalCluster
cluster = LocalCluster.start(sys.argv[1], nodes=1)
print("ready", flush=True)
time.sleep(600)
"""


def test_two_clusters_run_side_by_side_and_share_nothing(cluster: LocalCluster) -> None:
    with LocalCluster.start("beside", nodes=1) as other:
        assert other.server != cluster.server
        Kubectl(other)("create", "namespace", "only-here")
        assert not Kubectl(cluster).has("namespace", "only-here")
    assert cluster.is_ready()


def test_clusters_that_start_at_the_same_time_use_different_ports(runtime: Path) -> None:
    owners = [python(OWNER, name) for name in ("twin-a", "twin-b")]
    try:
        assert [first_line(owner) for owner in owners] == ["ready\n", "ready\n"]
    finally:
        for owner in owners:
            owner.terminate()
            owner.communicate()
    eventually(lambda: not (runtime / "twin-a").exists() and not (runtime / "twin-b").exists())


def test_refuses_a_name_in_use(cluster: LocalCluster) -> None:
    with pytest.raises(AlreadyRunningError, match="is running already: choose another name"):
        LocalCluster.start(cluster.name)


def test_stop_leaves_neither_process_nor_folder() -> None:
    with LocalCluster.start("brief", nodes=1) as cluster:
        folder = cluster.folder
        assert len(command_lines_naming(folder)) == 6  # five parts and their guardian
    assert command_lines_naming(folder) == []
    assert not folder.exists()
    cluster.stop()  # a second call does nothing


def test_sigstop_returns_after_the_part_has_stopped_on_a_busy_machine(cluster: LocalCluster) -> None:
    apiserver = cluster.part("apiserver")
    busy = [python("while True: pass") for _ in range(4)]
    try:
        for _ in range(20):
            apiserver.kill(signal.SIGSTOP)
            is_part_stopped = is_stopped(apiserver.pid)
            apiserver.kill(signal.SIGCONT)
            assert is_part_stopped
    finally:
        for each in busy:
            killed(each)
    eventually(cluster.is_ready)


def test_killed_owner_leaves_neither_process_nor_folder(runtime: Path) -> None:
    owner = python(OWNER, "orphan")
    assert first_line(owner) == "ready\n"
    assert command_lines_naming(runtime / "orphan")
    killed(owner)
    eventually(lambda: not (runtime / "orphan").exists())
    eventually(lambda: command_lines_naming(runtime / "orphan") == [])


def test_owner_killed_while_its_cluster_starts_leaves_nothing(runtime: Path) -> None:
    folder = runtime / "unborn"
    owner = python(OWNER, "unborn")
    eventually(lambda: "apiserver" in read_roster(folder).parts)
    killed(owner)
    eventually(lambda: not folder.exists())
    eventually(lambda: command_lines_naming(folder) == [])


def test_killed_guardian_leaves_nothing_after_the_next_cleanup() -> None:
    with LocalCluster.start("unguarded", nodes=1) as unguarded:
        folder = unguarded.folder
        guardian = read_roster(folder).guardian
        assert guardian is not None
        os.kill(guardian.pid, signal.SIGKILL)
        unguarded._process.wait()  # noqa: SLF001 - the owner learns of it only in `stop`
        with pytest.raises(NotRunningError, match="localcluster down --name unguarded"):
            unguarded.part("etcd")
        if sys.platform == "linux":  # there the kernel kills the parts; elsewhere the cleanup does
            eventually(lambda: command_lines_naming(folder) == [])
        clean_up_leftovers()
        eventually(lambda: command_lines_naming(folder) == [])
        assert not folder.exists()


def test_killed_guardian_leaves_nothing_after_stop() -> None:
    with LocalCluster.start("unguarded", nodes=1) as unguarded:
        folder = unguarded.folder
        unguarded._process.kill()  # noqa: SLF001 - the guardian
    assert command_lines_naming(folder) == []
    assert not folder.exists()


def test_ctrl_c_does_not_reach_the_parts(cluster: LocalCluster) -> None:
    assert os.getsid(cluster.part("apiserver").pid) != os.getsid(0)


def test_killed_part_stays_down_until_it_is_restarted() -> None:
    with LocalCluster.start("chaos", nodes=1) as chaos:
        Kubectl(chaos)("create", "namespace", "remembered")
        for name in ("apiserver", "etcd", "scheduler"):
            part = chaos.part(name)
            before = part.pid
            part.kill(signal.SIGKILL)
            eventually(lambda part=part: not part.is_running)
            part.restart()
            assert part.pid != before
        assert Kubectl(chaos).has("namespace", "remembered")


def test_error_for_an_unknown_part_lists_the_parts(cluster: LocalCluster) -> None:
    with pytest.raises(LocalClusterError, match="it has apiserver, controller-manager, etcd, kwok, scheduler"):
        cluster.part("kubelet")


def test_error_for_invalid_api_server_flags_contains_its_log(runtime: Path) -> None:
    with pytest.raises(LocalClusterError, match=r"its apiserver ended:[^$]*--no-such-flag"):
        LocalCluster.start("refused", apiserver_flags=["--no-such-flag"])
    assert not (runtime / "refused").exists()


def test_existing_cluster_is_used_and_left_alone(
    cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch, runtime: Path
) -> None:
    monkeypatch.setenv("STATEFULROUTE_KUBECONFIG", str(cluster.kubeconfig))
    with LocalCluster.start("borrowed") as borrowed:
        assert (borrowed.provider, borrowed.server) == ("existing", cluster.server)
        assert borrowed.kubeconfig == cluster.kubeconfig
    assert cluster.is_ready()
    assert not (runtime / "borrowed").exists()


def test_envtest_binaries_make_a_cluster_without_pods(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = build(PlainProgress()).controlplane
    for part in ("etcd", "apiserver"):
        script = tmp_path / ("kube-apiserver" if part == "apiserver" else part)
        script.write_text(f'#!/bin/sh\nexec "{program}" {part} "$@"\n')
        script.chmod(0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    with LocalCluster.start("assets") as assets:
        assert assets.provider == "envtest"
        assert not assets.has_controllers
        assert Kubectl(assets).list("nodes") == []
        Kubectl(assets)("run", "stored", "--image=example")


def test_command_starts_shows_and_stops_a_cluster(runtime: Path) -> None:
    code, output, errors = run_localcluster("up", "--name", "typed", "--nodes", "1")
    assert (code, "is ready at https://127.0.0.1:" in output) == (0, True), errors
    try:
        code, output, _ = run_localcluster("up", "--name", "typed")
        assert (code, "is running already" in output) == (0, True)
        assert run_localcluster("kubeconfig", "--name", "typed")[1] == f"{runtime}/typed/admin.kubeconfig\n"
        code, output, _ = run_localcluster("status")
        assert (code, "typed" in output, "1/1" in output, "5 running" in output) == (0, True, True, True)
    finally:
        code, output, errors = run_localcluster("down", "--name", "typed")
    assert (code, output) == (0, "Cluster typed is gone.\n"), errors
    assert command_lines_naming(runtime / "typed") == []
    assert not (runtime / "typed").exists()


def test_command_prints_errors_as_one_sentence() -> None:
    code, _, errors = run_localcluster("up", "--name", "typed", KUBEBUILDER_ASSETS="/nowhere")
    assert code == 1
    assert errors.startswith("localcluster: KUBEBUILDER_ASSETS is /nowhere, but there is no program etcd")
    assert "Traceback" not in errors
