"""No order of users, edits, faults and restarts lets a plan cut users before a deadline, and plans come to an end."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from statefulroute.api.vocabulary import ClosingReason
from statefulroute.domain.annotations import closing_cost
from statefulroute.domain.closing import Closing
from statefulroute.domain.disruption.facts import DisruptionFacts, PodFacts
from statefulroute.domain.disruption.plan import Action, EvictPod, SetReplicas, plan_disruptions
from statefulroute.domain.keys import PodKey
from unit.domain.builders import NOON
from unit.domain.disruption_facts import facts

MAX_PODS = 5


@dataclass
class ModelPod:
    """A pod in the model of the cluster.

    Attributes:
        number: distinguishes the pod from an earlier one of the same name.
        links: the number of its links.
        is_ready: whether it is ready.
        cost: its stored deletion cost.
        revision: the revision of the template that it has.
    """

    number: int
    links: int = 0
    is_ready: bool = True
    cost: int = 0
    revision: str = ""


class Scaling(RuleBasedStateMachine):
    """A workload whose controller removes pods as those of Kubernetes do, and an operator that may end at any step."""

    first: int | None = 0

    def __init__(self) -> None:
        super().__init__()
        self.now = NOON
        self.pods: dict[PodKey, ModelPod] = {}
        self.replicas = self.version = self.created = 0
        self.target, self.deadline, self.action = 1, 60, "Rebind"
        self.closing: Mapping[PodKey, Closing] = {}
        self.stored: Mapping[PodKey, Closing] = {}
        self.fell_at: dict[PodKey, datetime] = {}
        self.closed_at: dict[PodKey, datetime] = {}
        """Since when each pod has been closing without a break, by the last plan or by the stored status."""
        self.planned: tuple[int, list[Action]] = (0, [])

    @initialize(replicas=st.integers(1, MAX_PODS), action=st.sampled_from(["Rebind", "Keep", "Release"]))
    def start(self, replicas: int, action: str) -> None:
        self.target, self.action = replicas, action
        self.scale(replicas)

    # What users do.

    @precondition(lambda self: self.pods.keys() - self.stored.keys())
    @rule(data=st.data(), links=st.integers(1, 3))
    def arrive(self, data: st.DataObject, links: int) -> None:
        """Users arrive who choose a pod by the stored status."""
        key = data.draw(st.sampled_from(sorted(self.pods.keys() - self.stored.keys(), key=str)))
        self.pods[key].links += links

    @precondition(lambda self: any(pod.links for pod in self.pods.values()))
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        occupied = sorted((key for key, pod in self.pods.items() if pod.links), key=str)
        self.remove_link(data.draw(st.sampled_from(occupied)))

    def remove_link(self, key: PodKey) -> None:
        self.pods[key].links -= 1
        self.fell_at[key] = self.now

    # What owners do.

    @rule(replicas=st.integers(0, MAX_PODS))
    def edit_replicas(self, replicas: int) -> None:
        self.target = replicas

    @rule(deadline=st.sampled_from([0, 30, 60, 600]))
    def edit_deadline(self, deadline: int) -> None:
        self.deadline = deadline

    @rule(replicas=st.integers(0, MAX_PODS))
    def scale_the_workload_itself(self, replicas: int) -> None:
        self.scale(replicas)

    # What the cluster does.

    def scale(self, replicas: int) -> list[tuple[PodKey, ModelPod]]:
        """Sets the number of pods; returns those that are removed."""
        self.replicas, self.version = replicas, self.version + 1
        removed = [(key, self.pods.pop(key)) for key in self.order_of_removal()[replicas:]]
        self.create_pods()
        return removed

    def order_of_removal(self) -> list[PodKey]:
        """Returns the pods, those that are removed first at the end; of equal pods, those with the most links."""
        if self.first is not None:
            return sorted(self.pods, key=str)

        def rank(key: PodKey) -> tuple[object, ...]:
            pod = self.pods[key]
            return not pod.is_ready, -pod.cost if pod.is_ready else 0, pod.links

        return sorted(self.pods, key=rank)

    def create_pods(self) -> None:
        while len(self.pods) < self.replicas:
            self.created += 1
            indexes = (index for index in range(self.replicas) if index not in self.pods)
            key = next(indexes) if self.first is not None else f"pod-{self.created}"
            self.pods[key] = self.new_pod()

    def new_pod(self) -> ModelPod:
        return ModelPod(self.created)

    @precondition(lambda self: self.pods)
    @rule(data=st.data())
    def lose_a_pod(self, data: st.DataObject) -> None:
        """A pod is deleted and replaced. The links of one with an index wait for it."""
        key = data.draw(st.sampled_from(sorted(self.pods, key=str)))
        links = self.pods.pop(key).links
        self.create_pods()
        self.change_order()
        if self.first is not None:
            self.pods[key].links = links

    def change_order(self) -> None:
        """Handles a change of the order in which pods are removed. A plan is carried out at once, before the change."""
        if self.first is None:
            self.planned = (0, [])

    @precondition(lambda self: self.pods)
    @rule(data=st.data(), is_ready=st.booleans())
    def change_readiness(self, data: st.DataObject, is_ready: bool) -> None:
        self.pods[data.draw(st.sampled_from(sorted(self.pods, key=str)))].is_ready = is_ready
        self.change_order()

    @rule(seconds=st.sampled_from([1, 29, 31, 61]))
    def wait(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    # What the operator does.

    def facts(self) -> DisruptionFacts:
        return facts(
            *(self.pod_facts(key, self.pods[key]) for key in sorted(self.pods, key=str)),
            replicas=self.replicas,
            spec_replicas=self.target,
            now=self.now,
            first=self.first,
            can_rank_pods=self.first is None,
            disruption={"deadlineSeconds": self.deadline},
            onPodLost={"action": self.action},
            **self.more_facts(),
        )

    def more_facts(self) -> dict[str, Any]:
        return {}

    def pod_facts(self, key: PodKey, pod: ModelPod) -> PodFacts:
        return PodFacts(
            key=key,
            name=str(key),
            uid=str(pod.number),
            links=pod.links,
            is_ready=pod.is_ready,
            deletion_cost=pod.cost,
            revision=pod.revision,
            closing=self.closing.get(key),
            is_announced=key in self.stored,
            links_fell_at=self.fell_at.get(key),
        )

    @rule()
    def plan(self) -> None:
        plan = plan_disruptions(self.facts())
        self.closing, self.planned = plan.closing, (self.version, list(plan.actions))
        self.observe_closing()

    @precondition(lambda self: self.planned[1])
    @rule()
    def carry_out(self) -> None:
        """Sends the writes of the last plan; the API server refuses them if the workload has changed since."""
        (version, actions), self.planned = self.planned, (0, [])
        for action in actions:
            if isinstance(action, SetReplicas) and version == self.version:
                for key, pod in self.scale(action.replicas):
                    self.check_removal(key, pod)
            if isinstance(action, EvictPod) and action.key in self.pods:
                self.evict(action)

    def evict(self, action: EvictPod) -> None:
        """Replaces a pod, unless it was replaced since. The links wait for it."""
        pod = self.pods[action.key]
        if str(pod.number) == action.uid:
            self.check_removal(action.key, pod)
            del self.pods[action.key]
            self.create_pods()
            self.pods[action.key].links = pod.links

    def check_removal(self, key: PodKey, pod: ModelPod) -> None:
        if pod.links:
            closing = self.closing[key]
            assert closing.is_over
            assert self.now >= closing.deadline
            assert closing.deadline >= self.closed_at[key].replace(microsecond=0)
        assert key in self.stored

    @rule()
    def write_status(self) -> None:
        self.stored = {key: closing for key, closing in self.closing.items() if key in self.pods}
        self.observe_closing()

    def observe_closing(self) -> None:
        self.closed_at = {key: self.closed_at.get(key, self.now) for key in self.closing.keys() | self.stored.keys()}

    @rule()
    def annotate_pods(self) -> None:
        for key, pod in self.pods.items():
            closing = self.closing.get(key)
            pod.cost = (
                pod.links if closing is None else int(closing_cost(pod.links, closing, is_announced=key in self.stored))
            )

    @rule()
    def move_links(self) -> None:
        """Moves a link from each pod whose deadline is over, to a pod that is open."""
        if self.action == "Keep":
            return
        for key in [key for key, closing in self.closing.items() if closing.is_over and key in self.pods]:
            if self.pods[key].links:
                self.remove_link(key)
                if self.action == "Rebind" and (others := self.pods.keys() - self.closing.keys() - self.stored.keys()):
                    self.pods[min(others, key=str)].links += 1

    @rule()
    def restart(self) -> None:
        """Another process goes on with what the status shows."""
        self.closing = {
            key: replace(closing, is_over=self.now >= closing.deadline) for key, closing in self.stored.items()
        }
        self.observe_closing()
        self.planned, self.fell_at = (0, []), dict.fromkeys(self.pods, self.now)

    @invariant()
    def closes_no_more_pods_than_are_removed(self) -> None:
        assert len(plan_disruptions(self.facts()).closing) <= max(0, self.replicas - self.target)

    def teardown(self) -> None:
        """If nothing else happens, the workload has the desired number of pods soon after the deadline."""
        for pod in self.pods.values():
            pod.is_ready = True
        for _ in range(30):
            self.plan()
            self.write_status()
            self.annotate_pods()
            self.plan()
            if self.planned[1]:
                self.carry_out()
            self.wait(61)
        assert self.replicas == self.target
        self.plan()
        assert not self.closing


class RollingOut(Scaling):
    """A StatefulSet whose template changes while it is scaled."""

    def __init__(self) -> None:
        super().__init__()
        self.revision, self.rollout = "1", {"maxUnavailable": 1, "surge": 0}

    def new_pod(self) -> ModelPod:
        return ModelPod(self.created, is_ready=False, revision=self.revision)

    def more_facts(self) -> dict[str, Any]:
        return {"rollout": self.rollout, "update_revision": self.revision, "update_strategy": "OnDelete"}

    @rule(revision=st.sampled_from("123"))
    def change_the_template(self, revision: str) -> None:
        self.revision, self.version = revision, self.version + 1

    @rule(
        max_unavailable=st.integers(1, 3),
        surge=st.integers(0, 2),
        partition=st.integers(0, 2),
        paused=st.booleans(),
    )
    def edit_rollout(self, max_unavailable: int, surge: int, partition: int, paused: bool) -> None:
        self.rollout = {"maxUnavailable": max_unavailable, "surge": surge, "partition": partition, "paused": paused}

    @rule()
    def all_get_ready(self) -> None:
        for pod in self.pods.values():
            pod.is_ready = True

    @invariant()
    def closes_no_more_pods_than_are_removed(self) -> None:
        closing = plan_disruptions(self.facts()).closing
        scaled_down = [key for key, each in closing.items() if each.reason is ClosingReason.SCALE_DOWN]
        assert len(scaled_down) <= max(0, self.replicas - self.target)

    @invariant()
    def leaves_enough_pods_that_take_new_users(self) -> None:
        plan = plan_disruptions(self.facts())
        replaced = {key for key, each in plan.closing.items() if each.reason is ClosingReason.ROLLOUT}
        if any(self.pods[key].is_ready for key in replaced):
            available = sum(pod.is_ready for key, pod in self.pods.items() if key not in plan.closing)
            assert available >= max(1, self.target - self.rollout["maxUnavailable"])
        stay = self.pods.keys() - (plan.closing.keys() - replaced)
        not_ready = [key for key in stay if not self.pods[key].is_ready]
        latest = [key for key in not_ready if self.pods[key].revision == self.revision]
        assert len(latest) + len(replaced & set(not_ready)) <= max(self.rollout["maxUnavailable"], len(latest))

    def teardown(self) -> None:
        """If nothing else happens, all pods have the latest revision at last."""
        self.target, self.rollout = max(self.target, 1), {**self.rollout, "paused": False, "surge": 1, "partition": 0}
        for _ in range(60):
            self.plan()
            self.write_status()
            self.plan()
            if self.planned[1]:
                self.carry_out()
            self.all_get_ready()
            self.wait(61)
        assert self.replicas == self.target
        assert {pod.revision for pod in self.pods.values()} == {self.revision}
        self.plan()
        assert not self.closing


class ScalingOfADeployment(Scaling):
    """A workload whose pods have no index."""

    first = None


@pytest.mark.parametrize("machine", [Scaling, ScalingOfADeployment, RollingOut])
def test_no_plan_cuts_users_and_all_plans_come_to_an_end(machine: type[Scaling]) -> None:
    case = machine.TestCase
    case.settings = settings(max_examples=100, stateful_step_count=40)
    case("runTest").runTest()
