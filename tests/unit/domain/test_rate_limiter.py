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


def test_reserved_tokens_follow_each_other_at_the_rate() -> None:
    clock = Clock()
    limiter = RateLimiter(10, clock, burst=1)
    assert [limiter.reserve() for _ in range(4)] == pytest.approx([0, 0.1, 0.2, 0.3])
    clock.now += 0.15
    assert limiter.reserve() == pytest.approx(0.25)
    clock.now += 60
    assert [limiter.reserve() for _ in range(2)] == pytest.approx([0, 0.1])


def test_reserved_tokens_use_up_the_burst_first() -> None:
    limiter = RateLimiter(10, Clock(), burst=3)
    assert [limiter.reserve() for _ in range(5)] == pytest.approx([0, 0, 0, 0.1, 0.2])


def test_reserved_token_is_not_available_before_its_delay() -> None:
    clock = Clock()
    limiter = RateLimiter(10, clock, burst=1)
    assert limiter.reserve(delay=0.1) == pytest.approx(0.1)
    assert limiter.reserve(delay=0.1) == pytest.approx(0.2)
    assert limiter.reserve() == pytest.approx(0.3)
