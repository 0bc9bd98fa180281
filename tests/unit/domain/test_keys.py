import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statefulroute.domain.keys import link_name, uid_from_link_name


@pytest.mark.parametrize(
    ("uid", "name"),
    [
        ("alice", "game.alice"),
        ("alice.smith", "game.alice.smith"),
        ("a-1", "game.a-1"),
        ("0", "game.0"),
        ("Alice", "game.x-416c696365"),
        ("a b", "game.x-612062"),
        ("-a", "game.x-2d61"),
        ("a-", "game.x-612d"),
        ("a..b", "game.x-612e2e62"),
        ("x-ray", "game.x-782d726179"),
        ("ü", "game.x-c3bc"),
        ("🎲", "game.x-f09f8eb2"),
        ("alice\n", "game.x-616c6963650a"),
    ],
)
def test_a_link_is_named_for_its_route_and_uid(uid: str, name: str) -> None:
    assert link_name("game", uid) == name
    assert uid_from_link_name(name) == uid


@given(st.text(min_size=1))
def test_every_uid_has_a_name_of_its_own_that_gives_it_back(uid: str) -> None:
    try:
        uid.encode()
    except UnicodeEncodeError:  # half a surrogate pair: JSON cannot carry it either
        return
    name = link_name("game", uid)
    assert re.fullmatch(r"game\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", name)
    assert uid_from_link_name(name) == uid


def test_a_name_without_a_dot_is_no_links_name() -> None:
    with pytest.raises(ValueError, match="'game' is not the name of a PodLink"):
        uid_from_link_name("game")
