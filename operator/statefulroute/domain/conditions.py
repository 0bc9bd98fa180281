"""Creates conditions with correct transition times."""

from collections.abc import Iterable
from datetime import datetime

from statefulroute.api.model import Condition
from statefulroute.api.vocabulary import ConditionType


def condition(  # noqa: PLR0913 - the fields of a condition
    condition_type: ConditionType,
    *,
    is_true: bool,
    reason: str,
    message: str,
    generation: int,
    previous: Iterable[Condition],
    now: datetime,
) -> Condition:
    """Returns a condition. It keeps the transition time of the previous condition with the same type and status."""
    status = "True" if is_true else "False"
    unchanged = next((old for old in previous if old.type is condition_type and old.status == status), None)
    return Condition(
        type=condition_type,
        status=status,
        reason=reason,
        message=message,
        observed_generation=generation,
        last_transition_time=unchanged.last_transition_time if unchanged else now.replace(microsecond=0),
    )
