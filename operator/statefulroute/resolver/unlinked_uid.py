"""What becomes of users whom nobody knows."""

from enum import StrEnum


class UnlinkedUidPolicy(StrEnum):
    """What becomes of the request of a uid that is not linked."""

    BIND = "bind"
    """The uid is bound to the best pod; a request without a uid goes to any available pod."""
    ANY = "any"
    """It goes to any available pod, and nobody is bound."""
    REFUSE = "refuse"
    """It is refused."""
