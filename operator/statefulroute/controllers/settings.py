"""How the operator runs."""

from dataclasses import dataclass
from pathlib import Path

from statefulroute.controllers.leadership import LeaderElectionSettings
from statefulroute.domain.redaction import UidRedactor
from statefulroute.monitoring.bind_address import BindAddress


@dataclass(frozen=True, slots=True)
class Settings:
    """How the operator runs.

    Attributes:
        kubeconfig: the path of a kubeconfig; None looks where kubectl looks.
        context: the kubeconfig's context; None is its current one.
        parallel_writes: how many links of one route are written at the same time.
        moves_per_second: how many links of lost pods are moved in a second, at the most.
        namespaces: where it works; none is the whole cluster.
        leader_election: how it is decided which of several operators works; None where this one is alone.
        bind_address: where it answers probes and Prometheus; None is nowhere.
        uid_redactor: what stands for the uids of links in logs and traces; None shows them.
    """

    kubeconfig: Path | None = None
    context: str | None = None
    parallel_writes: int = 32
    moves_per_second: int = 200
    namespaces: tuple[str, ...] = ()
    leader_election: LeaderElectionSettings | None = None
    bind_address: BindAddress | None = None
    uid_redactor: UidRedactor | None = None
