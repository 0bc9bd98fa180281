"""Hand-over: a move that the old pod prepares, so that the new pod has the state of the user."""

from pydantic import Field, JsonValue

from statefulroute.api.limits import DNS_SUBDOMAIN, DNS_SUBDOMAIN_MAX_LENGTH, INT32_MAX
from statefulroute.api.model import Model, Time, cel_string, validation_rules

_HOUR_SECONDS = 3600

#: The API server chooses UUIDs of 36 characters.
_POD_UID_MAX_LENGTH = 64

#: The rules of a link's hand-over. A hand-over to the pod of the link itself is not refused: a client of a version
#: without hand-overs that moves the link to the same pod leaves it behind, and the operator removes it.
HAND_OVER_RULES: dict[str, JsonValue] = validation_rules(
    (
        "has(self.podIndex) != has(self.podName)",
        "handOver needs the new pod: its podIndex if the workload's pods have indexes, otherwise its podName",
    )
)


class HandOver(Model):
    """Asks the pod of a link to hand the user over to another pod.

    The link stays with its pod until that pod, or the operator at the time-out, writes the new pod to the link and
    removes this field.
    """

    pod_index: int | None = Field(default=None, description="The index of the new pod.", ge=0, le=INT32_MAX)
    pod_name: str | None = Field(
        default=None,
        description="The name of the new pod, for workloads whose pods have no index.",
        max_length=DNS_SUBDOMAIN_MAX_LENGTH,
        json_schema_extra=validation_rules(
            (
                f"self.matches({cel_string(DNS_SUBDOMAIN)})",
                "podName must be a pod's name: lower-case letters, digits, '-' and '.'",
            )
        ),
    )
    start_time: Time = Field(
        description="When the hand-over was asked for. It tells two hand-overs to the same pod apart; the time-out "
        "counts from when the operator sees it."
    )


class HandOverStatus(Model):
    """The hand-over in progress, as the operator first saw it."""

    pod_uid: str = Field(
        description="The `metadata.uid` of the pod that was asked. Another pod of its name does not have what that pod "
        "had in memory.",
        max_length=_POD_UID_MAX_LENGTH,
    )
    start_time: Time = Field(description="The `startTime` of the hand-over in the spec.")


class HandOverSettings(Model):
    """How the users of a route are handed over."""

    timeout_seconds: int = Field(
        default=10,
        description="How long a pod may take to hand a user over. After that, the operator moves the link, whether the "
        "new pod has the state of the user or not.",
        ge=1,
        le=_HOUR_SECONDS,
    )
