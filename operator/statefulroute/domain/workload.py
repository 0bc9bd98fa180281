"""The workload of a route: the object whose pods the route selects."""

from dataclasses import dataclass, replace

from statefulroute.api.vocabulary import RouteReason
from statefulroute.domain.keys import PodKey, WorkloadKey
from statefulroute.domain.pod import Pod
from statefulroute.domain.selector import Selector


@dataclass(frozen=True, slots=True)
class WorkloadAnnotations:
    """The operator's annotations on a workload, as stored.

    Attributes:
        state: the workload state.
        load: the mean weighted load of the pods.
    """

    state: str | None = None
    load: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One version of a workload: a StatefulSet, or another object with a scale subresource."""

    namespace: str
    name: str
    resource_version: int
    uid: str
    replicas: int
    first_index: int | None = None
    """The index of the first pod; None if pods have no index, so that no new pod gets the name of an old one."""
    selector: Selector | None = None
    """Selects the pods by label; None if the pods are those with this workload as their controller."""
    selector_text: str = ""
    """The label selector of the workload, for scalers; empty if it is not known."""
    annotations: WorkloadAnnotations = WorkloadAnnotations()
    update_revision: str = ""
    """The latest revision of the pod template; empty if it is not known."""
    update_strategy: str = ""
    """How a StatefulSet replaces its pods: `RollingUpdate` or `OnDelete`."""
    service_name: str = ""
    """The headless Service that provides the DNS names of the pods; empty if the workload has none."""

    @property
    def partition(self) -> str:
        """The key by which caches partition objects."""
        return self.namespace

    @property
    def decision_inputs(self) -> "Workload":
        """The workload without the fields that no decision depends on: its version and the operator's annotations."""
        return replace(self, resource_version=0, annotations=WorkloadAnnotations())

    def owns(self, pod: Pod) -> bool:
        """Returns whether the pod belongs to this workload, and not to an earlier one of the same name."""
        if self.selector is not None:
            return self.selector.matches(pod.labels)
        return pod.owner is not None and pod.owner.uid == self.uid and pod.index is not None

    @property
    def is_indexed(self) -> bool:
        """Returns whether links refer to the pods by index."""
        return self.first_index is not None

    def pod_key(self, pod: Pod) -> PodKey:
        """Returns the key by which links refer to a pod of the workload."""
        return pod.name if self.first_index is None or pod.index is None else pod.index

    def can_create(self, pod: PodKey) -> bool:
        """Returns whether the workload may create a missing pod: one whose index is within its replicas."""
        if self.first_index is None or isinstance(pod, str):
            return False
        return self.first_index <= pod < self.first_index + self.replicas

    def wants(self, pod: PodKey) -> bool:
        """Returns whether an existing pod is not surplus: its index, if it has one, is within the replicas."""
        return not self.is_indexed or self.can_create(pod)

    def host(self, pod: Pod) -> str | None:
        """Returns the stable DNS name of a pod; None without a headless Service."""
        return f"{pod.name}.{self.service_name}.{self.namespace}.svc" if self.service_name else None


@dataclass(frozen=True, slots=True)
class MissingWorkload:
    """A workload that does not exist or cannot be routed to.

    Attributes:
        reason: the reason, for conditions.
        message: a message that explains the reason.
    """

    reason: RouteReason
    message: str


def workload_not_found(key: WorkloadKey) -> MissingWorkload:
    """Returns the reason and message for a workload that does not exist."""
    message = f"{key.kind} {key.name!r} does not exist in namespace {key.namespace!r}"
    return MissingWorkload(RouteReason.WORKLOAD_NOT_FOUND, message)
