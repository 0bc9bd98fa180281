"""How often somebody may do something."""

import pytest

from statefulroute.resolver.rate_limiter import RateLimiter


class Clock:
    """Monotonic seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_second_s_turns_may_be_taken_at_once_and_then_one_after_the_other() -> None:
    clock = Clock()
    allowance = RateLimiter(5, clock)
    assert [allowance.take("a") for _ in range(5)] == [0.0] * 5
    assert allowance.take("a") == pytest.approx(0.2)
    clock.now += 0.21
    assert allowance.take("a") == 0
    assert allowance.take("a") > 0


def test_a_turn_that_is_not_given_costs_nothing() -> None:
    clock = Clock()
    allowance = RateLimiter(1, clock)
    assert allowance.take("a") == 0
    for _ in range(100):
        assert allowance.take("a") == pytest.approx(1)
    clock.now += 1.001
    assert allowance.take("a") == 0


def test_over_a_long_time_it_is_the_rate() -> None:
    clock = Clock()
    allowance = RateLimiter(10, clock)
    taken = 0
    for _ in range(100_000):
        clock.now += 0.001
        taken += allowance.take("a") == 0
    assert taken == pytest.approx(100 * 10, abs=11)


def test_each_key_has_turns_of_its_own() -> None:
    allowance = RateLimiter(1, Clock())
    assert (allowance.take("a"), allowance.take("b")) == (0, 0)


def test_keys_that_have_all_their_turns_are_forgotten() -> None:
    clock = Clock()
    allowance = RateLimiter(1, clock, max_keys=3)
    for key in "abc":
        assert allowance.take(key) == 0
    clock.now += 0.5
    assert allowance.take("a") > 0
    clock.now += 0.6
    assert allowance.take("b") == 0
    assert allowance.take("d") == 0
    assert len(allowance) == 2  # b and d: the others have all their turns again
