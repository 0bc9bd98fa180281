"""A local cluster, as tests and the demo use it."""

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from localcluster import providers
from localcluster.components import POD_RANGE
from localcluster.errors import LocalClusterError, NotRunningError
from localcluster.guardian_client import GuardianClient, end_guardian, spawn
from localcluster.kubectl import run_kubectl
from localcluster.node import images as node_images
from localcluster.processes import wait_until
from localcluster.progress import PlainProgress, Progress
from localcluster.providers import ClusterSpec
from localcluster.state import (
    Claim,
    Record,
    claim,
    clean_up,
    cluster_folder,
    read_record,
    try_claim,
    write_record,
)

READY_SECONDS = 60.0
END_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Part:
    """One process of a cluster: etcd, apiserver, controller-manager, scheduler, kwok or, on a real node, kubelet."""

    name: str
    _cluster: "LocalCluster"

    @property
    def pid(self) -> int:
        """Its process id; that of its last process when it does not run."""
        return self._cluster.guardian.parts()[self.name].pid

    @property
    def is_running(self) -> bool:
        """Whether its process lives (a stopped one does)."""
        return self._cluster.guardian.parts()[self.name].ended is None

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send it a signal and return: after SIGSTOP once it stands still. Nothing starts it again but `restart`."""
        self._cluster.guardian.signal(self.name, number)

    def end(self) -> None:
        """End it in good order and wait until it is gone."""
        self._cluster.guardian.end(self.name)

    def restart(self) -> None:
        """Start it again as it was, ending it first if it runs, and wait until the API server answers."""
        self._cluster.guardian.restart(self.name)
        self._cluster.wait_ready()


class LocalCluster:
    """A running cluster.

    One that this process started ends with it, however it ends: use it as a context manager, or call `stop`.
    """

    def __init__(self, record: Record, guardian: subprocess.Popen[bytes] | None) -> None:
        self._record = record
        self._process = guardian
        self._folder = cluster_folder(record.name)
        self.guardian = GuardianClient(self._folder)

    @classmethod
    def start(  # noqa: PLR0913 - each has a default, and none belongs to another
        cls,
        name: str = "default",
        *,
        nodes: int | None = None,
        provider: str | None = None,
        kubeconfig: Path | None = None,
        apiserver_flags: Sequence[str] = (),
        pod_range: str = POD_RANGE,
        progress: Progress | None = None,
    ) -> Self:
        """Start a cluster and return when pods can be made in it.

        Args:
            name: Tells clusters apart that run side by side.
            nodes: How many nodes it shall have; by default what is usual for the provider.
            provider: One of `localcluster.providers.Name`; by default what the arguments and the environment imply.
            kubeconfig: The kubeconfig of an existing cluster.
            apiserver_flags: Flags that the API server gets besides; later ones win over ours.
            pod_range: The addresses that pods get, as a CIDR; in 127.0.0.0/8 a test can listen on them.
            progress: Hears how it goes; by default the logger `localcluster` does.

        Raises:
            AlreadyRunningError: The name is taken.
            LocalClusterError: Anything else that stands in the way, as a sentence.
        """
        chosen = providers.choose_provider(provider, kubeconfig, os.environ)
        provide = providers.provider_function(chosen)
        count = nodes or providers.default_node_count(chosen)
        order = ClusterSpec(
            name, count, kubeconfig, apiserver_flags, pod_range, os.environ, progress or PlainProgress()
        )
        taken = claim(name)
        process = _spawn(taken)
        try:
            client = GuardianClient(taken.folder)
            client.parts()  # it answers, so it holds the lock too
            taken.release()
            delivered = provide(order, taken.folder, client)
            record = Record(
                name=name,
                provider=chosen.value,
                server=delivered.server,
                kubeconfig=str(delivered.kubeconfig),
                kubectl=str(delivered.kubectl),
                version=delivered.version,
                has_controllers=delivered.has_controllers,
                created=datetime.now(UTC).isoformat(timespec="seconds"),
            )
            write_record(taken.folder, record)
        except BaseException:
            _end(process, taken.folder)
            raise
        return cls(record, process)

    @classmethod
    def attach(cls, name: str = "default") -> Self:
        """A cluster that somebody else started.

        Raises:
            NotRunningError: None of that name is ready.
        """
        record = read_record(cluster_folder(name))
        if record is None:
            raise NotRunningError(
                f"No cluster named {name!r} is running: start it with `localcluster up --name {name}`."
            )
        return cls(record, None)

    @property
    def name(self) -> str:
        """The name it was started under."""
        return self._record.name

    @property
    def provider(self) -> str:
        """Which provider started it."""
        return self._record.provider

    @property
    def server(self) -> str:
        """The URL of its API server."""
        return self._record.server

    @property
    def version(self) -> str:
        """The API server's version, like `v1.37.2`."""
        return self._record.version

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return Path(self._record.kubeconfig)

    @property
    def kubectl(self) -> Path:
        """A kubectl that fits the server's version."""
        return Path(self._record.kubectl)

    @property
    def has_controllers(self) -> bool:
        """Whether controllers, a scheduler and nodes are there, so that pods run."""
        return self._record.has_controllers

    @property
    def folder(self) -> Path:
        """Its private folder, with the logs of its parts (`<part>.log`)."""
        return self._folder

    def part(self, name: str) -> Part:
        """One of its processes.

        Raises:
            LocalClusterError: It has no such part, like every cluster that we did not start ourselves.
        """
        known = self.guardian.parts()
        if name not in known:
            raise LocalClusterError(f"Cluster {self.name!r} has no part {name!r}: it has {', '.join(known) or 'none'}.")
        return Part(name, self)

    def load_image(self, archive: Path) -> None:
        """Put the images of an archive into its node, under the names that pods give them.

        Raises:
            LocalClusterError: It has no node of ours that runs containers, or the archive is none.
        """
        node_images.load(self.folder, archive)

    def is_ready(self) -> bool:
        """Whether its API server says that it is ready."""
        return run_kubectl(self.kubectl, self.kubeconfig, "get", "--raw", "/readyz") is not None

    def wait_ready(self, timeout: float = READY_SECONDS) -> None:
        """Wait until the API server is ready, for at most `timeout` seconds.

        Raises:
            LocalClusterError: It was not ready in time.
        """
        if not wait_until(self.is_ready, timeout):
            raise LocalClusterError(f"The API server of cluster {self.name!r} was not ready after {timeout:.0f} s.")

    def outlive_owner(self) -> None:
        """Let it live on when this process ends, until `stop` or `localcluster down`."""
        self.guardian.outlive_owner()
        if self._process is not None:
            self._process.returncode = 0  # it is meant to outlive us, so Popen need not warn about it
        self._process = None

    def stop(self) -> None:
        """End it and remove everything that it left; a second call does nothing."""
        _end(self._process, self.folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def stop_named(name: str) -> bool:
    """End the cluster of this name, whoever started it and however far it has come; False when there is none.

    Raises:
        LocalClusterError: It is still there afterwards, because it is only just being started.
    """
    folder = cluster_folder(name)
    if not folder.exists():
        return False
    _end(None, folder)
    if folder.exists():
        raise LocalClusterError(f"Cluster {name!r} is just being started: try again in a second.")
    return True


def _spawn(taken: Claim) -> subprocess.Popen[bytes]:
    try:
        return spawn(taken)
    except BaseException:
        taken.remove()
        raise


def _end(process: subprocess.Popen[bytes] | None, folder: Path) -> None:
    if process is None:
        end_guardian(folder)
    else:
        process.terminate()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdin is not None:
            process.stdin.close()
    # A guardian that ended in good order has removed the folder; one that was killed has not.
    with suppress(FileNotFoundError):
        leftover = try_claim(folder)
        if leftover is not None:
            clean_up(leftover)
            leftover.remove()
