"""Which links of a route wait, and which of them is next when there is room."""

from statefulroute.api.vocabulary import LinkPhase, LinkReason
from statefulroute.controllers.links.waiting import WaitingLinks
from statefulroute.domain.link import Link, LinkStatus
from unit.domain.builders import link

FULL = LinkStatus(LinkPhase.PENDING, LinkReason.AT_CAPACITY, "full")
NO_POD = LinkStatus(LinkPhase.PENDING, LinkReason.NO_AVAILABLE_POD, "none")
LOST = LinkStatus(LinkPhase.LOST, LinkReason.POD_LOST, "lost")
BOUND = LinkStatus(LinkPhase.BOUND, LinkReason.BOUND, "bound", 0)


def update(waiting: WaitingLinks, link: Link, status: LinkStatus) -> bool:
    return waiting.update(link, status, wants_room=status is FULL)


def user(name: str, created: int) -> Link:
    return link(name=f"game.{name}", creation_timestamp=created)


def test_oldest_link_that_waits_for_room_has_the_next_turn() -> None:
    waiting = WaitingLinks()
    for name, created in (("b", 2), ("c", 3), ("a", 2)):
        update(waiting, user(name, created), FULL)
    turns = [each.name for _ in range(4) for each in waiting.next_for_room()]
    assert turns == ["game.a", "game.b", "game.c"]


def test_link_that_found_no_room_in_its_turn_has_another_turn() -> None:
    waiting = WaitingLinks()
    update(waiting, user("a", 1), FULL)
    waiting.next_for_room()
    update(waiting, user("a", 1), FULL)
    assert [each.name for each in waiting.next_for_room()] == ["game.a"]


def test_link_that_was_bound_or_deleted_meanwhile_has_no_turn() -> None:
    waiting = WaitingLinks()
    for name in "abc":
        update(waiting, user(name, 1), FULL)
    update(waiting, user("a", 1), BOUND)
    waiting.discard(user("b", 1))
    assert [each.name for each in waiting.next_for_room()] == ["game.c"]


def test_pending_or_lost_link_waits_but_not_for_room() -> None:
    waiting = WaitingLinks()
    update(waiting, user("a", 1), NO_POD)
    update(waiting, user("b", 1), LOST)
    assert {each.name for each in waiting.all()} == {"game.a", "game.b"}
    assert not waiting.next_for_room()


def test_link_has_one_turn_however_often_it_is_updated() -> None:
    waiting = WaitingLinks()
    for _ in range(3):
        update(waiting, user("a", 1), FULL)
    assert [each.name for _ in range(3) for each in waiting.next_for_room()] == ["game.a"]


def test_lost_link_may_want_room_and_stop_wanting_it() -> None:
    waiting = WaitingLinks()
    waiting.update(user("a", 1), LOST, wants_room=True)
    waiting.update(user("b", 2), LOST, wants_room=True)
    waiting.update(user("a", 1), LOST, wants_room=False)
    assert [each.name for _ in range(2) for each in waiting.next_for_room()] == ["game.b"]


def test_link_that_stops_wanting_room_reports_it_once() -> None:
    waiting = WaitingLinks()
    assert not update(waiting, user("a", 1), FULL)
    waiting.next_for_room()
    assert update(waiting, user("a", 1), BOUND)
    assert not update(waiting, user("a", 1), BOUND)
    update(waiting, user("b", 1), FULL)
    assert waiting.discard(user("b", 1))
    assert not waiting.discard(user("b", 1))


def test_link_that_is_created_again_is_sorted_by_its_new_creation_time() -> None:
    waiting = WaitingLinks()
    update(waiting, user("a", 1), FULL)
    waiting.discard(user("a", 1))
    update(waiting, user("b", 2), FULL)
    update(waiting, user("a", 3), FULL)
    turns = [each.name for _ in range(4) for each in waiting.next_for_room()]
    assert turns == ["game.b", "game.a"]


def test_links_are_found_by_the_pod_that_they_wait_for() -> None:
    waiting = WaitingLinks()
    update(waiting, link(1, name="game.a"), LOST)
    update(waiting, link(2, name="game.b"), LOST)
    update(waiting, user("c", 1), FULL)
    assert [each.name for each in waiting.of_pods([1, 3])] == ["game.a"]
    update(waiting, link(2, name="game.a"), LOST)
    waiting.discard(link(2, name="game.b"))
    assert [each.name for each in waiting.of_pods([1, 2, 3])] == ["game.a"]


def test_links_are_found_whose_status_states_something_else() -> None:
    waiting = WaitingLinks()
    other_facts = LinkStatus(LinkPhase.PENDING, LinkReason.AT_CAPACITY, "full", facts_hash="another")
    for name, status in (("a", FULL), ("b", other_facts), ("c", NO_POD)):
        update(waiting, user(name, 1), status)
    assert [each.name for each in waiting.with_other_reason(FULL)] == ["game.c"]
    assert [each.name for each in waiting.with_other_facts(FULL, 5)] == ["game.b", "game.c"]
    assert [each.name for each in waiting.with_other_facts(FULL, 1)] == ["game.b"]
    update(waiting, user("b", 1), FULL)
    waiting.discard(user("c", 1))
    assert not waiting.with_other_facts(FULL, 5)


def test_links_that_choose_and_links_that_move_have_turns_of_their_own() -> None:
    waiting = WaitingLinks()
    for number in range(3):
        waiting.update(link(7, name=f"game.lost-{number}", creation_timestamp=number), LOST, wants_room=True)
        update(waiting, user(f"new-{number}", 10 + number), FULL)
    assert [each.name for each in waiting.next_of_each_kind(1)] == ["game.new-0", "game.lost-0"]
    assert [each.name for each in waiting.next_like(user("new-0", 10))] == ["game.new-1"]
    assert [each.name for each in waiting.next_for_room()] == ["game.lost-1"]
    assert waiting.want_room()
    assert [each.name for each in waiting.next_of_each_kind(5)] == ["game.new-2", "game.lost-2"]
    assert not waiting.want_room()


def test_links_that_give_up_leave_nothing_behind() -> None:
    waiting = WaitingLinks()
    update(waiting, user("oldest", 0), FULL)
    for number in range(1, 2000):
        update(waiting, user(f"user-{number}", number), FULL)
        waiting.discard(user(f"user-{number}", number))
    assert len(waiting._choosing._heap) < 200  # noqa: SLF001 - its size is visible nowhere else
    assert [each.name for _ in range(2) for each in waiting.next_for_room()] == ["game.oldest"]
