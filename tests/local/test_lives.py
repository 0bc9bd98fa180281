"""How clusters start, run side by side and end; nothing may be left of them."""

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


def test_two_clusters_live_side_by_side_and_share_nothing(cluster: LocalCluster) -> None:
    with LocalCluster.start("beside", nodes=1) as other:
        assert other.server != cluster.server
        Kubectl(other)("create", "namespace", "only-here")
        assert not Kubectl(cluster).has("namespace", "only-here")
    assert cluster.is_ready()


def test_clusters_that_start_at_the_same_moment_do_not_take_each_others_ports(runtime: Path) -> None:
    owners = [python(OWNER, name) for name in ("twin-a", "twin-b")]
    try:
        assert [first_line(owner) for owner in owners] == ["ready\n", "ready\n"]
    finally:
        for owner in owners:
            owner.terminate()
            owner.communicate()
    eventually(lambda: not (runtime / "twin-a").exists() and not (runtime / "twin-b").exists())


def test_a_name_that_is_taken_is_refused(cluster: LocalCluster) -> None:
    with pytest.raises(AlreadyRunningError, match="is running already: choose another name"):
        LocalCluster.start(cluster.name)


def test_stopping_leaves_neither_process_nor_folder() -> None:
    with LocalCluster.start("brief", nodes=1) as brief:
        folder = brief.folder
        assert len(command_lines_naming(folder)) == 6  # five parts and their guardian
    assert command_lines_naming(folder) == []
    assert not folder.exists()
    brief.stop()  # a second time does nothing


def test_a_part_that_was_told_to_stop_stands_still_however_busy_the_machine_is(cluster: LocalCluster) -> None:
    apiserver = cluster.part("apiserver")
    busy = [python("while True: pass") for _ in range(4)]
    try:
        for _ in range(20):
            apiserver.kill(signal.SIGSTOP)
            still = is_stopped(apiserver.pid)
            apiserver.kill(signal.SIGCONT)
            assert still
    finally:
        for each in busy:
            killed(each)
    eventually(cluster.is_ready)


def test_a_killed_owner_leaves_neither_process_nor_folder(runtime: Path) -> None:
    owner = python(OWNER, "orphan")
    assert first_line(owner) == "ready\n"
    assert command_lines_naming(runtime / "orphan")
    killed(owner)
    eventually(lambda: not (runtime / "orphan").exists())
    eventually(lambda: command_lines_naming(runtime / "orphan") == [])


def test_an_owner_killed_while_its_cluster_starts_leaves_nothing(runtime: Path) -> None:
    folder = runtime / "unborn"
    owner = python(OWNER, "unborn")
    eventually(lambda: "apiserver" in read_roster(folder).parts)
    killed(owner)
    eventually(lambda: not folder.exists())
    eventually(lambda: command_lines_naming(folder) == [])


def test_a_killed_guardian_leaves_nothing_after_the_next_sweep() -> None:
    with LocalCluster.start("unguarded", nodes=1) as unguarded:
        folder = unguarded.folder
        guardian = read_roster(folder).guardian
        assert guardian is not None
        os.kill(guardian.pid, signal.SIGKILL)
        unguarded._process.wait()  # noqa: SLF001 - the owner would learn of it only in `stop`
        with pytest.raises(NotRunningError, match="localcluster down --name unguarded"):
            unguarded.part("etcd")
        if sys.platform == "linux":  # there the kernel ends the parts; elsewhere the sweep does
            eventually(lambda: command_lines_naming(folder) == [])
        clean_up_leftovers()
        eventually(lambda: command_lines_naming(folder) == [])
        assert not folder.exists()


def test_a_killed_guardian_leaves_nothing_after_stop() -> None:
    with LocalCluster.start("unguarded", nodes=1) as unguarded:
        folder = unguarded.folder
        unguarded._process.kill()  # noqa: SLF001 - the guardian
    assert command_lines_naming(folder) == []
    assert not folder.exists()


def test_the_parts_are_out_of_reach_of_ctrl_c(cluster: LocalCluster) -> None:
    assert os.getsid(cluster.part("apiserver").pid) != os.getsid(0)


def test_a_killed_part_stays_down_until_it_is_restarted() -> None:
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


def test_an_unknown_part_is_told_with_the_known_ones(cluster: LocalCluster) -> None:
    with pytest.raises(LocalClusterError, match="it has apiserver, controller-manager, etcd, kwok, scheduler"):
        cluster.part("kubelet")


def test_an_api_server_that_refuses_its_flags_is_told_with_its_last_words(runtime: Path) -> None:
    with pytest.raises(LocalClusterError, match=r"its apiserver ended:[^$]*--no-such-flag"):
        LocalCluster.start("refused", apiserver_flags=["--no-such-flag"])
    assert not (runtime / "refused").exists()


def test_an_existing_cluster_is_used_and_left_alone(
    cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch, runtime: Path
) -> None:
    monkeypatch.setenv("STATEFULROUTE_KUBECONFIG", str(cluster.kubeconfig))
    with LocalCluster.start("borrowed") as borrowed:
        assert (borrowed.provider, borrowed.server) == ("existing", cluster.server)
        assert borrowed.kubeconfig == cluster.kubeconfig
    assert cluster.is_ready()
    assert not (runtime / "borrowed").exists()


def test_the_binaries_of_envtest_make_a_cluster_without_pods(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_the_command_starts_shows_and_ends_a_cluster(runtime: Path) -> None:
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


def test_the_command_tells_what_is_wrong_in_a_sentence() -> None:
    code, _, errors = run_localcluster("up", "--name", "typed", KUBEBUILDER_ASSETS="/nowhere")
    assert code == 1
    assert errors.startswith("localcluster: KUBEBUILDER_ASSETS is /nowhere, but there is no program etcd")
    assert "Traceback" not in errors
