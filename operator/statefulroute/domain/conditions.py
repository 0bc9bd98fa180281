"""Conditions: how one is made so that its transition time is honest."""

from collections.abc import Iterable
from datetime import datetime

from statefulroute.api.model import Condition
from statefulroute.api.vocabulary import ConditionType


def condition(  # noqa: PLR0913 - a condition has as many parts
    condition_type: ConditionType,
    *,
    is_true: bool,
    reason: str,
    message: str,
    generation: int,
    previous: Iterable[Condition],
    now: datetime,
) -> Condition:
    """A condition as it stands now; its transition time stays where its status is what it was before."""
    status = "True" if is_true else "False"
    before = next((each for each in previous if each.type is condition_type and each.status == status), None)
    return Condition(
        type=condition_type,
        status=status,
        reason=reason,
        message=message,
        observed_generation=generation,
        last_transition_time=before.last_transition_time if before else now.replace(microsecond=0),
    )
