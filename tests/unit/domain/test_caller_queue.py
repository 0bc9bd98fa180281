"""The queue of a route: callers take turns."""

from hypothesis import given
from hypothesis import strategies as st

from statefulroute.domain.caller_queue import CallerQueue


def popped(queue: CallerQueue[str]) -> list[str]:
    """Takes all items."""
    items = list[str]()
    while (item := queue.pop()) is not None:
        items.append(item)
    return items


def queue_of(*items: str) -> CallerQueue[str]:
    """Returns a queue of items, each named by its caller and its number, as `a1`."""
    queue = CallerQueue[str]()
    for item in items:
        queue.add(item[0], item)
    return queue


def test_callers_take_turns_and_each_is_served_in_order() -> None:
    assert popped(queue_of("a1", "a2", "a3", "b1", "b2")) == ["a1", "b1", "a2", "b2", "a3"]


def test_caller_that_seldom_waits_comes_first() -> None:
    queue = queue_of(*(f"a{number}" for number in range(5)), *(f"b{number}" for number in range(5)))
    assert (queue.pop(), queue.pop(), queue.pop()) == ("a0", "b0", "a1")
    queue.add("c", "c1")
    assert queue.pop() == "c1"


def test_item_of_several_callers_is_served_once() -> None:
    queue = queue_of("a1", "a2")
    queue.add("b", "a2")
    assert len(queue) == 2
    assert popped(queue) == ["a1", "a2"]


def test_item_stays_while_one_of_its_callers_waits() -> None:
    queue = queue_of("a1")
    queue.add("b", "a1")
    queue.leave("a", "a1")
    queue.leave("a", "a1")
    assert len(queue) == 1
    queue.leave("b", "a1")
    assert (len(queue), queue.pop()) == (0, None)


def test_discarded_item_is_not_served() -> None:
    queue = queue_of("a1", "a2", "b1")
    queue.add("b", "a1")
    queue.discard("a1")
    queue.discard("a1")
    assert popped(queue) == ["a2", "b1"]


_OPERATIONS = st.lists(
    st.tuples(st.sampled_from(("add", "leave", "discard", "pop")), st.sampled_from("abc"), st.integers(0, 4)),
    max_size=80,
)


@given(_OPERATIONS)
def test_serves_each_item_once_and_a_new_caller_after_one_turn_of_each(
    operations: list[tuple[str, str, int]],
) -> None:
    queue, waiting = CallerQueue[int](), dict[int, set[str]]()
    for operation, caller, item in operations:
        match operation:
            case "add":
                queue.add(caller, item)
                waiting.setdefault(item, set()).add(caller)
            case "leave":
                queue.leave(caller, item)
                waiting.get(item, set()).discard(caller)
            case "discard":
                queue.discard(item)
                waiting.pop(item, None)
            case _:
                served = queue.pop()
                assert (served is None) == (not waiting)
                waiting.pop(-1 if served is None else served, None)
        waiting = {each: callers for each, callers in waiting.items() if callers}
        assert len(queue) == len(waiting)
    callers = {caller for callers in waiting.values() for caller in callers}
    queue.add("new", 99)
    assert 99 in [queue.pop() for _ in range(len(callers) + 1)]
