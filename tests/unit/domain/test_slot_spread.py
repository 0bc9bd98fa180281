"""How slots are spread over pods, and which moves balance them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statefulroute.domain.keys import PodKey
from statefulroute.domain.slots.hashing import slot_of
from statefulroute.domain.slots.spread import balance_slots, fewest_first, spread_slots

COUNTS = st.lists(st.integers(0, 50), min_size=1, max_size=12)


def is_balanced(counts: Sequence[int]) -> bool:
    """Returns whether each count differs from the mean by at most one."""
    return all(abs(count * len(counts) - sum(counts)) <= len(counts) for count in counts)


def after(counts: Mapping[PodKey, int], pods: Sequence[PodKey]) -> list[int]:
    """Returns the counts of pods after the moves that balance them."""
    result = Counter(counts)
    for origin, target in balance_slots(pods, counts):
        result[origin] -= 1
        result[target] += 1
        assert result[origin] >= 0
    return [result[pod] for pod in pods]


@cache
def balanced(total: int, pods: int) -> Sequence[Sequence[int]]:
    """Returns every balanced distribution of slots over pods."""
    return [each for each in product(range(total + 1), repeat=pods) if sum(each) == total and is_balanced(each)]


@pytest.mark.parametrize("pods", [1, 2, 3])
def test_no_fewer_moves_balance_the_pods(pods: int) -> None:
    for counts in product(range(6), repeat=pods):
        moves = list(balance_slots(range(pods), dict(enumerate(counts))))
        fewest = min(
            sum(max(0, before - now) for before, now in zip(counts, each, strict=True))
            for each in balanced(sum(counts), pods)
        )
        assert len(moves) == fewest, counts
        assert is_balanced(after(dict(enumerate(counts)), range(pods)))


@given(COUNTS)
def test_moves_balance_any_number_of_pods_and_are_none_afterwards(counts: list[int]) -> None:
    pods = range(len(counts))
    result = after(dict(enumerate(counts)), pods)
    assert sum(result) == sum(counts)
    assert is_balanced(result)
    assert not list(balance_slots(pods, dict(enumerate(result))))


@given(COUNTS, st.integers(0, 100))
def test_each_new_slot_goes_to_a_pod_with_the_fewest(counts: list[int], number: int) -> None:
    known = Counter(dict(enumerate(counts)))
    for _, pod in spread_slots(range(number), range(len(counts)), dict(known)):
        assert known[pod] == min(known[each] for each in range(len(counts)))
        known[pod] += 1
    assert sum(known.values()) == sum(counts) + number


def test_slots_are_spread_evenly_by_the_names_of_pods_too() -> None:
    pods = ["game-b", "game-a", "game-c"]
    assert Counter(pod for _, pod in spread_slots(range(9), pods, {})) == dict.fromkeys(pods, 3)
    assert fewest_first(pods, {"game-a": 1}) == "game-b"


def test_no_pod_takes_no_slot() -> None:
    assert not list(spread_slots(range(3), [], {}))
    assert not list(balance_slots([], {}))
    assert fewest_first([], {}) is None


def test_another_pod_takes_at_most_its_share_of_the_slots_and_one() -> None:
    counts = Counter(pod for _, pod in spread_slots(range(4096), range(10), {}))
    moves = list(balance_slots(range(11), counts))
    assert len(moves) <= 4096 / 11 + 1
    assert {target for _, target in moves} == {10}


def test_a_million_uids_are_spread_evenly() -> None:
    by_slot = Counter(slot_of(f"user-{number}", 4096) for number in range(1_000_000))
    pods = dict(spread_slots(range(4096), range(10), {}))
    users = Counter[PodKey]()
    for slot, number in by_slot.items():
        users[pods[slot]] += number
    assert max(users.values()) <= 1.05 * 1_000_000 / 10
