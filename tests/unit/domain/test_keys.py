"""The names of links."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statefulroute.domain.keys import link_name, uid_from_link_name
from support.link_rules import LINK_NAMES

LINKS = {**LINK_NAMES, "a final newline": ("alice\n", "game", "game.x-616c6963650a")}


@pytest.mark.parametrize(("uid", "route", "name"), LINKS.values(), ids=LINKS)
def test_link_name_contains_route_and_uid(uid: str, route: str, name: str) -> None:
    assert link_name(route, uid) == name
    assert uid_from_link_name(name) == uid


@given(st.text(min_size=1))
def test_each_uid_has_its_own_name_from_which_it_is_decoded(uid: str) -> None:
    try:
        uid.encode()
    except UnicodeEncodeError:  # a lone surrogate, which JSON cannot contain either
        return
    name = link_name("game", uid)
    assert re.fullmatch(r"game\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", name)
    assert uid_from_link_name(name) == uid


def test_name_without_a_dot_is_not_a_link_name() -> None:
    with pytest.raises(ValueError, match="'game' is not the name of a PodLink"):
        uid_from_link_name("game")
