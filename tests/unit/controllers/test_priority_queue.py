"""The priority queue: the order of keys of two priorities."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statefulroute.controllers.work_queue.priority_queue import Priority, PriorityQueue


def pop_all(queue: PriorityQueue[str]) -> list[str]:
    return [queue.pop()[0] for _ in range(len(queue))]


def test_keys_of_one_priority_are_popped_in_order_of_arrival() -> None:
    queue: PriorityQueue[str] = PriorityQueue()
    for key in "cab":
        queue.add(key, 1.0)
    assert pop_all(queue) == ["c", "a", "b"]


def test_two_priorities_are_served_in_turn() -> None:
    queue: PriorityQueue[str] = PriorityQueue()
    for key in ("low-1", "low-2", "low-3"):
        queue.add(key, 1.0, Priority.LOW)
    for key in ("high-1", "high-2"):
        queue.add(key, 2.0)
    assert pop_all(queue) == ["high-1", "low-1", "high-2", "low-2", "low-3"]


def test_key_that_is_added_again_keeps_its_position_and_its_wait() -> None:
    queue: PriorityQueue[str] = PriorityQueue()
    queue.add("a", 1.0)
    queue.add("b", 2.0)
    queue.add("a", 3.0)
    assert [queue.pop(), queue.pop()] == [("a", 1.0), ("b", 2.0)]


def test_key_of_low_priority_is_promoted_and_never_demoted() -> None:
    queue: PriorityQueue[str] = PriorityQueue()
    queue.add("a", 1.0, Priority.LOW)
    queue.add("a", 2.0, Priority.HIGH)
    queue.add("a", 3.0, Priority.LOW)
    assert len(queue) == 1
    assert queue.pop() == ("a", 2.0)


def test_oldest_wait_is_that_of_either_priority() -> None:
    queue: PriorityQueue[str] = PriorityQueue()
    assert queue.oldest() is None
    queue.add("high", 2.0)
    queue.add("low", 1.0, Priority.LOW)
    assert queue.oldest() == 1.0
    queue.restart_waits(5.0)
    assert queue.oldest() == 5.0


def test_empty_queue_has_no_next_key() -> None:
    with pytest.raises(KeyError):
        PriorityQueue[str]().pop()


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from(Priority)), max_size=30))
def test_each_key_is_popped_once(additions: list[tuple[str, Priority]]) -> None:
    queue: PriorityQueue[str] = PriorityQueue()
    for time, (key, priority) in enumerate(additions):
        queue.add(key, float(time), priority)
    keys = {key for key, _ in additions}
    assert all(key in queue for key in keys)
    assert sorted(pop_all(queue)) == sorted(keys)
    assert not len(queue)
