"""A local cluster for tests, benchmarks and the demo."""

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
        """Its process id; that of its last process if it does not run."""
        return self._cluster.guardian.parts()[self.name].pid

    @property
    def is_running(self) -> bool:
        """Whether its process is alive (a stopped one is)."""
        return self._cluster.guardian.parts()[self.name].ended is None

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Sends a signal; after SIGSTOP waits until the process has stopped. Only `restart` starts it again."""
        self._cluster.guardian.signal(self.name, number)

    def end(self) -> None:
        """Terminates it gracefully and waits until it has exited."""
        self._cluster.guardian.end(self.name)

    def restart(self) -> None:
        """Starts it again with the same command, stopping it first if it runs, and waits for the API server."""
        self._cluster.guardian.restart(self.name)
        self._cluster.wait_ready()


class LocalCluster:
    """A running cluster.

    A cluster that this process started stops with the process, even if the process is killed: use it as a context
    manager, or call `stop`.
    """

    def __init__(self, record: Record, guardian: subprocess.Popen[bytes] | None) -> None:
        self._record = record
        self._process = guardian
        self._folder = cluster_folder(record.name)
        self.guardian = GuardianClient(self._folder)

    @classmethod
    def start(  # noqa: PLR0913 - each has a default, and they are independent
        cls,
        name: str = "default",
        *,
        nodes: int | None = None,
        provider: str | None = None,
        kubeconfig: Path | None = None,
        apiserver_flags: Sequence[str] = (),
        pod_range: str = POD_RANGE,
        kubernetes: str | None = None,
        progress: Progress | None = None,
    ) -> Self:
        """Starts a cluster and returns when pods can be created in it.

        Args:
            name: Distinguishes clusters that run at the same time.
            nodes: The number of nodes; by default the provider's default.
            provider: One of `localcluster.providers.ProviderName`; by default what the arguments and the environment
                imply.
            kubeconfig: The kubeconfig of an existing cluster.
            apiserver_flags: Additional flags of the API server; they override ours.
            pod_range: The addresses of pods, as a CIDR; in 127.0.0.0/8 a test can listen on them. A real node has the
                families of this range, which may be two CIDRs, of IPv4 and IPv6, with a comma between them.
            kubernetes: The minor version of Kubernetes, like `1.31`, for the provider `builtin`; by default that of
                STATEFULROUTE_KUBERNETES, else the newest.
            progress: Reports the progress; by default to the logger `localcluster`.

        Raises:
            AlreadyRunningError: The name is in use.
            LocalClusterError: The cluster cannot start; the message is a sentence that says why.
        """
        chosen_provider = providers.choose_provider(provider, kubeconfig, os.environ)
        provide = providers.provider_function(chosen_provider)
        count = nodes or providers.default_node_count(chosen_provider)
        spec = ClusterSpec(
            name=name,
            node_count=count,
            kubeconfig=kubeconfig,
            apiserver_flags=apiserver_flags,
            pod_range=pod_range,
            kubernetes=kubernetes or os.environ.get(providers.KUBERNETES_VARIABLE) or None,
            environment=os.environ,
            progress=progress or PlainProgress(),
        )
        claimed = claim(name)
        process = _spawn(claimed)
        try:
            client = GuardianClient(claimed.folder)
            client.parts()  # it responds, so it shares the lock
            claimed.release()
            provided = provide(spec, claimed.folder, client)
            record = Record(
                name=name,
                provider=chosen_provider.value,
                server=provided.server,
                kubeconfig=str(provided.kubeconfig),
                kubectl=str(provided.kubectl),
                version=provided.version,
                has_controllers=provided.has_controllers,
                created=datetime.now(UTC).isoformat(timespec="seconds"),
            )
            write_record(claimed.folder, record)
        except BaseException:
            _end(process, claimed.folder)
            raise
        return cls(record, process)

    @classmethod
    def attach(cls, name: str = "default") -> Self:
        """Returns a cluster that another process started.

        Raises:
            NotRunningError: No cluster with this name is ready.
        """
        record = read_record(cluster_folder(name))
        if record is None:
            raise NotRunningError(
                f"No cluster named {name!r} is running: start it with `localcluster up --name {name}`."
            )
        return cls(record, None)

    @property
    def name(self) -> str:
        """The name of the cluster."""
        return self._record.name

    @property
    def provider(self) -> str:
        """The provider that started it."""
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
        """A kubectl that matches the server's version."""
        return Path(self._record.kubectl)

    @property
    def has_controllers(self) -> bool:
        """Whether controllers, a scheduler and nodes run, so that pods run."""
        return self._record.has_controllers

    @property
    def folder(self) -> Path:
        """Its private folder, with the logs of its parts (`<part>.log`)."""
        return self._folder

    def part(self, name: str) -> Part:
        """Returns one of its processes.

        Raises:
            LocalClusterError: It has no such part, as any cluster that localcluster did not start itself.
        """
        parts = self.guardian.parts()
        if name not in parts:
            raise LocalClusterError(f"Cluster {self.name!r} has no part {name!r}: it has {', '.join(parts) or 'none'}.")
        return Part(name, self)

    def load_image(self, archive: Path) -> None:
        """Loads the images of an archive into its node, under the names that pods use.

        Raises:
            LocalClusterError: It has no node that runs containers, or the file is not an archive of images.
        """
        node_images.load(self.folder, archive)

    def is_ready(self) -> bool:
        """Returns whether its API server reports that it is ready."""
        return run_kubectl(self.kubectl, self.kubeconfig, "get", "--raw", "/readyz") is not None

    def wait_ready(self, timeout: float = READY_SECONDS) -> None:
        """Waits until the API server is ready, for at most `timeout` seconds.

        Raises:
            LocalClusterError: It was not ready in time.
        """
        if not wait_until(self.is_ready, timeout):
            raise LocalClusterError(f"The API server of cluster {self.name!r} was not ready after {timeout:.0f} s.")

    def outlive_owner(self) -> None:
        """Keeps it running when this process exits, until `stop` or `localcluster down`."""
        self.guardian.outlive_owner()
        if self._process is not None:
            self._process.returncode = 0  # it is meant to outlive this process, so Popen need not warn about it
        self._process = None

    def stop(self) -> None:
        """Stops it and removes everything it left; a second call does nothing."""
        _end(self._process, self.folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def stop_named(name: str) -> bool:
    """Stops the cluster with this name, whichever process started it; returns False if none exists.

    Raises:
        LocalClusterError: It still exists afterwards, because it is just being started.
    """
    folder = cluster_folder(name)
    if not folder.exists():
        return False
    _end(None, folder)
    if folder.exists():
        raise LocalClusterError(f"Cluster {name!r} is just being started: try again in a second.")
    return True


def _spawn(claimed: Claim) -> subprocess.Popen[bytes]:
    try:
        return spawn(claimed)
    except BaseException:
        claimed.remove()
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
    # A guardian that stopped gracefully has removed the folder; one that was killed has not.
    with suppress(FileNotFoundError):
        leftover = try_claim(folder)
        if leftover is not None:
            clean_up(leftover)
            leftover.remove()
