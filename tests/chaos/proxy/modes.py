"""What a fault proxy can do to what passes through it."""

from enum import StrEnum

import msgspec


class Mode(StrEnum):
    """One kind of fault."""

    NONE = "none"
    """Everything is passed on."""

    SLOW = "slow"
    """Requests are passed on some seconds late."""

    ERROR = "answer"
    """Requests are answered with an error, and not passed on."""

    ERROR_AFTER_WRITE = "answer afterwards"
    """Writes are carried out, and answered with an error: who has asked cannot know."""

    DROP_WATCHES = "drop watches"
    """Watches are cut in the middle of an event, or after a second without one."""

    EXPIRE = "expire"
    """Watches, and further pages of lists, are answered with `410 Expired`."""

    EXPIRE_AS_EVENT = "expire within"
    """Watches begin, and tell in an event of their own that the resource version is too old."""

    HALF_OPEN = "half open"
    """Nothing is answered any more, and nothing is closed; new connections are accepted, and get no answer either.

    When it ends, the connections of that time are forgotten and their clients not told, as by a machine that has
    restarted: only who sends something learns it.
    """

    REFUSE = "refuse"
    """Connections are cut, and new ones are refused."""


class ProxyFault(msgspec.Struct, frozen=True):
    """A fault that a proxy is told to show.

    Attributes:
        mode: its kind.
        share: of how many requests it is shown, 1 being all; half-open and refused connections are always all.
        code: the HTTP status of an answer.
        seconds: how late a request is passed on; in an answer, after how long to ask again.
    """

    mode: Mode = Mode.NONE
    share: float = 1.0
    code: int = 0
    seconds: float = 0.0


class ProxyCommand(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the proxy's process is told, a line of JSON.

    Attributes:
        fault: the fault to show from now on.
        certificate: a file with another key and certificate to serve with; connections are cut.
        token: the only bearer token that is let in from now on; empty lets all in.
    """

    fault: ProxyFault | None = None
    certificate: str | None = None
    token: str | None = None


class ProxyReport(msgspec.Struct, frozen=True):
    """What the proxy's process answers to an order, a line of JSON.

    Attributes:
        port: where it listens.
        hits: how many requests and connections have met a fault.
    """

    port: int
    hits: int
