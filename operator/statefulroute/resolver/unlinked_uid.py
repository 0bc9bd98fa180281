"""The policy for requests of users without a link."""

from enum import StrEnum


class UnlinkedUidPolicy(StrEnum):
    """How a gateway's request is handled whose uid is not linked."""

    BIND = "bind"
    """Bind the uid to the best pod; send a request without a uid to any available pod."""
    ANY = "any"
    """Send the request to any available pod, and bind nothing."""
    REFUSE = "refuse"
    """Refuse the request."""
