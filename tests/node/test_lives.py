"""Tests how a real node starts and stops without leaving anything on its machine."""

import os
import re
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import pytest

from localcluster import LocalCluster, LocalClusterError
from localcluster.node import cgroups, machine_exec
from localcluster.node.components import BRIDGE, PAUSE_IMAGE
from localcluster.node.machine import FOLDERS, INTERFACE, NETWORK_SETTINGS, PID_FILE, RESERVED_PORTS
from localcluster.state import read_roster
from support.kubectl import Kubectl
from support.waiting import eventually

T = TypeVar("T")

pytestmark = pytest.mark.usefixtures("node_prerequisites")

PAUSE = {"name": "pause", "image": PAUSE_IMAGE, "imagePullPolicy": "Never"}
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "still"},
    "spec": {"containers": [PAUSE], "volumes": [{"name": "empty", "emptyDir": {}}]},
}


@pytest.fixture
def runtime() -> Iterator[Path]:
    # The names of pytest's folders are too long for a socket.
    folder = Path(tempfile.mkdtemp(prefix="lc-"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        yield folder
    shutil.rmtree(folder, ignore_errors=True)


def links() -> list[str]:
    """Returns the machine's network interfaces that could belong to a node; other programs create and remove others."""
    return [name for name in (INTERFACE, f"{INTERFACE}-end", BRIDGE) if Path("/sys/class/net", name).exists()]


def mounts(runtime: Path) -> list[str]:
    """Returns the machine's mounts that could belong to a node."""
    lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if any(place in line for place in ("localcluster", str(runtime), *FOLDERS))]


def folders() -> list[str]:
    """Returns the existing folders of those that a node writes to."""
    return [folder for folder in FOLDERS if Path(folder).exists()]


class Traces:
    """Identifies a node's processes after it is gone, by their control groups and their pid namespace."""

    def __init__(self, cluster: LocalCluster) -> None:
        pid = (cluster.folder / PID_FILE).read_text(encoding="ascii")
        self._namespace = Path(f"/proc/{pid}/ns/pid").readlink()
        self.group = cgroups.name_for(cluster.folder)

    def processes(self) -> list[str]:
        """Returns the processes of the machine."""
        return [
            process.name for process in _processes() if _answer(process / "ns/pid", Path.readlink) == self._namespace
        ]

    def contained(self) -> list[str]:
        """Returns the processes in containers, which have separate namespaces."""
        group = f"/{self.group}/"
        return [each.name for each in _processes() if group in str(_answer(each / "cgroup", Path.read_text))]


def _processes() -> Iterator[Path]:
    return (entry for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _answer(path: Path, question: Callable[[Path], T]) -> T | None:
    try:
        return question(path)
    except OSError:  # it has exited, or is a zombie
        return None


def run_a_pod(cluster: LocalCluster, folder: Path) -> None:
    """Runs a pod, with processes, mounts, an interface and control groups."""
    kubectl = Kubectl(cluster.kubectl, cluster.kubeconfig, folder / "cache", "default")
    kubectl.create(POD)
    kubectl.run("wait", "--for=condition=Ready", "pod/still", "--timeout=50s").expect_success()


def ports_in(ranges: str) -> set[int]:
    """Returns the ports in a list of ranges, such as `40001,41000-41002`."""
    ends = [each.partition("-") for each in ranges.strip().split(",")]
    return {port for first, _, last in ends for port in range(int(first), int(last or first) + 1)}


@dataclass(frozen=True)
class Life:
    """A node from its start to its stop, below a private folder of the machine.

    Attributes:
        machine: Interfaces, mounts and folders of the machine before the start, while a pod ran, and after the stop.
        processes: The node's processes and those of its containers, while a pod ran and after the stop.
        groups: Its control groups at the same moments.
        refusal: The message for an archive that is not one.
        codes: The exit codes of a program that fails in the node, and of one that ends by SIGTERM.
        reserved: The ports that no program of the node gets if it requests any free port.
        port: The port of the API server.
        folder: The cluster's folder.
    """

    machine: tuple[object, object, object]
    processes: tuple[tuple[list[str], list[str]], tuple[list[str], list[str]]]
    groups: tuple[object, object]
    refusal: str
    codes: tuple[int, int]
    reserved: set[int]
    port: int
    folder: Path


@pytest.fixture(scope="module")
def life(node_prerequisites: None) -> Iterator[Life]:  # noqa: ARG001
    """Runs a node, a pod in it, and an archive that it refuses."""
    # Below /run, which the node has for itself.
    folder = Path(tempfile.mkdtemp(prefix="lc-", dir="/run"))

    def machine() -> object:
        return links(), mounts(folder), folders()

    def processes() -> tuple[list[str], list[str]]:
        return traces.processes(), traces.contained()

    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XDG_RUNTIME_DIR", str(folder))
            before = machine()
            with LocalCluster.start(f"node-{uuid4().hex[:6]}", provider="node") as cluster:
                run_a_pod(cluster, folder)
                traces = Traces(cluster)
                running, during, groups = processes(), machine(), cgroups.remaining(traces.group)
                archive = folder / "empty.tar"
                archive.touch()
                with pytest.raises(LocalClusterError) as refused:
                    cluster.load_image(archive)
                failed = machine_exec.run(cluster.folder, "false")
                killed = machine_exec.run(cluster.folder, "sh", "-c", "kill -TERM $$")
                reserved = machine_exec.run(cluster.folder, "cat", str(NETWORK_SETTINGS / RESERVED_PORTS)).stdout
            yield Life(
                machine=(before, during, machine()),
                processes=(running, processes()),
                groups=(groups, cgroups.remaining(traces.group)),
                refusal=str(refused.value),
                codes=(failed.returncode, killed.returncode),
                reserved=ports_in(reserved),
                port=int(cluster.server.rpartition(":")[2]),
                folder=cluster.folder,
            )
    finally:
        shutil.rmtree(folder)


def test_stopped_node_leaves_nothing(life: Life) -> None:
    (running, contained), after = life.processes
    assert running
    assert contained
    assert life.groups[0]
    assert life.machine[1] == life.machine[0]  # everything belongs to the node's namespaces
    assert after == ([], [])
    assert not life.groups[1]
    assert life.machine[2] == life.machine[0]
    assert not life.folder.exists()


def test_next_start_cleans_up_what_a_killed_guardian_left(runtime: Path) -> None:
    name = f"node-{uuid4().hex[:6]}"
    killed = LocalCluster.start(name, provider="node")
    run_a_pod(killed, runtime)
    traces = Traces(killed)
    guardian = read_roster(killed.folder).guardian
    assert guardian is not None
    os.kill(guardian.pid, signal.SIGKILL)
    eventually(lambda: not traces.processes() + traces.contained(), "the kernel ends all of the node's processes")
    killed._process.communicate()  # noqa: SLF001 - the guardian; the owner learns of its death only in `stop`
    assert cgroups.remaining(traces.group)

    with LocalCluster.start(name, provider="node") as again:
        run_a_pod(again, runtime)
    assert not cgroups.remaining(traces.group)


def test_folder_may_be_below_a_private_folder_of_the_node(life: Life) -> None:
    assert life.folder.is_relative_to("/run")  # and a pod was Ready


def test_no_program_of_the_node_takes_a_port_of_the_control_plane(life: Life) -> None:
    assert life.port in life.reserved
    assert len(life.reserved) == 3  # and those of etcd


def test_invalid_archive_is_refused_with_containerds_message(life: Life) -> None:
    assert re.search(r"empty\.tar cannot be loaded into the node: ctr: ", life.refusal)
    assert life.codes == (1, -signal.SIGTERM)


def test_refuses_more_than_one_node() -> None:
    with pytest.raises(LocalClusterError, match="The provider 'node' has one node, and 3 were requested"):
        LocalCluster.start("three", provider="node", nodes=3)
