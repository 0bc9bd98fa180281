"""The autoscaler: its demand is that of the caches, also while links are bound, and it remembers what was needed."""

from contextlib import ExitStack
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statefulroute.api.vocabulary import ClosingReason
from statefulroute.cluster.cache import Cache
from statefulroute.controllers.disruption.autoscaler import Autoscaler
from statefulroute.controllers.disruption.unplaced_links import UnplacedLinks
from statefulroute.controllers.links.counts import LinkCounts
from statefulroute.domain.closing import Closing
from statefulroute.domain.disruption.facts import PodFacts
from statefulroute.domain.keys import LinkKey, PodKey, RouteKey
from statefulroute.domain.link import HandOver, Link
from statefulroute.domain.route import Route
from unit.domain.builders import NOON, link, route, workload

GAME = RouteKey("play", "game")


class Environment:
    """An autoscaler of the route `game` with one pod for each ten links, and its caches."""

    def __init__(self, **spec: object) -> None:
        self.links: Cache[Link] = Cache()
        self.counts = LinkCounts()
        self.links.listen(self.counts.link_changed)
        self.notified: list[RouteKey] = []
        self.now = 1000.0
        self.autoscaler = Autoscaler(
            self.counts, UnplacedLinks(self.links, self.notified.append), monotonic=lambda: self.now
        )
        autoscaling = {"maxReplicas": 100, "linksPerPod": 10, "scaleDownAfterSeconds": 60}
        self.route = route(**{"autoscaling": autoscaling} | spec)

    def put(self, uid: str, pod: PodKey | None = None, **fields: object) -> Link:
        name = f"game.{uid}"
        old = self.links.get(GAME, name)
        item = link(pod, name=name, resource_version=1 if old is None else old.resource_version + 1, **fields)
        self.links.put(item)
        return item

    def delete(self, uid: str) -> None:
        self.links.delete(GAME, f"game.{uid}", float("inf"))

    def recommend(self, replicas: int, *others: Route, closing: dict[int, ClosingReason] | None = None) -> int:
        counts, arriving = self.counts.of(GAME), self.counts.arriving(GAME)
        pods: dict[PodKey, PodFacts] = {
            key: PodFacts(
                key=key,
                name=f"game-{key}",
                uid="uid",
                links=counts.get(key, 0) + arriving.get(key, 0),
                closing=Closing(closing[key], NOON, NOON) if closing and key in closing else None,
            )
            for key in range(replicas)
        }
        absent = counts.keys() - pods.keys()
        pods |= {key: PodFacts(key=key, name=f"game-{key}", links=counts[key], is_ready=False) for key in absent}
        found = self.autoscaler.recommend(self.route, [self.route, *others], workload(replicas), pods, replicas)
        assert found is not None
        return found.replicas


@pytest.fixture
def environment() -> Environment:
    return Environment()


def test_route_without_autoscaling_costs_nothing(environment: Environment) -> None:
    plain = route(replicas=3)
    assert environment.autoscaler.recommend(plain, [plain], workload(), {}, 3) is None
    environment.put("alice")
    assert environment.notified == []


def test_links_that_wait_add_pods_and_those_that_never_get_one_do_not(environment: Environment) -> None:
    for number in range(11):
        environment.put(f"user-{number}")
        environment.put(f"invalid-{number}", violation="too long")
        environment.put(f"foreign-{number}", foreign_namespace="elsewhere")
        environment.put(f"deleted-{number}", is_deleting=True)
    assert environment.recommend(1) == 2


def test_each_link_that_waits_is_noticed(environment: Environment) -> None:
    environment.recommend(1)
    environment.put("alice")
    environment.put("alice", status_expire_time=NOON)
    assert environment.notified == [GAME]
    environment.put("alice", 0)
    environment.put("alice", 1)
    assert environment.notified == [GAME, GAME]


def test_link_that_is_being_bound_counts_once(environment: Environment) -> None:
    for number in range(9):
        environment.put(f"user-{number}", 0)
    new = environment.put("alice")
    with environment.counts.assume(new.key, 0):
        assert environment.recommend(1) == 1
    with ExitStack() as assumed:
        for number in range(9):
            assumed.enter_context(environment.counts.assume(LinkKey(GAME, f"game.user-{number}"), 1))
        assert environment.recommend(2) == 1  # nine that move from one pod to the other, and one that waits


