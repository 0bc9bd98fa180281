"""The backoff."""

import pytest

from statefulroute.domain.backoff import Backoff, retry_delay


def test_delay_doubles_up_to_the_limit() -> None:
    backoff = Backoff(0.05, 1.0, random=lambda: 1.0)
    assert [backoff.delay(attempt) for attempt in range(7)] == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


@pytest.mark.parametrize(("random", "delay"), [(0.0, 0.2), (0.5, 0.3), (1.0, 0.4)])
def test_jitter_shortens_a_delay_by_at_most_half(random: float, delay: float) -> None:
    assert Backoff(0.1, 1.0, random=lambda: random).delay(2) == pytest.approx(delay)


def test_delay_without_jitter_is_exact() -> None:
    assert Backoff(0.1, 1.0, random=lambda: 0.0, jitter=0).delay(1) == 0.2


def test_delay_of_many_attempts_is_the_limit() -> None:
    assert Backoff(0.005, 30.0, random=lambda: 1.0).delay(100_000) == 30.0


@pytest.mark.parametrize(
    ("delay", "asked", "random", "expected"),
    [
        (0.5, 0.0, 1.0, 0.5),
        (0.5, 1.0, 0.0, 1.0),
        (0.5, 1.0, 1.0, 1.25),
        (5.0, 1.0, 1.0, 5.0),
        (0.0, 31_536_000.0, 0.0, 32.0),
        (0.0, 31_536_000.0, 1.0, 40.0),
        (0.5, -1.0, 1.0, 0.5),
    ],
)
def test_pause_is_as_long_as_the_server_asks_for_and_at_most_40_s(
    delay: float, asked: float, random: float, expected: float
) -> None:
    assert retry_delay(delay, asked, lambda: random) == expected


def test_backoff_is_at_least_as_long_as_the_server_asks_for() -> None:
    backoff = Backoff(0.1, 1.0, random=lambda: 0.0, jitter=0)
    assert [backoff.delay(attempt, 0.5) for attempt in range(5)] == [0.5, 0.5, 0.5, 0.8, 1.0]
