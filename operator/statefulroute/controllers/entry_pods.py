"""The pods of the routes in use, and their loads: what each event of a pod changes in the entry of a route."""

from statefulroute.api.vocabulary import LoadSource, RoutingState
from statefulroute.controllers.load_tracker import LoadTracker
from statefulroute.controllers.route_entries import RouteEntry
from statefulroute.controllers.workload_pods import WorkloadPods
from statefulroute.domain.keys import PodKey
from statefulroute.domain.load import Load, LoadReport
from statefulroute.domain.loss import end_cause
from statefulroute.domain.lost_pods import lost_pod_causes
from statefulroute.domain.pod import Pod
from statefulroute.domain.workload import Workload


class EntryPods:
    """Keeps the pods of entries and the loads of these pods.

    Args:
        workload_pods: the pods by workload.
        loads: the loads of pods.
    """

    def __init__(self, workload_pods: WorkloadPods, loads: LoadTracker) -> None:
        self._workload_pods = workload_pods
        self._loads = loads

    def read(self, entry: RouteEntry) -> None:
        """Finds the pods of a new entry, and what is known of their loads."""
        route, workload = entry.route, entry.workload
        self._loads.restore(route.key, route.status.pods)
        if not isinstance(workload, Workload):
            return
        entry.pods = {pod.name: pod for pod in self._workload_pods.of(workload)}
        by_key = {workload.pod_key(pod): pod for pod in entry.pods.values()}
        self._loads.retain(route.key, {key: pod.uid for key, pod in by_key.items()})
        for key, pod in by_key.items():
            self._loads.observe_annotations(route, key, pod)
            if route.spec.load.source is LoadSource.HTTP:
                self._loads.restore_stale(route.key, key, pod)
        for key in by_key:
            entry.members.fresh.update(key)

    def read_status(self, entry: RouteEntry) -> None:
        """Adds what the status of a route shows to an entry, before its first view."""
        key, causes = entry.route.key, lost_pod_causes(entry.route)
        if causes and isinstance(entry.workload, Workload):
            by_key = {entry.workload.pod_key(pod) for pod in entry.pods.values()}
            for pod, cause in causes.items():
                if pod not in by_key:
                    entry.end_causes.setdefault(pod, cause)
        if entry.is_prepared and self._loads.needs_statuses(key):  # it has changed since
            self._loads.restore(key, entry.route.status.pods)

    def update(self, entry: RouteEntry, workload: Workload, old: Pod | None, new: Pod | None) -> bool:
        """Updates a pod of an entry; returns whether that may change a decision."""
        pod = new or old
        if pod is None:
            return False
        was_member, is_member = pod.name in entry.pods, new is not None and workload.owns(new)
        if not was_member and not is_member:
            return False
        pod_key = workload.pod_key(pod)
        if not is_member or (old and new and old.uid != new.uid):
            self._loads.forget(entry.route.key, pod_key, pod.name)
        may_differ, former = True, self._loads.loads_of(entry.route.key).get(pod_key)
        if new is None or not is_member:
            del entry.pods[pod.name]
        else:
            may_differ = self._update_member(entry, pod_key, old, new)
            has_annotations_of_old = old is not None and old.annotations == new.annotations
            load = self._loads.loads_of(entry.route.key).get(pod_key)
            if not may_differ and has_annotations_of_old and (load is former or _is_repeated(former, load)):
                return False
        entry.members.fresh.update(pod_key)
        entry.choice_changed(pod_key)
        if may_differ:
            entry.members.pod_changed(pod_key, pod.name)
        return may_differ

    def observe_load(self, entry: RouteEntry, pod: Pod, report: LoadReport, routing_state: RoutingState) -> bool:
        """Stores the load of a pod of an entry, unless another pod has taken its place.

        Returns:
            Whether that may change a decision.
        """
        if (pod_key := entry.key_of(pod)) is None:
            return False
        former = self._loads.loads_of(entry.route.key).get(pod_key)
        may_differ = self._loads.observe(entry.route, pod_key, pod, report, routing_state)
        if may_differ:
            entry.members.pod_changed(pod_key, pod.name)
        elif _is_repeated(former, self._loads.loads_of(entry.route.key).get(pod_key)):
            return False
        entry.members.fresh.update(pod_key)
        entry.choice_changed(pod_key)
        return may_differ

    def observe_load_error(self, entry: RouteEntry, pod: Pod, message: str) -> bool:
        """Stores why the load of a pod of an entry could not be read; returns whether that may change a decision."""
        pod_key = entry.key_of(pod)
        return pod_key is not None and self._loads.observe_error(entry.route.key, pod_key, pod, message)

    def _update_member(self, entry: RouteEntry, pod_key: PodKey, old: Pod | None, new: Pod) -> bool:
        """Stores a version of an entry's pod; returns whether it may change a decision."""
        was_member = new.name in entry.pods
        entry.pods[new.name] = new
        if not was_member or old is None or old.uid != new.uid:
            entry.end_causes.pop(pod_key, None)
        if (cause := end_cause(new)) is not None:
            entry.end_causes.setdefault(pod_key, cause)
        if not was_member or old is None or old.decision_inputs != new.decision_inputs:
            self._loads.observe_annotations(entry.route, pod_key, new)
            return True
        return old.load_report != new.load_report and self._loads.observe_annotations(entry.route, pod_key, new)


def _is_repeated(former: Load | None, load: Load | None) -> bool:
    """Returns whether a fresh load was reported once more, with the same figures, and at the same time or later."""
    return former is not None and load is not None and former.figures == load.figures
