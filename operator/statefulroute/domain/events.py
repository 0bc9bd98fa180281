"""What happens to a link, as people read it in `kubectl describe` and `kubectl events`."""

from dataclasses import dataclass
from enum import StrEnum

from statefulroute.api.vocabulary import LinkPhase, MoveReason, RemoveReason
from statefulroute.domain.keys import LinkKey
from statefulroute.domain.link import Acknowledgement, Link


class EventType(StrEnum):
    """Whether somebody should look at it."""

    NORMAL = "Normal"
    WARNING = "Warning"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that has happened to a link.

    Attributes:
        link: the link.
        type: whether somebody should look at it.
        action: what the operator did.
        reason: why, as one word.
        note: what happened, as a sentence.
    """

    link: LinkKey
    type: EventType
    action: str
    reason: str
    note: str


def acknowledged(link: Link, said: Acknowledgement, moved: MoveReason) -> Event | None:
    """The event of a new status; None where it is no news: a link that waits says so in its status."""
    came_from = link.was_bound_to
    match said.phase:
        case LinkPhase.BOUND if came_from is not None and came_from != said.pod_index:
            kind = EventType.WARNING if moved is MoveReason.POD_LOST else EventType.NORMAL
            return Event(link.key, kind, "Move", moved, f"moved from pod {came_from} to pod {said.pod_name!r}")
        case LinkPhase.BOUND if link.acknowledged is None or not link.acknowledged.is_ready:
            return Event(link.key, EventType.NORMAL, "Bind", said.reason, said.message)
        case LinkPhase.LOST | LinkPhase.REJECTED if link.acknowledged != said:
            return Event(link.key, EventType.WARNING, "Acknowledge", said.reason, said.message)
        case _:
            return None


def removed(link: Link, reason: RemoveReason) -> Event:
    """The event of a link that the operator has deleted."""
    match reason:
        case RemoveReason.EXPIRED:
            return Event(link.key, EventType.NORMAL, "Remove", reason, "its time was over")
        case RemoveReason.POD_LOST:
            return Event(link.key, EventType.WARNING, "Remove", reason, f"pod {link.pod_index} is lost")
