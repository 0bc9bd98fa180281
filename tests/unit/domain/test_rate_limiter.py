"""The rate limiter."""

import pytest

from statefulroute.domain.rate_limiter import RateLimiter


class Clock:
    """Monotonic seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_full_bucket_grants_the_tokens_of_one_second_at_once() -> None:
    clock = Clock()
    limiter = RateLimiter(5, clock)
    assert [limiter.take("a") for _ in range(5)] == [0.0] * 5
    assert limiter.take("a") == pytest.approx(0.2)
    clock.now += 0.21
    assert limiter.take("a") == 0
    assert limiter.take("a") > 0


def test_tokens_beyond_the_bucket_are_taken_from_its_future() -> None:
    clock = Clock()
    limiter = RateLimiter(5, clock)
    assert limiter.take("a", 20) == 0
    assert limiter.take("a") == pytest.approx(3.2)
    assert limiter.take("b") == 0
    clock.now += 3.21
    assert limiter.take("a") == 0


def test_burst_sets_the_size_of_the_bucket() -> None:
    clock = Clock()
    limiter = RateLimiter(5, clock, burst=50)
    assert [limiter.take() for _ in range(50)] == [0.0] * 50
    assert limiter.take() == pytest.approx(0.2)
    clock.now += 1.0
    assert [limiter.take() for _ in range(5)] == [0.0] * 5
    assert limiter.take() > 0


def test_bucket_holds_at_least_one_token() -> None:
    clock = Clock()
    limiter = RateLimiter(0.5, clock)
    assert limiter.take() == 0
    assert limiter.take() == pytest.approx(2)


def test_refused_token_costs_nothing() -> None:
    clock = Clock()
    limiter = RateLimiter(1, clock)
    assert limiter.take("a") == 0
    for _ in range(100):
        assert limiter.take("a") == pytest.approx(1)
    clock.now += 1.001
    assert limiter.take("a") == 0


def test_rate_holds_over_a_long_time() -> None:
    clock = Clock()
    limiter = RateLimiter(10, clock)
    taken = 0
    for _ in range(100_000):
        clock.now += 0.001
        taken += limiter.take("a") == 0
    assert taken == pytest.approx(100 * 10, abs=11)


def test_each_key_has_its_own_bucket() -> None:
    limiter = RateLimiter(1, Clock())
    assert (limiter.take("a"), limiter.take("b")) == (0, 0)


def test_keys_with_full_buckets_are_dropped() -> None:
    clock = Clock()
    limiter = RateLimiter(1, clock, max_keys=3)
    for key in "abc":
        assert limiter.take(key) == 0
    clock.now += 0.5
    assert limiter.take("a") > 0
    clock.now += 0.6
    assert limiter.take("b") == 0
    assert limiter.take("d") == 0
    assert len(limiter) == 2  # b and d: the buckets of the others are full again


def test_delay_is_the_time_until_the_next_token_and_takes_none() -> None:
    clock = Clock()
    limiter = RateLimiter(10, clock, burst=1)
    assert [limiter.delay(), limiter.delay(), limiter.take()] == [0.0, 0.0, 0.0]
    assert limiter.delay() == pytest.approx(0.1)
    clock.now += 0.1
    assert limiter.delay() == 0.0


def test_token_that_is_given_back_is_available_again() -> None:
    clock = Clock()
    limiter = RateLimiter(1, clock, burst=2)
    assert [limiter.take("a"), limiter.take("a")] == [0.0, 0.0]
    limiter.give_back("a")
    assert limiter.take("a") == 0.0
    assert limiter.take("a") == pytest.approx(1)


def test_bucket_never_holds_more_than_its_burst() -> None:
    clock = Clock()
    limiter = RateLimiter(1, clock, burst=1)
    limiter.take()
    clock.now += 60
    limiter.give_back()
    limiter.give_back("unknown")
    assert limiter.take() == 0.0
    assert limiter.take() == pytest.approx(1)
