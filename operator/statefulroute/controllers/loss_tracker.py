"""The losses of the pods of all routes: since when pods are absent, and which losses are verified or confirmed."""

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from statefulroute.cluster.clock import Clock
from statefulroute.controllers.deadlines import Deadlines
from statefulroute.domain.keys import PodKey, RouteKey
from statefulroute.domain.loss import AbsentPod
from statefulroute.domain.loss_suspension import LossState, evaluate_losses
from statefulroute.domain.loss_verification import withhold_unverified
from statefulroute.domain.route import Route, RouteView

#: While losses are suspended, how often their share is computed again: links that leave such pods announce no change.
_SUSPENSION_CHECK_SECONDS = 30.0

#: Called with a route that has losses to verify.
UnverifiedListener = Callable[[RouteKey], None]


class LossTracker:
    """Finds the losses of each route.

    Args:
        expire: called when a loss of a route may begin or its suspension may end without any change.
        clock: the time of day.
        monotonic: returns monotonic seconds, by which the grace periods of lost pods run.
    """

    def __init__(self, expire: Callable[[RouteKey], None], clock: Clock, monotonic: Callable[[], float]) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._states: dict[RouteKey, LossState] = {}
        """The pods of each route that do not serve their users, why, and since when."""
        self._confirmed_before: dict[RouteKey, float] = {}
        """Until when the absences of each route's pods began that a person confirmed, in monotonic seconds."""
        self._verified: dict[RouteKey, Mapping[PodKey, AbsentPod]] = {}
        """The absences of each route's pods that the API server has verified."""
        self._unverified: dict[RouteKey, Mapping[PodKey, AbsentPod]] = {}
        self._kept: tuple[dict[RouteKey, Any], ...] = (
            self._states,
            self._confirmed_before,
            self._verified,
            self._unverified,
        )
        """All that is kept of a route until it is deleted, or the term ends."""
        self._deadlines: Deadlines[RouteKey] = Deadlines(expire)
        self._listener: UnverifiedListener | None = None

    def listen(self, listener: UnverifiedListener) -> None:
        """Sets the listener. From now on, no loss of a pod with links counts before it is verified."""
        self._listener = listener

    def evaluate(self, view: RouteView, changed: AbstractSet[PodKey] | None = None) -> RouteView:
        """Returns a route with its losses, and sets the deadline of the next one.

        Args:
            view: the route.
            changed: the pods that may differ since the last evaluation; None if every pod may.
        """
        key, now = view.route.key, self._monotonic()
        linked_pods = view.link_counts.keys()  # a pod without links has no entry
        previous, confirmed_before = self._states.get(key), self._confirmed_before.get(key)
        view, state = evaluate_losses(view, linked_pods, previous, now, confirmed_before, changed)
        if state is None:
            return view
        self._states[key] = state
        self._set_deadline(key, state, now)
        if self._listener is None:
            return view
        verified = self._verified.get(key, {})
        self._verified[key] = {pod: each for pod, each in verified.items() if state.absent.get(pod) == each}
        view, self._unverified[key] = withhold_unverified(view, linked_pods, state.absent, self._verified[key])
        if self._unverified[key]:
            self._listener(key)
        return view

    def is_absent(self, key: RouteKey, pod: PodKey) -> bool:
        """Returns whether a pod was absent when its route was last evaluated."""
        state = self._states.get(key)
        return state is not None and pod in state.absent

    def unverified(self, key: RouteKey) -> Mapping[PodKey, AbsentPod]:
        """Returns the absences to verify."""
        return self._unverified.get(key, {})

    def verify(self, key: RouteKey, absences: Mapping[PodKey, AbsentPod]) -> AbstractSet[PodKey]:
        """Lets the losses of pods count that are still absent for the same reason, and returns these pods."""
        unverified = self.unverified(key)
        verified = {pod: each for pod, each in absences.items() if unverified.get(pod) == each}
        self._verified[key] = {**self._verified.get(key, {}), **verified}
        return verified.keys()

    def observe_confirmation(self, old: Route, new: Route) -> None:
        """Confirms the losses that began before the time in a changed annotation, and none that begins from now on.

        What was confirmed remains so if the annotation is set back, for example to that in a repository of manifests.
        """
        if new.loss_confirmed_at is None or new.loss_confirmed_at == old.loss_confirmed_at:
            return
        age = (self._clock() - new.loss_confirmed_at).total_seconds()
        confirmed_before = self._monotonic() - max(0.0, age)
        self._confirmed_before[new.key] = max(confirmed_before, self._confirmed_before.get(new.key, confirmed_before))

    def cancel(self, key: RouteKey) -> None:
        """Removes the deadline of a route."""
        self._deadlines.cancel(key)

    def clear(self) -> None:
        """Forgets all routes."""
        for known in self._kept:
            known.clear()

    def forget(self, key: RouteKey) -> None:
        """Forgets a route that was deleted."""
        for known in self._kept:
            known.pop(key, None)

    def _set_deadline(self, key: RouteKey, state: LossState, now: float) -> None:
        deadlines = [] if state.next_deadline is None else [state.next_deadline - now]
        if state.suspension is not None:
            deadlines.append(_SUSPENSION_CHECK_SECONDS)
        if deadlines:
            self._deadlines.set(key, min(deadlines))
        else:
            self._deadlines.cancel(key)
