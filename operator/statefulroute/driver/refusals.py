"""Why a pod does not take a user from another pod, as it tells that pod."""

from enum import StrEnum

from statefulroute.domain.errors import HandOverError, StateTooLargeError


class Refusal(StrEnum):
    """The reason."""

    UNAUTHORIZED = "Unauthorized"
    """The token does not prove which pod sends the request."""
    NOT_HANDED_OVER = "NotHandedOver"
    """The link of the user does not ask the sending pod to hand the user over to this pod."""
    NO_RECEIVER = "NoReceiver"
    """The application has no handler for arriving users."""
    BUSY = "Busy"
    """Too many users arrive at a time."""
    ALREADY_ARRIVING = "AlreadyArriving"
    """The state of the same user is being received."""
    TOO_LARGE = "TooLarge"
    """The state has more bytes than allowed."""
    FAILED = "Failed"
    """The handler of the application has failed."""
    UNAVAILABLE = "Unavailable"
    """The API server does not answer, so that nothing can be verified."""
    INVALID = "Invalid"
    """The request is malformed."""


_SENTENCES = {
    Refusal.UNAUTHORIZED: "the new pod has refused the token of this pod",
    Refusal.NOT_HANDED_OVER: "the new pod has refused the user: the link no longer asks for this hand-over",
    Refusal.NO_RECEIVER: "the new pod takes no states: its application has not called on_arriving",
    Refusal.BUSY: "the new pod takes too many users at present: try again",
    Refusal.ALREADY_ARRIVING: "the new pod is still receiving another state of the user: try again",
    Refusal.TOO_LARGE: "the state is larger than the new pod takes (max_state_bytes)",
    Refusal.FAILED: "the new pod has failed to take the user: see its log",
    Refusal.UNAVAILABLE: "the new pod cannot verify the hand-over at present: the API server does not answer it",
    Refusal.INVALID: "the new pod has not understood the request: do both pods have the same version?",
}


class RefusedError(Exception):
    """This pod does not take a user.

    Args:
        refusal: why.
    """

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal)
        self.refusal = refusal


def error_of(refusal: Refusal) -> HandOverError:
    """Returns the error for the application of the pod that was refused."""
    if refusal is Refusal.TOO_LARGE:
        return StateTooLargeError(_SENTENCES[refusal])
    return HandOverError(_SENTENCES[refusal])
