"""The fair queue: namespaces take turns, then routes, then items."""

from hypothesis import given
from hypothesis import strategies as st

from statefulroute.domain.fair_queue import FairQueue
from statefulroute.domain.keys import RouteKey


def queue_of(*routes: str) -> FairQueue[str]:
    """Returns a queue with an item for each `namespace/route`, named by its number."""
    queue = FairQueue[str]()
    for number, route in enumerate(routes):
        add(queue, route, str(number))
    return queue


def add(queue: FairQueue[str], route: str, item: str) -> None:
    queue.add(RouteKey(*route.split("/")), item)


def popped(queue: FairQueue[str], count: int = 1000) -> list[str]:
    """Takes items; returns their routes."""
    routes = list[str]()
    while len(routes) < count and (served := queue.pop()) is not None:
        routes.append("/".join(served[0]))
    return routes


def test_items_of_one_route_are_served_in_the_order_of_their_arrival() -> None:
    queue = queue_of("a/x", "a/x", "a/x")
    assert [served[1] for _ in range(3) if (served := queue.pop())] == ["0", "1", "2"]
    assert queue.pop() is None


def test_an_item_waits_once() -> None:
    queue = FairQueue[str]()
    add(queue, "a/x", "item")
    add(queue, "a/x", "item")
    assert (len(queue), popped(queue)) == (1, ["a/x"])


def test_namespaces_take_turns_however_many_routes_and_items_they_have() -> None:
    queue = queue_of(*(f"busy/{number}" for number in range(50)), *["quiet/x"] * 5)
    assert [route.partition("/")[0] for route in popped(queue, 10)] == ["busy", "quiet"] * 5


def test_routes_of_a_namespace_take_turns_however_many_items_they_have() -> None:
    queue = queue_of(*["a/busy"] * 50, *["a/quiet"] * 3)
    assert popped(queue, 6) == ["a/busy", "a/quiet"] * 3


def test_route_that_was_not_served_in_the_round_does_not_wait_for_its_end() -> None:
    queue = queue_of(*(f"{number}/x" for number in range(200)), *(f"{number}/x" for number in range(200)))
    popped(queue, 250)
    add(queue, "quiet/x", "late")
    assert popped(queue, 1) == ["quiet/x"]


def test_route_that_was_served_waits_for_the_next_round() -> None:
    queue = queue_of("a/x", "a/x", "b/x", "b/x", "c/x", "c/x")
    add(queue, "d/x", "first")
    assert popped(queue, 2) == ["a/x", "b/x"]
    add(queue, "a/x", "more")
    assert popped(queue, 5) == ["c/x", "d/x", "a/x", "b/x", "c/x"]


def test_refused_ones_keep_their_place() -> None:
    queue = queue_of("a/x", "a/y", "b/x")
    assert queue.pop(lambda namespace: namespace != "a") == (RouteKey("b", "x"), "2")
    assert queue.pop(route_may=lambda route: route.name != "x") == (RouteKey("a", "y"), "1")
    assert queue.pop(lambda _: False) is None
    assert popped(queue) == ["a/x"]


def test_discarded_items_are_not_served() -> None:
    queue = queue_of("a/x", "a/x", "b/x")
    assert queue.discard(RouteKey("a", "x"), "0")
    assert queue.discard(RouteKey("b", "x"), "2")
    assert not queue.discard(RouteKey("b", "x"), "2")
    assert (len(queue), popped(queue)) == (1, ["a/x"])


def test_item_may_be_put_in_front_of_its_route() -> None:
    queue = queue_of("a/x", "a/x")
    queue.add(RouteKey("a", "x"), "front", first=True)
    assert queue.pop() == (RouteKey("a", "x"), "front")


def test_nothing_remains_of_routes_and_namespaces_that_do_not_wait() -> None:
    queue = FairQueue[str]()
    for number in range(1000):
        add(queue, f"{number % 10}/{number}", str(number))
        if number % 3:
            queue.discard(RouteKey(f"{number % 10}", f"{number}"), str(number))
    popped(queue)
    assert not queue._items  # noqa: SLF001 - the memory of a queue that is empty
    assert not queue._routes  # noqa: SLF001
    assert not queue._namespaces._served  # noqa: SLF001


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.booleans()), max_size=100))
def test_every_item_is_served_once_and_nobody_twice_while_another_waits(steps: list[tuple[int, int, bool]]) -> None:
    queue, added, served = FairQueue[int](), set[int](), list[int]()
    since: dict[str, int] = {}
    """How many items of others were served since the namespace has waited."""
    for number, (namespace, name, serves) in enumerate(steps):
        route = RouteKey(str(namespace), str(name))
        queue.add(route, number)
        added.add(number)
        since.setdefault(route.namespace, 0)
        if serves and (result := queue.pop()) is not None:
            served.append(result[1])
            since.pop(result[0].namespace)
            since = {waiting: count + 1 for waiting, count in since.items()}
            if any(key.namespace == result[0].namespace for key in queue._items):  # noqa: SLF001
                since[result[0].namespace] = 0
        assert max(since.values(), default=0) <= 2 * 3
    while (result := queue.pop()) is not None:
        served.append(result[1])
    assert sorted(served) == sorted(added)
