"""A closing pod: it is about to be removed on purpose, takes no new users, and keeps those it has."""

from dataclasses import dataclass
from datetime import datetime

from statefulroute.api.vocabulary import ClosingReason


@dataclass(frozen=True, slots=True)
class Closing:
    """Why a pod is closing.

    Attributes:
        reason: what the pod is removed for.
        since: since when it takes no new users.
        deadline: until when it keeps its users.
        is_over: whether the deadline is over, so that its links are handled as `onPodLost` states.
    """

    reason: ClosingReason
    since: datetime
    deadline: datetime
    is_over: bool = False
