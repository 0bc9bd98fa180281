"""How hand-overs end at the old pod."""

from enum import StrEnum


class HandOverResult(StrEnum):
    """How a hand-over has ended at the old pod."""

    COMMITTED = "Committed"
    """This driver has bound the user to the new pod."""
    TIMED_OUT = "TimedOut"
    """The user had left before the handler returned, or before it was called: the operator moves the link at the
    time-out."""
    WITHDRAWN = "Withdrawn"
    """The hand-over was withdrawn, or replaced by one to another pod."""
    FAILED = "Failed"
    """The handler has raised an exception."""
