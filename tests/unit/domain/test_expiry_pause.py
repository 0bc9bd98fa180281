"""The time by which temporary links end stands still in an outage, and until the links can be renewed."""

import pytest

from statefulroute.domain.expiry_pause import MAX_GRACE_SECONDS, UNKNOWN_SECONDS, ExpiryPause


@pytest.fixture
def pause() -> ExpiryPause:
    """The pause of a process that has contact at 0 s."""
    result = ExpiryPause()
    result.regain(0)
    return result


def test_time_is_that_of_the_clock_without_an_outage(pause: ExpiryPause) -> None:
    pause.regain(5)
    assert [pause.seconds(now) for now in (0, 5, 1000)] == [0, 0, 0]


def test_time_stands_still_from_the_loss_of_contact_on(pause: ExpiryPause) -> None:
    pause.lose(100)
    pause.lose(130)  # a further attempt fails
    assert [now - pause.seconds(now) for now in (100, 130, 5000)] == [100, 100, 100]


@pytest.mark.parametrize(("outage", "grace"), [(0.1, 0.1), (40, 40), (4000, MAX_GRACE_SECONDS)])
def test_time_stands_still_after_an_outage_for_as_long_as_that_lasted(
    pause: ExpiryPause, outage: float, grace: float
) -> None:
    pause.lose(100)
    pause.regain(100 + outage)
    end = 100 + outage + grace
    assert end - 0.01 - pause.seconds(end - 0.01) == pytest.approx(100)
    assert pause.seconds(end) == pause.seconds(end + 1) == 0


def test_short_second_outage_does_not_end_the_time_for_renewals(pause: ExpiryPause) -> None:
    pause.lose(100)
    pause.regain(140)
    pause.lose(150)
    pause.regain(151)
    assert 179 - pause.seconds(179) == 100
    assert pause.seconds(180) == 0


def test_second_outage_during_the_time_for_renewals_goes_on_with_the_first(pause: ExpiryPause) -> None:
    pause.lose(100)
    pause.regain(140)
    pause.lose(150)
    assert 500 - pause.seconds(500) == 100


def test_outage_after_the_time_for_renewals_is_another_one(pause: ExpiryPause) -> None:
    pause.lose(100)
    pause.regain(101)
    pause.lose(200)
    assert 500 - pause.seconds(500) == 200


def test_time_never_goes_back(pause: ExpiryPause) -> None:
    times = []
    for now in range(400):
        if now in {50, 90, 200, 201}:
            pause.lose(now)
        if now in {60, 130, 202}:
            pause.regain(now)
        times.append(now - pause.seconds(now))
    assert times == sorted(times)


def test_process_that_starts_in_an_outage_does_not_know_when_it_began() -> None:
    pause = ExpiryPause()
    pause.lose(10)
    pause.regain(30)
    assert pause.seconds(40) == 30 + UNKNOWN_SECONDS
    assert pause.seconds(50) == 0
