"""Two operators that share a Lease, each with the identity of a pod of the chart's Deployment."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from support.audit import AuditLog, Entry
from support.kubectl import Kubectl
from support.operator_process import OperatorProcess
from support.waiting import eventually

#: The namespace of the chart's pods and their Lease.
NAMESPACE = "statefulroute-system"

LEASE = "statefulroute-operator"

#: Whether all cases run, with the times of the chart.

STARTED_LEADING = "acquired the Lease"
STOPPED_LEADING = "lost the Lease: standing by"


@dataclass(frozen=True, slots=True)
class ElectionTimes:
    """The times of leader election, in seconds."""

    duration: int
    deadline: float
    retry: float

    @property
    def options(self) -> tuple[str, ...]:
        """The options of the operator for these times."""
        return (
            f"--lease-duration-seconds={self.duration}",
            f"--renew-deadline-seconds={self.deadline}",
            f"--retry-period-seconds={self.retry}",
        )


#: The times of the chart, and of client-go.
DEFAULT_TIMES = ElectionTimes(15, 10, 2)

#: For tests that hold for a short Lease as well.
SHORT_TIMES = ElectionTimes(4, 2.5, 0.5)


class Replica:
    """One operator, and its requests in the audit log.

    Args:
        pod: The pod that its token is bound to.
        kubeconfig: The kubeconfig with that token.
        log_file: The file of its log.
        audit: The audit log.
        options: Additional options of the command.
    """

    def __init__(self, pod: str, kubeconfig: Path, log_file: Path, audit: AuditLog, *options: str) -> None:
        self.pod = pod
        self.operator = OperatorProcess(kubeconfig, log_file, "--leader-elect", *options)
        self._audit = audit
        self._created = datetime.now(UTC)
        """When it was created: the requests of an earlier operator of the same pod do not count."""

    @property
    def terms(self) -> int:
        """How often it has started to lead."""
        return sum(line["event"] == STARTED_LEADING for line in self.operator.lines)

    @property
    def is_leader(self) -> bool:
        """Whether it has started to lead."""
        return self.terms > 0

    def await_leading(self) -> None:
        """Waits until it leads."""
        eventually(lambda: self.is_leader, f"{self.pod} leads")

    def errors(self) -> list[tuple[str, str]]:
        """Returns the errors of its log, each with its reason."""
        return [(line["event"], line.get("why", "")) for line in self.operator.errors()]

    def warnings(self) -> list[tuple[str, str]]:
        """Returns the warnings of its log, each with its error."""
        return [(line["event"], line.get("error", "")) for line in self.operator.lines if line["level"] == "warning"]

    def await_losing(self) -> tuple[datetime, str]:
        """Waits until it has lost the Lease; returns when that was, and the logged reason."""
        eventually(lambda: STOPPED_LEADING in self.operator.log_text, f"{self.pod} leads no more", seconds=60)
        line = next(line for line in self.operator.lines if line["event"] == STOPPED_LEADING)
        return datetime.fromisoformat(line["timestamp"]), line["why"]

    def entries(self, matches: Callable[[Entry], bool] = lambda _: True) -> list[Entry]:
        """Returns its requests that match, in order."""
        return self._audit.entries(
            lambda entry: entry.pod == self.pod and entry.received > self._created and matches(entry)
        )

    def writes(self, resource: str | None = None) -> list[Entry]:
        """Returns its writes and attempted writes, in order; of every resource unless one is given."""
        return self.entries(lambda entry: entry.is_write and resource in {None, entry.resource})

    def lease_writes(self) -> list[Entry]:
        """Returns the writes by which it acquired, renewed or released the Lease."""
        return [entry for entry in self.writes("leases") if entry.is_success]

    def bindings(self) -> list[Entry]:
        """Returns the writes by which it bound links, in order."""
        return [entry for entry in self.writes("podlinks") if entry.verb == "patch" and entry.is_success]

    def await_binding(self, after: datetime) -> datetime:
        """Waits until it has bound a link after a time; returns when that was."""
        eventually(lambda: self.bindings() and self.bindings()[-1].received > after, f"{self.pod} binds links")
        return next(entry.received for entry in self.bindings() if entry.received > after)


@dataclass(slots=True)
class OperatorPair:
    """Two operators, of which one at most works.

    Attributes:
        admin: A kubectl with an administrator's rights in the namespace of their Lease.
        audit: The audit log.
        folder: The folder of their logs.
        kubeconfigs: The kubeconfig of each pod.
        replicas: The operators that were created.
    """

    admin: Kubectl
    audit: AuditLog
    folder: Path
    kubeconfigs: dict[str, Path]
    replicas: list[Replica] = field(default_factory=list)

    def start(self, times: ElectionTimes, *options: str) -> tuple[Replica, Replica]:
        """Starts both; returns the leader and the standby."""
        both = [self.replica(pod, *times.options, *options) for pod in self.kubeconfigs]
        for replica in both:
            replica.operator.launch()
        for replica in both:
            replica.operator.await_serving()
        eventually(lambda: any(replica.is_leader for replica in both), "one of them leads")
        leader, standby = sorted(both, key=lambda replica: not replica.is_leader)
        return leader, standby

    def replica(self, pod: str, *options: str) -> Replica:
        """Returns an operator of one of the pods, not started yet."""
        replica = Replica(pod, self.kubeconfigs[pod], self.folder / f"{pod}.log", self.audit, *options)
        self.replicas.append(replica)
        return replica

    def holder(self) -> str:
        """Returns the holder of the Lease; empty without a holder."""
        result = self.admin.run("get", "lease", LEASE, "--ignore-not-found", "--output=jsonpath={.spec.holderIdentity}")
        return result.expect_success().stdout

    def stop(self) -> None:
        """Kills the operators that run, and deletes the Lease."""
        for replica in self.replicas:
            if replica.operator.is_running:
                replica.operator.kill()
        self.admin.run("delete", "lease", LEASE, "--ignore-not-found").expect_success()


def received_after(writes: Sequence[Entry], time: datetime) -> list[Entry]:
    """Returns the writes that the API server received after a time."""
    return [entry for entry in writes if entry.received > time]