def test_user_who_is_handed_over_counts_once() -> None:
    environment = Environment(handOver={})
    for number in range(11):
        environment.put(f"user-{number}", 0, hand_over=HandOver(1, "now"))
    assert environment.recommend(2) == 2


def test_users_that_wait_for_a_route_that_denies_them_add_no_pods() -> None:
    environment = Environment(routingState="DenyNewCall")
    for number in range(11):
        environment.put(f"user-{number}")
    assert environment.recommend(1) == 1


def test_users_of_all_routes_to_the_workload_count(environment: Environment) -> None:
    other = replace(route(), name="other")
    for number in range(11):
        name = f"other.user-{number}"
        environment.links.put(Link(route=other.key, name=name, resource_version=1, generation=1))
    assert environment.recommend(1, other) == 2


def test_fewer_pods_are_recommended_when_they_were_enough_since_the_first_observation(environment: Environment) -> None:
    assert environment.recommend(3) == 3
    environment.now += 59
    assert environment.recommend(3) == 3
    environment.now += 1
    assert environment.recommend(3) == 1


def test_another_leader_observes_for_the_whole_period_again(environment: Environment) -> None:
    environment.recommend(3)
    environment.autoscaler.clear()
    environment.now += 60
    assert environment.recommend(3) == 3
    environment.now += 60
    assert environment.recommend(3) == 1


@pytest.mark.parametrize(
    ("reason", "expected"),
    [(ClosingReason.SCALE_DOWN, 1), (ClosingReason.UNKNOWN, 2)],
)
def test_pod_that_closes_for_another_reason_comes_back_and_is_needed_beside_the_others(
    environment: Environment, reason: ClosingReason, expected: int
) -> None:
    environment.put("alice", 0)
    environment.put("bob", 1)
    environment.recommend(2, closing={0: reason})
    environment.now += 60
    assert environment.recommend(2, closing={0: reason}) == expected


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from([None, 0, 1, "delete", "reject"])), max_size=40))
def test_number_of_links_that_wait_is_that_of_the_cache(changes: list[tuple[int, int | str | None]]) -> None:
    environment, numbers = Environment(), list[int]()
    unplaced = UnplacedLinks(environment.links, lambda key: numbers.append(unplaced.of(key)))
    unplaced.of(GAME)
    for user, change in changes:
        if change == "delete":
            environment.delete(str(user))
        elif change == "reject":
            environment.put(str(user), violation="too long")
        else:
            environment.put(str(user), change)
        expected = sum(
            each.pod is None and each.violation is None for each in environment.links.in_partition(GAME).values()
        )
        assert unplaced.of(GAME) == expected
    assert all(before != after for before, after in pairwise(numbers))


#: Autoscaling that removes all pods at once when no user is left.
SLEEPING = {"minReplicas": 0, "maxReplicas": 5, "linksPerPod": 10, "scaleDownAfterSeconds": 0}


@pytest.mark.parametrize(
    ("action", "pod", "expected"),
    [
        pytest.param("Keep", 4, 1, id="a pod that scaling up creates"),
        pytest.param("Keep", 5, 0, id="a pod that never exists"),
        pytest.param("Rebind", 5, 1, id="the link moves to another pod"),
        pytest.param("Release", 5, 0, id="the link is deleted"),
    ],
)
def test_link_of_a_pod_that_no_scaling_creates_keeps_no_pods(action: str, pod: int, expected: int) -> None:
    environment = Environment(autoscaling=SLEEPING, onPodLost={"action": action})
    environment.put("alice", pod)
    environment.recommend(1)
    environment.now += 1
    assert environment.recommend(1) == expected


@given(st.lists(st.integers(0, 12), max_size=30), st.sampled_from(["Keep", "Rebind", "Release"]))
def test_exactly_links_that_can_be_served_need_pods(pods: list[int], action: str) -> None:
    environment = Environment(autoscaling=SLEEPING, onPodLost={"action": action})
    for user, pod in enumerate(pods):
        environment.put(str(user), pod)
    environment.recommend(0)
    environment.now += 1
    served = [pod for pod in pods if pod < SLEEPING["maxReplicas"] or action == "Rebind"]
    assert environment.recommend(0) == -(-len(served) // SLEEPING["linksPerPod"])
