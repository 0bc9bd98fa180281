"""The slot of a uid, and the test vectors for other languages."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statefulroute.domain.keys import is_slot_link_name, link_name, slot_from_link_name, slot_link_name
from statefulroute.domain.link import Link
from statefulroute.domain.slots.hashing import slot_of
from statefulroute.domain.slots.lookup import binding_slot
from support.link_rules import LINK_NAMES
from unit.domain.builders import link

VECTORS = json.loads((Path(__file__).parents[3] / "docs/slot-vectors.json").read_text())


def test_slot_is_the_remainder_of_the_hash_by_each_vector() -> None:
    assert len(VECTORS) > 100
    for vector in VECTORS:
        assert slot_of(vector["uid"], vector["slots"]) == vector["slot"] == int(vector["hash"], 16) % vector["slots"]


def test_slot_of_a_known_uid_never_changes() -> None:
    # The first 8 bytes of SHA-256("alice") are 2bd806c97f0e00af.
    assert slot_of("alice", 2**64) == 0x2BD806C97F0E00AF


@given(st.integers(0, 16_383))
def test_name_of_a_slot_is_that_of_no_uid(slot: int) -> None:
    name = slot_link_name("game", slot)
    assert is_slot_link_name(name)
    assert slot_from_link_name(name) == slot
    assert link_name("game", f"x-slot-{slot}") != name


@pytest.mark.parametrize(("uid", "route", "name"), LINK_NAMES.values(), ids=LINK_NAMES)
def test_link_of_a_uid_is_not_that_of_a_slot(uid: str, route: str, name: str) -> None:
    assert not is_slot_link_name(link_name(route, uid))
    assert link(name=name).slot is None
    assert link(name=name).uid == uid


def test_uid_with_the_name_of_a_slot_in_it_is_not_a_slot() -> None:
    assert link(name=link_name("game", "a.x-slot-1")).uid == "a.x-slot-1"


def test_link_of_a_slot_has_no_uid() -> None:
    assert link(name="game.x-slot-12").slot == 12
    assert link(name="game.x-slot-12").uid is None


@pytest.mark.parametrize("name", ["game.x-slot-01", "game.x-slot-", "game.x-slot-1a", "game.x-slot-1.2"])
def test_name_that_no_slot_has_is_an_error(name: str) -> None:
    with pytest.raises(ValueError, match=r"slot|int"):
        slot_from_link_name(name)


@pytest.mark.parametrize(
    ("own", "slots", "expected"),
    [
        pytest.param(None, 16, slot_of("alice", 16), id="its slot"),
        pytest.param(link(1, name="game.alice"), 16, None, id="its own link"),
        pytest.param(link(None, name="game.alice"), 16, None, id="its own link without a pod"),
        pytest.param(None, None, None, id="a route without slots"),
        pytest.param(link(1, name="game.alice"), None, None, id="its own link without slots"),
    ],
)
def test_slot_binds_a_uid_without_a_link_of_its_own(own: Link | None, slots: int | None, expected: int | None) -> None:
    assert binding_slot("alice", own, slots) == expected
