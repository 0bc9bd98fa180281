"""When failed keys are retried, and how long workers pause while the API server fails."""

import pytest

from statefulroute.controllers.work_queue.rate_limiting import OutagePause, RetryBackoff, RetryDelays


def test_delay_doubles_with_each_failure_of_a_key_up_to_the_limit() -> None:
    backoff: RetryBackoff[str] = RetryBackoff(RetryDelays(initial=1.0, longest=6.0))
    assert [backoff.next_delay("a") for _ in range(5)] == [1.0, 2.0, 4.0, 6.0, 6.0]
    assert backoff.next_delay("b") == 1.0


def test_limit_is_lower_while_the_api_server_fails() -> None:
    backoff: RetryBackoff[str] = RetryBackoff(RetryDelays(initial=1.0, longest=30.0, longest_in_outage=3.0))
    assert [backoff.next_delay("a", in_outage=True) for _ in range(4)] == [1.0, 2.0, 3.0, 3.0]
    assert backoff.next_delay("a") == 4.0, "the failures beyond the limit do not count"


def test_forgotten_key_starts_with_the_first_delay() -> None:
    backoff: RetryBackoff[str] = RetryBackoff(RetryDelays(initial=1.0))
    backoff.next_delay("a")
    backoff.forget("a")
    backoff.forget("never failed")
    assert backoff.next_delay("a") == 1.0


@pytest.mark.parametrize(("random", "pauses"), [(1.0, [0.05, 0.1, 0.2, 0.4, 0.8, 0.8]), (0.0, [0.025, 0.05, 0.1])])
def test_pause_doubles_with_each_round_of_failures_of_all_workers(random: float, pauses: list[float]) -> None:
    pause = OutagePause(2, random=lambda: random)
    pause.record_failure()
    for expected in pauses:
        assert pause.seconds() == pytest.approx(expected)
        for _ in range(2):
            pause.record_failure()


def test_no_pause_without_a_failure_and_after_a_success() -> None:
    pause = OutagePause(1)
    assert pause.seconds() == 0.0
    pause.record_failure()
    assert pause.seconds() > 0.0
    pause.reset()
    assert pause.seconds() == 0.0


def test_key_and_worker_wait_for_as_long_as_the_api_server_asks() -> None:
    backoff: RetryBackoff[str] = RetryBackoff(RetryDelays(initial=1.0, longest_in_outage=5.0), random=lambda: 0.0)
    assert [backoff.next_delay("a", in_outage=True, retry_after_seconds=4.0) for _ in range(4)] == [4.0, 4.0, 4.0, 5.0]
    pause = OutagePause(1, random=lambda: 0.0)
    pause.reset()
    assert pause.seconds(4.0) == 4.0, "also while other workers succeed"
    pause.record_failure()
    assert pause.seconds(0.001) == 0.05
