"""The links in memory: their numbers by pod and state, and pages of them."""

from hypothesis import given
from hypothesis import strategies as st

from statefulroute.cli.link_changes import LinkState
from statefulroute.console.links import LinkIndex, cursor_of, page_of
from statefulroute.domain.keys import RouteKey
from support.console import link_state

GAME = RouteKey("play", "game")


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from([None, 0, 1, "gone"]), st.booleans()), max_size=30))
def test_counts_are_those_of_the_present_links(versions: list[tuple[str, int | str | None, bool]]) -> None:
    changed: list[RouteKey] = []
    index, present = LinkIndex(changed.append), dict[str, LinkState]()
    for number, (uid, pod, exists) in enumerate(versions):
        old = present.pop(uid, None)
        if exists:
            phase = "Bound" if pod == 0 else "Pending"
            present[uid] = link_state(uid, None if pod == "gone" else pod, version=number, phase=phase, reason=phase)
        index.replace(old, present.get(uid))
    links = index.of_route(GAME)
    pods = [link.pod for link in present.values()]
    assert links.counts() == {pod: pods.count(pod) for pod in {*pods}}
    assert len(links) == len(index) == len(present)
    assert sum(links.states.values()) == len(present)
    assert index.routes() == ([GAME] if present else [])
    assert {*changed} <= {GAME}


def test_pages_are_sorted_by_uid_and_follow_each_other() -> None:
    index = LinkIndex(lambda _: None)
    for number in range(7):
        index.replace(None, link_state(f"user-{6 - number}", number % 2))
    links = index.of_route(GAME)
    first, total = page_of(links, pod=None, search="", after="", limit=3)
    second, _ = page_of(links, pod=None, search="", after=cursor_of(first[-1]), limit=9)
    assert ([each.subject for each in first + second], total) == ([f"user-{number}" for number in range(7)], 7)
    assert [each.subject for each in page_of(links, pod=1, search="", after="", limit=9)[0]] == [
        "user-1",
        "user-3",
        "user-5",
    ]
    assert page_of(links, pod=None, search="USER-4", after="", limit=9)[1] == 1
    assert page_of(links, pod=9, search="", after="", limit=9) == ([], 0)


def test_finds_a_user_in_all_routes() -> None:
    index = LinkIndex(lambda _: None)
    for route in ("game", "chat"):
        index.replace(None, link_state("alice", route=route))
        index.replace(None, link_state("bob", route=route))
    assert [(each.subject, each.route) for each in index.of_uid("ALI", 5)] == [("alice", "chat"), ("alice", "game")]
    assert len(index.of_uid("", 3)) == 3
