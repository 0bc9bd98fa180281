"""The environment of the demo: a separate control plane and the operator."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from demo.kubectl import Kubectl
from demo.screen import Screen
from localcluster import AlreadyRunningError, LocalCluster, LocalClusterError
from localcluster.components import POD_RANGE
from localcluster.progress import Progress

NAME = "demo"
NODES = 3
OPERATOR = "operator"


class UnexpectedError(Exception):
    """Something did not happen as expected; the message is a sentence that says what."""


@dataclass(frozen=True, slots=True)
class Environment:
    """A running control plane.

    Attributes:
        cluster: The control plane; what runs in it stops with it.
        kubectl: A kubectl of its administrator.
    """

    cluster: LocalCluster
    kubectl: Kubectl

    @property
    def operator_command(self) -> list[str]:
        """The command of the operator."""
        program = Path(sys.executable).with_name("statefulroute")
        kubeconfig = f"--kubeconfig={self.cluster.kubeconfig}"
        return [str(program), "operator", kubeconfig, "--no-leader-elect", "--log-format=json"]

    @property
    def operator_log(self) -> Path:
        """The file of the operator's log."""
        return self.cluster.folder / f"{OPERATOR}.log"

    def start_operator(self) -> None:
        """Starts the operator as a process of the cluster's guardian, which stops it even if this process is killed."""
        self.cluster.guardian.start(OPERATOR, self.operator_command)

    def end_operator(self) -> None:
        """Stops the operator while the API server still responds."""
        if OPERATOR in self.cluster.guardian.parts():
            self.cluster.guardian.end(OPERATOR)

    def check_operator(self) -> None:
        """Checks that the operator runs.

        Raises:
            UnexpectedError: It has stopped.
        """
        state = self.cluster.guardian.parts().get(OPERATOR)
        if state is not None and state.ended is not None:
            last = self.cluster.guardian.log_tail(OPERATOR, lines=1) or "it has logged nothing"
            raise UnexpectedError(f"The operator stopped with {state.ended}: {last}")


@contextmanager
def start_environment(screen: Screen, *, reachable_pods: bool = False) -> Iterator[Environment]:
    """Starts the control plane, and stops it and everything in it on exit.

    Args:
        screen: Where to show the progress.
        reachable_pods: Whether pods get addresses of this machine, on which servers can listen.

    Raises:
        LocalClusterError: It did not start.
    """
    with screen.progress() as progress:
        started = _start(progress, reachable_pods=reachable_pods)
    with started as cluster:
        environment = Environment(
            cluster, Kubectl(cluster.kubectl, cluster.kubeconfig, cluster.folder / "kubectl-cache")
        )
        try:
            yield environment
        finally:
            with suppress(LocalClusterError):  # the guardian is gone, and the operator with it
                environment.end_operator()


def _start(progress: Progress, *, reachable_pods: bool) -> LocalCluster:
    # Another demo may use another part of the loopback addresses.
    pod_range = f"127.{16 + os.getpid() % 200}.0.0/16" if reachable_pods else POD_RANGE

    def start(name: str) -> LocalCluster:
        return LocalCluster.start(name, nodes=NODES, provider="builtin", progress=progress, pod_range=pod_range)

    try:
        return start(NAME)
    except AlreadyRunningError:  # another demo runs; the two do not affect each other
        return start(f"{NAME}-{os.getpid()}")
