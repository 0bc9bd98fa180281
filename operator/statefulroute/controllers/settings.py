"""The settings of the operator."""

from dataclasses import dataclass
from pathlib import Path

from statefulroute.controllers.leadership import LeaderElectionSettings
from statefulroute.domain.redaction import UidRedactor
from statefulroute.monitoring.bind_address import BindAddress
from statefulroute.monitoring.settings import MetricsEndpoint


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of the operator.

    Attributes:
        kubeconfig: the path of a kubeconfig; None is where kubectl finds one.
        context: the context of the kubeconfig; None is its current one.
        parallel_writes: how many links of one route are written at the same time; half as many more are for
            those of all other routes.
        moves_per_second: how many links of lost pods are moved, deleted or marked in a second, over all routes.
        annotates: whether the operator annotates pods and workloads, with their load and state.
        plans_disruptions: whether scale-down and node drain wait for users where routes configure it.
        keep_managed_fields: whether the managedFields of links stay; otherwise each write of a spec removes them.
        namespaces: the namespaces that the operator works in; none is the whole cluster.
        leader_election: the settings of leader election; None if this operator runs alone.
        bind_address: where the operator serves probes and metrics; None is nowhere.
        metrics: where it serves metrics over TLS instead; None serves them with the probes.
        profiling_address: where it serves profiles of itself, a loopback address; None is nowhere.
        uid_redactor: replaces the uids of links in logs and traces; None leaves them.
    """

    kubeconfig: Path | None = None
    context: str | None = None
    parallel_writes: int = 32
    moves_per_second: int = 200
    annotates: bool = True
    plans_disruptions: bool = True
    keep_managed_fields: bool = False
    namespaces: tuple[str, ...] = ()
    leader_election: LeaderElectionSettings | None = None
    bind_address: BindAddress | None = None
    metrics: MetricsEndpoint | None = None
    profiling_address: BindAddress | None = None
    uid_redactor: UidRedactor | None = None
