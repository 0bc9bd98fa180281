"""The stage: a control plane of the demo's own, and the operator beside it."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from demo.kubectl import Kubectl
from demo.screen import Screen
from localcluster import AlreadyRunningError, LocalCluster, LocalClusterError
from localcluster.progress import Progress

NAME = "demo"
NODES = 3
OPERATOR = "operator"


class UnexpectedError(Exception):
    """Something did not come about; the message says in a sentence what."""


@dataclass(frozen=True, slots=True)
class Environment:
    """A running control plane.

    Attributes:
        cluster: The control plane; what runs in it ends with it.
        kubectl: Talks to it as its administrator.
    """

    cluster: LocalCluster
    kubectl: Kubectl

    @property
    def operator_command(self) -> list[str]:
        """The operator, as it is started here."""
        program = Path(sys.executable).with_name("statefulroute")
        kubeconfig = f"--kubeconfig={self.cluster.kubeconfig}"
        return [str(program), "operator", kubeconfig, "--no-leader-elect", "--log-format=json"]

    @property
    def operator_log(self) -> Path:
        """Where the operator's log goes."""
        return self.cluster.folder / f"{OPERATOR}.log"

    def start_operator(self) -> None:
        """Start the operator as a process of the cluster's guardian, which ends it even if we are killed."""
        self.cluster.guardian.start(OPERATOR, self.operator_command)

    def end_operator(self) -> None:
        """End the operator while the API server still answers it."""
        if OPERATOR in self.cluster.guardian.parts():
            self.cluster.guardian.end(OPERATOR)

    def check_operator(self) -> None:
        """Make sure that the operator runs.

        Raises:
            UnexpectedError: It has ended.
        """
        state = self.cluster.guardian.parts().get(OPERATOR)
        if state is not None and state.ended is not None:
            last = self.cluster.guardian.log_tail(OPERATOR, lines=1) or "it has logged nothing"
            raise UnexpectedError(f"The operator has ended with {state.ended}: {last}")


@contextmanager
def start_environment(screen: Screen) -> Iterator[Environment]:
    """Start the control plane, and end it with all that runs in it.

    Raises:
        LocalClusterError: It did not start.
    """
    with screen.progress() as progress:
        started = _start(progress)
    with started as cluster:
        stage = Environment(cluster, Kubectl(cluster.kubectl, cluster.kubeconfig, cluster.folder / "kubectl-cache"))
        try:
            yield stage
        finally:
            with suppress(LocalClusterError):  # the guardian is gone, and the operator with it
                stage.end_operator()


def _start(progress: Progress) -> LocalCluster:
    try:
        return LocalCluster.start(NAME, nodes=NODES, provider="builtin", progress=progress)
    except AlreadyRunningError:  # another demo runs: they do not disturb each other
        return LocalCluster.start(f"{NAME}-{os.getpid()}", nodes=NODES, provider="builtin", progress=progress)
