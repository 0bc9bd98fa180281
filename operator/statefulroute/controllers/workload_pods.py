"""The index of pods by workload: the pods of one workload are found without looking at those of others."""

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from statefulroute.cluster.cache import Cache
from statefulroute.domain.pod import Pod
from statefulroute.domain.workload import Workload

_NONE: Mapping[str, Pod] = MappingProxyType({})


class PodGroup(NamedTuple):
    """Pods of a namespace with one owner or one label, or all of them.

    The namespace is a part of it: a pod may name any owner, also one of another namespace.
    """

    namespace: str
    owner: str | None = None
    label: tuple[str, str] | None = None


def group_of(workload: Workload) -> PodGroup:
    """Returns a group that contains the pods of a workload."""
    if workload.selector is None:
        return PodGroup(workload.namespace, owner=workload.uid)
    return PodGroup(workload.namespace, label=workload.selector.required_label)


def groups_of(pod: Pod, *, has_selectors: bool = True) -> Iterator[PodGroup]:
    """Yields the groups that a pod is in.

    Args:
        pod: the pod.
        has_selectors: whether groups by label, and the namespace, are among them.
    """
    if pod.owner is not None:
        yield PodGroup(pod.namespace, owner=pod.owner.uid)
    if has_selectors:
        yield PodGroup(pod.namespace)
        for label in pod.labels.items():
            yield PodGroup(pod.namespace, label=label)


class WorkloadPods:
    """The pods of each workload.

    Args:
        pods: the cache of pods. The index listens to it.
    """

    def __init__(self, pods: Cache[Pod]) -> None:
        self._pods = pods
        self._groups: dict[PodGroup, dict[str, Pod]] = {}
        """The pods of each owner by name, and of each other group that was asked for."""
        self._labelled = 0
        """The number of groups by label or namespace."""
        pods.listen(self._pod_changed)

    def of(self, workload: Workload) -> Iterable[Pod]:
        """Returns the pods of a workload."""
        group = group_of(workload)
        if workload.selector is not None and group not in self._groups:
            self._add_group(group)
        return [pod for pod in self._groups.get(group, _NONE).values() if workload.owns(pod)]

    def _add_group(self, group: PodGroup) -> None:
        pods = self._pods.in_partition(group.namespace).values()
        members = {pod.name: pod for pod in pods if group in groups_of(pod)}
        if members:
            self._groups[group] = members
            self._labelled += 1

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        before = () if old is None else tuple(groups_of(old, has_selectors=self._labelled > 0))
        after = () if new is None else tuple(groups_of(new, has_selectors=self._labelled > 0))
        if old is not None:
            for group in before:
                if group not in after:
                    self._remove(group, old)
        if new is not None:
            for group in after:
                if group.owner is not None:
                    self._groups.setdefault(group, {})[new.name] = new
                elif (members := self._groups.get(group)) is not None:
                    members[new.name] = new

    def _remove(self, group: PodGroup, pod: Pod) -> None:
        members = self._groups.get(group)
        if members is None:
            return
        members.pop(pod.name, None)
        if not members:  # a group that is empty is looked for again when it is asked for
            del self._groups[group]
            self._labelled -= group.owner is None
