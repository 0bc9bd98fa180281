"""Tests the state of clusters on disk, the claim of a name, and the cleanup, with `sleep` as the parts."""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.cluster_process import first_line, killed, python
from localcluster import AlreadyRunningError, LocalClusterError, NotRunningError
from localcluster.cluster import LocalCluster, stop_named
from localcluster.paths import runtime_folder
from localcluster.processes import Process, identify, is_alive, is_stopped, send
from localcluster.state import (
    Record,
    Roster,
    claim,
    clean_up,
    clean_up_leftovers,
    cluster_folder,
    read_record,
    read_roster,
    try_claim,
    write_record,
    write_roster,
)
from localcluster.status import STARTING, all_clusters

CLAIMANT = """
import sys, time
from localcluster.state import claim
claim(sys.argv[1])
print("claimed", flush=True)
time.sleep(600)
"""
RECORD = Record("x", "builtin", "https://127.0.0.1:1", "/k", "/kubectl", "v1.37.2", True, "2026-01-01T00:00:00+00:00")  # noqa: FBT003


@pytest.fixture
def sleeper() -> Iterator[tuple[subprocess.Popen[bytes], Process]]:
    process = subprocess.Popen(["sleep", "600"])  # noqa: S607
    identity = identify(process.pid)
    assert identity is not None
    yield process, identity
    process.kill()
    process.wait()


def test_claimed_name_cannot_be_claimed_again_until_it_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("localcluster.state.LOCK_SECONDS", 0.1)
    first = claim("taken")
    with pytest.raises(AlreadyRunningError, match="is being started or stopped"):
        claim("taken")
    first.remove()
    claim("taken").remove()


def test_claim_ends_with_its_process() -> None:
    claimant = python(CLAIMANT, "mortal")
    assert first_line(claimant) == "claimed\n"
    assert try_claim(cluster_folder("mortal")) is None
    killed(claimant)
    claim("mortal").remove()


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a_b", "a/b", "..", "a" * 31])
def test_refuses_an_invalid_name(name: str) -> None:
    with pytest.raises(LocalClusterError, match="cannot name a cluster"):
        cluster_folder(name)


def test_reads_back_what_was_recorded(tmp_path: Path) -> None:
    roster = Roster(Process(1, "then"), {"etcd": Process(2, "later")}, [["kind", "delete"]])
    write_record(tmp_path, RECORD)
    write_roster(tmp_path, roster)
    assert read_record(tmp_path) == RECORD
    assert read_roster(tmp_path) == roster


def test_nothing_is_recorded_for_a_missing_cluster(tmp_path: Path) -> None:
    assert read_record(tmp_path) is None
    assert read_roster(tmp_path) == Roster(None, {}, ())
    with pytest.raises(NotRunningError, match="localcluster up --name absent"):
        LocalCluster.attach("absent")
    assert not stop_named("absent")


def test_cleanup_terminates_the_recorded_processes_and_empties_the_folder(
    sleeper: tuple[subprocess.Popen[bytes], Process],
) -> None:
    process, identity = sleeper
    leftover = claim("leftover")
    (leftover.folder / "etcd").mkdir()
    write_roster(leftover.folder, Roster(None, {"etcd": identity}, ()))
    clean_up(leftover)
    assert process.wait() < 0
    assert list(leftover.folder.iterdir()) == []
    leftover.remove()


def test_cleanup_spares_a_process_that_only_has_the_recorded_id(
    sleeper: tuple[subprocess.Popen[bytes], Process],
) -> None:
    process, identity = sleeper
    leftover = claim("leftover")
    write_roster(leftover.folder, Roster(None, {"etcd": Process(identity.pid, "long ago")}, ()))
    clean_up(leftover)
    leftover.remove()
    assert process.poll() is None
    assert is_alive(identity)


def test_cleanup_runs_the_recorded_commands(tmp_path: Path) -> None:
    leftover = claim("leftover")
    write_roster(leftover.folder, Roster(None, {}, [["touch", str(tmp_path / "gone")], ["/no/such/program"]]))
    leftover.release()
    clean_up_leftovers()
    assert (tmp_path / "gone").exists()
    assert not leftover.folder.exists()


def test_signal_reaches_only_the_identified_process(
    sleeper: tuple[subprocess.Popen[bytes], Process],
) -> None:
    process, identity = sleeper
    assert not send(Process(identity.pid, "long ago"), 15)
    assert send(identity, 15)
    process.wait()
    assert not send(identity, 15)


def test_process_is_stopped_between_sigstop_and_sigcont(
    sleeper: tuple[subprocess.Popen[bytes], Process],
) -> None:
    process, _ = sleeper
    assert not is_stopped(process.pid)
    for _ in range(2):
        process.send_signal(signal.SIGSTOP)
        while not is_stopped(process.pid):
            pass
        process.send_signal(signal.SIGCONT)
        while is_stopped(process.pid):
            pass


def test_zombie_is_not_alive() -> None:
    process = subprocess.Popen(["sleep", "600"])  # noqa: S607
    identity = identify(process.pid)
    assert identity is not None
    process.kill()
    while identify(process.pid):
        pass
    assert not is_alive(identity)
    process.wait()


def test_starting_cluster_is_shown_only_by_name() -> None:
    starting = claim("starting")
    assert [(each.name, each.state, each.server) for each in all_clusters()] == [("starting", STARTING, None)]
    starting.remove()


def test_refuses_a_runtime_folder_that_others_can_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "statefulroute").mkdir()
    (tmp_path / "statefulroute").chmod(0o755)
    with pytest.raises(LocalClusterError, match="only you can read"):
        runtime_folder()


def test_runtime_folder_that_cannot_be_created_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "file"))
    with pytest.raises(LocalClusterError, match="set XDG_RUNTIME_DIR"):
        runtime_folder()


def test_folder_with_a_path_too_long_for_a_socket_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
    with pytest.raises(LocalClusterError, match="shorter path"):
        LocalCluster.start("deep")
    assert not (deep / "statefulroute" / "deep").exists()
