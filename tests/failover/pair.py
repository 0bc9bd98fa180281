"""Two operators that share a Lease, each as one of the pods of the chart's Deployment."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from support.audit import AuditLog, Entry
from support.kubectl import Kubectl
from support.operator_process import OperatorProcess
from support.waiting import eventually

#: Where the chart's pods are, and their Lease.
NAMESPACE = "statefulroute-system"

LEASE = "statefulroute-operator"

#: Whether everything is to be tried, with the times of the chart.
LONG = bool(os.environ.get("STATEFULROUTE_LONG"))

STARTED_LEADING = "this operator leads"
STOPPED_LEADING = "this operator leads no more, and ends"


@dataclass(frozen=True, slots=True)
class ElectionTimes:
    """How long a Lease lasts, in seconds."""

    duration: int
    deadline: float
    retry: float

    @property
    def options(self) -> tuple[str, ...]:
        """The operator's options for them."""
        return (
            f"--lease-duration-seconds={self.duration}",
            f"--renew-deadline-seconds={self.deadline}",
            f"--retry-period-seconds={self.retry}",
        )


#: Those of the chart, and of client-go.
DEFAULT_TIMES = ElectionTimes(15, 10, 2)

#: For what is as true of a Lease that is over soon.
SHORT_TIMES = ElectionTimes(4, 2.5, 0.5)


class Replica:
    """One operator, and what the API server knows of it.

    Args:
        pod: the pod to which its token is bound.
        kubeconfig: which has that token.
        log_file: where it logs to.
        audit: what it has asked for.
        options: more options of the command.
    """

    def __init__(self, pod: str, kubeconfig: Path, log_file: Path, audit: AuditLog, *options: str) -> None:
        self.pod = pod
        self.operator = OperatorProcess(kubeconfig, log_file, "--leader-elect", *options)
        self._audit = audit
        self._created = datetime.now(UTC)
        """When: what an earlier operator of the same pod has asked for does not count."""

    @property
    def is_leader(self) -> bool:
        """Whether it has come to lead."""
        return STARTED_LEADING in self.operator.log_text

    def await_leading(self) -> None:
        """Wait until it leads."""
        eventually(lambda: self.is_leader, f"{self.pod} leads")

    def errors(self) -> list[tuple[str, str]]:
        """What it has logged as an error, and the reason that it gives."""
        return [(line["event"], line.get("why", "")) for line in self.operator.errors()]

    def warnings(self) -> list[tuple[str, str]]:
        """What it has logged as a warning, and the error that it gives."""
        return [(line["event"], line.get("error", "")) for line in self.operator.lines if line["level"] == "warning"]

    def entries(self, holds: Callable[[Entry], bool] = lambda _: True) -> list[Entry]:
        """What it has asked for, or those entries of which something holds, in order."""
        return self._audit.entries(
            lambda entry: entry.pod == self.pod and entry.received > self._created and holds(entry)
        )

    def writes(self, resource: str | None = None) -> list[Entry]:
        """What it has changed or tried to, in order; of every resource unless one is given."""
        return self.entries(lambda entry: entry.is_write and resource in {None, entry.resource})

    def lease_writes(self) -> list[Entry]:
        """When it took, renewed or released the Lease."""
        return [entry for entry in self.writes("leases") if entry.is_success]

    def bindings(self) -> list[Entry]:
        """The links that it has bound, in order."""
        return [entry for entry in self.writes("podlinks") if entry.verb == "patch" and entry.is_success]

    def await_binding(self, after: datetime) -> datetime:
        """Wait until it has bound a link after some moment; gives when that was."""
        eventually(lambda: self.bindings() and self.bindings()[-1].received > after, f"{self.pod} binds links")
        return next(entry.received for entry in self.bindings() if entry.received > after)


@dataclass(slots=True)
class OperatorPair:
    """Two operators, of which at most one works.

    Attributes:
        admin: an administrator in the namespace of their Lease.
        audit: what they have asked for.
        folder: where they log to.
        kubeconfigs: with what each pod works.
        replicas: who was started.
    """

    admin: Kubectl
    audit: AuditLog
    folder: Path
    kubeconfigs: dict[str, Path]
    replicas: list[Replica] = field(default_factory=list)

    def start(self, times: ElectionTimes, *options: str) -> tuple[Replica, Replica]:
        """Start both; gives the one that has come to lead, and the one that stands by."""
        both = [self.replica(pod, *times.options, *options) for pod in self.kubeconfigs]
        for each in both:
            each.operator.launch()
        for each in both:
            each.operator.await_serving()
        eventually(lambda: any(each.is_leader for each in both), "one of them leads")
        leader, standby = sorted(both, key=lambda each: not each.is_leader)
        return leader, standby

    def replica(self, pod: str, *options: str) -> Replica:
        """An operator of one of the pods, not started yet."""
        made = Replica(pod, self.kubeconfigs[pod], self.folder / f"{pod}.log", self.audit, *options)
        self.replicas.append(made)
        return made

    def holder(self) -> str:
        """Who holds the Lease; empty when nobody does."""
        found = self.admin.run("get", "lease", LEASE, "--ignore-not-found", "--output=jsonpath={.spec.holderIdentity}")
        return found.expect_success().stdout

    def stop(self) -> None:
        """Kill what runs, and leave no Lease."""
        for each in self.replicas:
            if each.operator.is_running:
                each.operator.kill()
        self.admin.run("delete", "lease", LEASE, "--ignore-not-found").expect_success()


def received_after(writes: Sequence[Entry], moment: datetime) -> list[Entry]:
    """Those that the API server received after a moment."""
    return [entry for entry in writes if entry.received > moment]
