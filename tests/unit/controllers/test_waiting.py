from statefulroute.api.vocabulary import LinkPhase, LinkReason
from statefulroute.controllers.links.waiting import WaitingLinks
from statefulroute.domain.link import Link, LinkStatus
from unit.domain.builders import link

FULL = LinkStatus(LinkPhase.PENDING, LinkReason.AT_CAPACITY, "full")
NO_POD = LinkStatus(LinkPhase.PENDING, LinkReason.NO_AVAILABLE_POD, "none")
LOST = LinkStatus(LinkPhase.LOST, LinkReason.POD_LOST, "lost")
BOUND = LinkStatus(LinkPhase.BOUND, LinkReason.BOUND, "bound", 0)


def note(waiting: WaitingLinks, link: Link, said: LinkStatus) -> bool:
    return waiting.update(link, said, wants_room=said is FULL)


def user(name: str, created: int) -> Link:
    return link(name=f"game.{name}", creation_timestamp=created)


def test_the_oldest_that_waits_for_room_has_the_next_turn() -> None:
    waiting = WaitingLinks()
    for name, created in (("b", 2), ("c", 3), ("a", 2)):
        note(waiting, user(name, created), FULL)
    turns = [each.name for _ in range(4) for each in waiting.next_for_room()]
    assert turns == ["game.a", "game.b", "game.c"]


def test_who_found_no_room_in_its_turn_is_in_the_line_again() -> None:
    waiting = WaitingLinks()
    note(waiting, user("a", 1), FULL)
    waiting.next_for_room()
    note(waiting, user("a", 1), FULL)
    assert [each.name for each in waiting.next_for_room()] == ["game.a"]


def test_who_was_bound_or_deleted_in_the_meantime_has_no_turn() -> None:
    waiting = WaitingLinks()
    for name in "abc":
        note(waiting, user(name, 1), FULL)
    note(waiting, user("a", 1), BOUND)
    waiting.discard(user("b", 1))
    assert [each.name for each in waiting.next_for_room()] == ["game.c"]


def test_a_link_that_waits_for_a_pod_or_lost_its_own_waits_but_not_for_room() -> None:
    waiting = WaitingLinks()
    note(waiting, user("a", 1), NO_POD)
    note(waiting, user("b", 1), LOST)
    assert {each.name for each in waiting.all()} == {"game.a", "game.b"}
    assert waiting.next_for_room() == ()


def test_a_link_has_one_place_in_the_line_however_often_it_is_noted() -> None:
    waiting = WaitingLinks()
    for _ in range(3):
        note(waiting, user("a", 1), FULL)
    assert [each.name for _ in range(3) for each in waiting.next_for_room()] == ["game.a"]


def test_a_link_that_is_lost_may_want_room_and_no_longer() -> None:
    waiting = WaitingLinks()
    waiting.update(user("a", 1), LOST, wants_room=True)
    waiting.update(user("b", 2), LOST, wants_room=True)
    waiting.update(user("a", 1), LOST, wants_room=False)
    assert [each.name for _ in range(2) for each in waiting.next_for_room()] == ["game.b"]


def test_who_wants_room_no_more_says_so_once() -> None:
    waiting = WaitingLinks()
    assert not note(waiting, user("a", 1), FULL)
    waiting.next_for_room()
    assert note(waiting, user("a", 1), BOUND)
    assert not note(waiting, user("a", 1), BOUND)
    note(waiting, user("b", 1), FULL)
    assert waiting.discard(user("b", 1))
    assert not waiting.discard(user("b", 1))


def test_a_link_that_is_made_anew_has_the_place_of_its_new_creation() -> None:
    waiting = WaitingLinks()
    note(waiting, user("a", 1), FULL)
    waiting.discard(user("a", 1))
    note(waiting, user("b", 2), FULL)
    note(waiting, user("a", 3), FULL)
    turns = [each.name for _ in range(4) for each in waiting.next_for_room()]
    assert turns == ["game.b", "game.a"]
