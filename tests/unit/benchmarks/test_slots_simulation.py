"""Tests of the simulation of slots."""

import pytest

from measuring import slots_simulation
from measuring.slots_simulation import FULLEST, LOOKUP, MOVED, measure_lookups, simulate_spread, users_by_slot


def test_drawn_users_are_spread_as_hashed_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed = users_by_slot(20_000, 16)
    monkeypatch.setattr(slots_simulation, "HASHED_USERS", 0)
    drawn = users_by_slot(20_000, 16)
    assert sum(hashed) == 20_000
    for counts in (hashed, drawn):
        assert max(counts) < 1.15 * 20_000 / 16


def test_another_pod_takes_its_share() -> None:
    figures = simulate_spread(users=10_000, slots=64, pods=3)
    assert figures[FULLEST] < 1.2
    assert figures[MOVED] <= 64 / 4 + 1


def test_look_ups_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots_simulation, "_LOOKUPS", 100)
    assert measure_lookups(slots=16, pods=2)[LOOKUP] > 0
