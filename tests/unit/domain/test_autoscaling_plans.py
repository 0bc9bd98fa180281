"""No order of users, edits, faults and restarts keeps autoscaling from the right number of pods, or makes it flap."""

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from statefulroute.api.autoscaling import Autoscaling
from statefulroute.domain.disruption.autoscaling import (
    Demand,
    Recommendation,
    ScaleDownWindow,
    needed_replicas,
    recommend,
)
from statefulroute.domain.disruption.facts import DisruptionFacts
from statefulroute.domain.disruption.plan import SetRouteReplicas, plan_disruptions
from statefulroute.domain.keys import PodKey
from unit.domain.builders import NOON
from unit.domain.test_disruption_plans import MAX_PODS, Scaling

#: How many links a pod may have.
LIMIT = 3


class Autoscaled(Scaling):
    """A workload that is scaled by its links. `target` is `spec.replicas` of the route, which others edit, too."""

    autoscaling = Autoscaling(min_replicas=0, max_replicas=MAX_PODS, links_per_pod=LIMIT, scale_down_after_seconds=100)

    def __init__(self) -> None:
        super().__init__()
        self.waiting = 0
        self.window: ScaleDownWindow | None = None

    # What users do, in place of the users who find a pod at once.

    @rule(links=st.integers(1, 3))
    def wait_for_a_pod(self, links: int) -> None:
        self.waiting += links

    @rule()
    def bind(self) -> None:
        """Binds the links that wait to pods with room."""
        for key in self.open_pods():
            while self.waiting and self.pods[key].links < LIMIT and self.pods[key].is_ready:
                self.waiting -= 1
                self.pods[key].links += 1

    def open_pods(self) -> list[PodKey]:
        """Returns the pods that take new users."""
        return sorted(self.pods.keys() - self.closing.keys() - self.stored.keys(), key=str)

    # What the operator does.

    def facts(self) -> DisruptionFacts:
        return replace(super().facts(), recommendation=self.recommend()[0])

    def recommend(self) -> tuple[Recommendation, ScaleDownWindow]:
        """Returns the recommendation, and the window after it."""
        now = (self.now - NOON).total_seconds()
        window = self.window or ScaleDownWindow.start(self.target, now)
        needed = needed_replicas(self.autoscaling, LIMIT, self.demand())
        return recommend(self.autoscaling, needed, self.target, window, now)

    def demand(self) -> Demand:
        """Returns the present demand."""
        return Demand(
            links=[pod.links for key, pod in self.pods.items() if key not in self.closing],
            waiting=self.waiting,
            leaving=sum(pod.links for key, pod in self.pods.items() if key in self.closing),
        )

    @rule()
    def plan(self) -> None:
        _, window = self.recommend()
        super().plan()
        self.window = window

    @precondition(lambda self: self.planned[1])
    @rule()
    def carry_out(self) -> None:
        for action in self.planned[1]:
            if isinstance(action, SetRouteReplicas):
                self.target = action.replicas
        super().carry_out()

    @rule()
    def restart(self) -> None:
        super().restart()
        self.window = None

    @invariant()
    def closes_no_more_pods_than_are_removed(self) -> None:
        facts = self.facts()
        assert len(plan_disruptions(facts).closing) <= max(0, self.replicas - (facts.desired_replicas or 0))

    @invariant()
    def recommends_enough_for_all_users_within_the_bounds(self) -> None:
        recommended, demand = self.recommend()[0].replicas, self.demand()
        assert 0 <= recommended <= MAX_PODS
        users = demand.waiting + sum(min(links, LIMIT) for links in demand.links)  # a pod may have more than its limit
        assert recommended * LIMIT >= min(users, MAX_PODS * LIMIT)

    def teardown(self) -> None:
        """If no more users come, the workload has as many pods as they need, and stays so."""
        for pod in self.pods.values():
            pod.is_ready = True
        for _ in range(40):
            self.settle()
        steady = self.replicas, self.target, self.waiting
        needed = needed_replicas(self.autoscaling, LIMIT, self.demand())
        assert needed.at_least <= self.replicas == self.target <= needed.at_most
        assert not self.waiting or self.replicas == MAX_PODS
        for _ in range(5):
            self.settle()
            assert not self.planned[1]
        assert (self.replicas, self.target, self.waiting) == steady
        assert not self.closing

    def settle(self) -> None:
        """Lets everybody but users do what there is to do in a minute."""
        self.plan()
        self.write_status()
        self.annotate_pods()
        self.plan()
        if self.planned[1]:
            self.carry_out()
        self.move_links()
        self.bind()
        self.wait(61)


class AutoscaledDeployment(Autoscaled):
    """A workload whose pods have no index."""

    first = None


class AlwaysRoom(Autoscaled):
    """A workload with free places."""

    autoscaling = Autoscaling(min_replicas=1, max_replicas=MAX_PODS, free_links=2, scale_down_after_seconds=0)


@pytest.mark.parametrize("machine", [Autoscaled, AutoscaledDeployment, AlwaysRoom])
def test_autoscaling_comes_to_an_end_with_the_pods_that_users_need(machine: type[Autoscaled]) -> None:
    case = machine.TestCase
    case.settings = settings(max_examples=50, stateful_step_count=25)
    case("runTest").runTest()
