"""The faults of a fault proxy, and its protocol."""

from enum import StrEnum

import msgspec


class Mode(StrEnum):
    """A kind of fault."""

    NONE = "none"
    """Forwards everything."""

    SLOW = "slow"
    """Forwards requests after a delay."""

    ERROR = "answer"
    """Responds to requests with an error, without forwarding."""

    ERROR_AFTER_WRITE = "answer afterwards"
    """Forwards writes, and responds with an error: the client cannot know the result."""

    DROP_WATCHES = "drop watches"
    """Cuts watches during an event, or after a second without one."""

    HOLD_WATCHES = "hold watches"
    """Holds the events of watches back, and forwards them at the end of the fault; other requests pass."""

    EXPIRE = "expire"
    """Responds to watches, and to further pages of lists, with `410 Expired`."""

    ERROR_EVENT = "error within"
    """Starts watches, and ends them with an error event."""

    HALF_OPEN = "half open"
    """Sends no responses and closes no connections; accepts new connections without responses.

    At its end, the connections are dropped without notice to their clients, as by a machine that restarted: a client
    learns it only when it sends something.
    """

    REFUSE = "refuse"
    """Cuts connections and refuses new ones."""

    SKEW_DATE = "skew date"
    """Changes the `Date` header of responses, as an API server or a proxy with a wrong clock does."""


class ProxyFault(msgspec.Struct, frozen=True):
    """A fault to inject.

    Attributes:
        mode: its kind.
        share: the share of the affected requests, 1 for all; half-open and refused connections always affect all.
        code: the HTTP status of a response, or the code of an error event.
        seconds: the delay of a request; for a response, the Retry-After; for a skewed date, the difference.
    """

    mode: Mode = Mode.NONE
    share: float = 1.0
    code: int = 0
    seconds: float = 0.0


class ProxyCommand(msgspec.Struct, frozen=True, omit_defaults=True):
    """A command to the proxy's process, as a line of JSON.

    Attributes:
        fault: the fault to inject from now on.
        certificate: a file with another key and certificate to serve with; cuts connections.
        token: the only bearer token to accept from now on; empty accepts all.
    """

    fault: ProxyFault | None = None
    certificate: str | None = None
    token: str | None = None


class ProxyReport(msgspec.Struct, frozen=True):
    """The response of the proxy's process to a command, as a line of JSON.

    Attributes:
        port: the port that it listens on.
        hits: the number of requests and connections that a fault affected.
    """

    port: int
    hits: int
