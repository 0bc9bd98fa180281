"""Decides how many pods a route needs for its links, and since when fewer pods are enough."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

from statefulroute.api.autoscaling import Autoscaling


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """The users of a workload, of all routes to it.

    Attributes:
        links: the number of links of each pod that is not closing, and of each pod that does not exist
            and may come back.
        waiting: how many links name no pod and wait for one.
        leaving: how many links closing pods have.
        returning: how many closing pods come back when they are empty: because of a rollout, or on another node.
    """

    links: Sequence[int] = ()
    waiting: int = 0
    leaving: int = 0
    returning: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether there is no link."""
        return not (self.waiting or self.leaving or any(self.links))


class NeededReplicas(NamedTuple):
    """How many pods are needed.

    Attributes:
        at_least: with fewer pods, some are added. Links on closing pods leave: they need no pod.
        at_most: with more pods, some may close. Links on closing pods count, because those that have not left at the
            deadline move to the other pods. Otherwise each pod that closes would make the next one close.
    """

    at_least: int
    at_most: int


def needed_replicas(autoscaling: Autoscaling, max_links_per_pod: int, demand: Demand) -> NeededReplicas:
    """Returns how many pods a route needs now, between `minReplicas` and `maxReplicas`.

    Args:
        autoscaling: the settings.
        max_links_per_pod: the limit of `placement`; 0 for none.
        demand: the users.
    """
    if demand.is_empty and not autoscaling.min_replicas:
        return NeededReplicas(0, 0)
    present = total = sum(demand.links)
    if autoscaling.free_links is not None and max_links_per_pod:
        # A pod with more links than allowed has no free place, not fewer than none.
        present = sum(min(links, max_links_per_pod) for links in demand.links)
    more, places = demand.waiting + (autoscaling.free_links or 0), _links_per_pod(autoscaling, max_links_per_pod)
    at_least = _ceil(present + more, places) + demand.returning
    at_most = max(at_least, _ceil(total + more + demand.leaving, places))
    return NeededReplicas(_limit(autoscaling, at_least), _limit(autoscaling, at_most))


def _links_per_pod(autoscaling: Autoscaling, max_links_per_pod: int) -> int:
    """Returns for how many links there is one pod."""
    if autoscaling.free_links is not None or autoscaling.links_per_pod is None:
        return max_links_per_pod or 1
    return min(autoscaling.links_per_pod, max_links_per_pod or autoscaling.links_per_pod)


def _limit(autoscaling: Autoscaling, replicas: int) -> int:
    # Definitions of an earlier version may have stored a minimum above the maximum.
    return min(max(replicas, autoscaling.min_replicas), autoscaling.max_replicas)


def _ceil(number: int, divisor: int) -> int:
    return -(-number // divisor)


class _Sample(NamedTuple):
    """How many pods were needed, and until when, in seconds of a monotonic clock."""

    replicas: int
    until: float


@dataclass(frozen=True, slots=True)
class ScaleDownWindow:
    """The numbers of pods that were needed lately.

    The maximum of them is kept, as by the stabilization window of a HorizontalPodAutoscaler. A new leader does not know
    what was needed before its term: its window starts with the present number of pods.
    """

    _samples: tuple[_Sample, ...]
    """The numbers that are larger than all later ones, the oldest first."""

    @classmethod
    def start(cls, replicas: int, now: float) -> Self:
        """Returns a window that assumes that all pods were needed until now.

        Args:
            replicas: the present number of pods.
            now: the seconds of a monotonic clock.
        """
        return cls((_Sample(replicas, now),))

    def observe(self, replicas: int, now: float, seconds: float) -> Self:
        """Returns the window after an observation.

        Args:
            replicas: how many pods are needed now.
            now: the seconds of a monotonic clock.
            seconds: the length of the window.
        """
        samples = [*self._samples]
        samples[-1] = samples[-1]._replace(until=now)  # it was needed until this observation
        while samples and samples[-1].replicas <= replicas:
            samples.pop()
        recent = (each for each in samples if each.until > now - seconds)
        return type(self)((*recent, _Sample(replicas, now)))

    @property
    def maximum(self) -> int:
        """The largest number of pods that was needed."""
        return self._samples[0].replicas

    def next_fall(self, seconds: float) -> float | None:
        """Returns when the maximum falls if the need does not change; None if it does not fall."""
        return self._samples[0].until + seconds if len(self._samples) > 1 else None


@dataclass(frozen=True, slots=True)
class Recommendation:
    """How many pods a route has to have.

    Attributes:
        replicas: the number.
        needed: how many pods would be enough now.
        changes_in: after how many seconds the number falls if the need does not change; None if it does not.
    """

    replicas: int
    needed: int
    changes_in: float | None = None


def recommend(
    autoscaling: Autoscaling, needed: NeededReplicas, replicas: int, window: ScaleDownWindow, now: float
) -> tuple[Recommendation, ScaleDownWindow]:
    """Returns how many pods a route has to have, and the window after this observation.

    Pods are added at once, and removed when fewer were enough for `scaleDownAfterSeconds`.

    Args:
        autoscaling: the settings.
        needed: how many pods are needed now.
        replicas: how many pods the route is to have now.
        window: what was needed before.
        now: the seconds of a monotonic clock.
    """
    seconds = autoscaling.scale_down_after_seconds
    window = window.observe(needed.at_most, now, seconds)
    kept = min(replicas, max(window.maximum, autoscaling.min_replicas), autoscaling.max_replicas)
    recommended = max(needed.at_least, kept)
    fall = window.next_fall(seconds) if needed.at_most < recommended else None
    return Recommendation(recommended, needed.at_most, None if fall is None else fall - now), window
