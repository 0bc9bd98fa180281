"""Sets of pods that change pod by pod. Equal small sets are one object: most routes have few pods, with equal keys."""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from functools import lru_cache

from statefulroute.domain.keys import PodKey

#: The size of the largest sets that are shared, and how many of them are kept. Each set would take 230 bytes.
_MAX_SHARED_SIZE, _MAX_SHARED = 4, 1024

NO_PODS: AbstractSet[PodKey] = frozenset()


def pod_set(pods: Iterable[PodKey]) -> AbstractSet[PodKey]:
    """Returns a set of pods, which only `add_pod` and `remove_pod` may change."""
    return _share_if_small(set(pods))


def add_pod(pods: AbstractSet[PodKey], key: PodKey) -> AbstractSet[PodKey]:
    """Returns a set with a pod more; the one that was given is not used any more."""
    if isinstance(pods, set):
        pods.add(key)
        return pods
    return pods if key in pods else _share_if_small({*pods, key})


def remove_pod(pods: AbstractSet[PodKey], key: PodKey) -> AbstractSet[PodKey]:
    """Returns a set without a pod; the one that was given is not used any more."""
    if isinstance(pods, set):
        pods.discard(key)
        return _share_if_small(pods)
    return _share_if_small({*pods} - {key}) if key in pods else pods


def _share_if_small(pods: set[PodKey]) -> AbstractSet[PodKey]:
    return _shared(frozenset(pods)) if len(pods) <= _MAX_SHARED_SIZE else pods


@lru_cache(_MAX_SHARED)
def _shared(pods: frozenset[PodKey]) -> frozenset[PodKey]:
    return pods
