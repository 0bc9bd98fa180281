"""Another scaler is detected when it changes a number back again and again."""

from statefulroute.domain.disruption.contested_scale import ContestedScale


def reversed_scale(times: int, seconds: float = 10.0) -> ContestedScale:
    """Returns what is known of a number that the operator sets to 3, and something else to 1, so many times."""
    state = ContestedScale()
    for number in range(times):
        now = number * seconds
        state = state.wrote(3, now).observe(3, now + 1).observe(1, now + 2).observe(1, now + 3)
    return state


def test_some_edits_by_a_person_are_no_other_scaler() -> None:
    assert not reversed_scale(2).is_contested
    assert reversed_scale(2).pause(20) == 0


def test_third_reversal_within_ten_minutes_is_another_scaler() -> None:
    assert reversed_scale(3).is_contested
    assert not reversed_scale(3, seconds=400).is_contested


def test_change_that_was_not_preceded_by_a_write_is_no_reversal() -> None:
    state = ContestedScale().wrote(3, 0)
    for number in range(10):
        state = state.observe(number, number)
    assert len(state.reversals) == 1


def test_number_is_set_once_a_minute_while_it_is_contested() -> None:
    state = reversed_scale(3)
    assert state.pause(23) == 57
    assert state.pause(80) == 0


def test_number_is_not_contested_any_more_after_ten_minutes() -> None:
    assert not reversed_scale(3).observe(1, 623).is_contested
