"""PodLink: binds one uid, or one slot of uids, to one pod of one service."""

from typing import Any, ClassVar

from pydantic import Field, JsonValue

from statefulroute.api.group import API_VERSION, POD_LINK
from statefulroute.api.hand_over import HAND_OVER_RULES, HandOver, HandOverStatus
from statefulroute.api.limits import (
    DNS_LABEL,
    DNS_LABEL_MAX_LENGTH,
    DNS_SUBDOMAIN,
    DNS_SUBDOMAIN_MAX_LENGTH,
    ENCODED_UID_MAX_BYTES,
    ENCODED_UID_PREFIX,
    INT32_MAX,
    SLOT_PREFIX,
    SLOTS_MAX,
    UID_MAX_LENGTH,
)
from statefulroute.api.model import Conditions, Generation, Model, Time, cel_string, validation_rules
from statefulroute.api.vocabulary import (
    RENEW_WITHOUT_TTL_MESSAGE,
    SLOT_WITH_TTL_MESSAGE,
    TWO_PODS_MESSAGE,
    UID_OR_SLOT_MESSAGE,
    LinkPhase,
    LossCause,
    MoveReason,
)


def _is_valid_in_name(uid: str) -> str:
    """CEL: whether an object's name can contain this uid unencoded (a DNS subdomain of RFC 1123)."""
    label = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
    return rf"{uid}.matches('^{label}(\\.{label})*$') && !{uid}.startsWith('{ENCODED_UID_PREFIX}')"


def _expected_name(prefix: str = "") -> str:
    """CEL: a prefix, followed by the name that the route's name and the uid require.

    The expression uses `format`, because concatenation with `+` exceeds the API server's limit on the cost of a rule.
    Each template is a literal: the API server of Kubernetes 1.31 crashes over any other.
    """
    arguments = "[self.spec.routeName, self.spec.uid]"
    unencoded = f"'{prefix}%s.%s'.format({arguments})"
    encoded = f"'{prefix}%s.{ENCODED_UID_PREFIX}%x'.format({arguments})"
    return f"({_is_valid_in_name('self.spec.uid')} ? {unencoded} : {encoded})"


def _expected_slot_name(prefix: str = "") -> str:
    """CEL: a prefix, followed by the name that the route's name and the slot require."""
    return f"'{prefix}%s.{SLOT_PREFIX}%d'.format([self.spec.routeName, self.spec.slot])"


_SPEC_RULES: list[JsonValue] = [
    {
        "rule": "has(self.uid) != has(self.slot)",
        "message": UID_OR_SLOT_MESSAGE,
        "fieldPath": ".uid",
    },
    {
        # The rules of the fields compare values, and do not apply where a field is added or removed.
        "rule": "has(self.uid) == has(oldSelf.uid)",
        "message": "uid and slot are immutable: delete this PodLink and create one for the other",
        "fieldPath": ".uid",
    },
    {
        "rule": "!has(self.slot) || !has(self.ttlSeconds)",
        "message": SLOT_WITH_TTL_MESSAGE,
        "fieldPath": ".ttlSeconds",
    },
    {
        "rule": "!has(self.renewTime) || has(self.ttlSeconds)",
        "message": RENEW_WITHOUT_TTL_MESSAGE,
        "fieldPath": ".renewTime",
    },
    {
        "rule": "!(has(self.podIndex) && has(self.podName))",
        "message": TWO_PODS_MESSAGE,
        "fieldPath": ".podName",
    },
    {
        "rule": "!has(self.handOver) || has(self.podIndex) || has(self.podName)",
        "message": "handOver needs podIndex or podName: only a pod that holds the user can hand it over",
        "fieldPath": ".handOver",
    },
]


class PodLinkSpec(Model):
    """The desired binding. `podIndex` or `podName` names the pod, as `spec.nodeName` names the node of a Pod."""

    route_name: str = Field(
        description="The name of the StatefulRoute, in the same namespace, that the uid or slot belongs to. Immutable.",
        max_length=DNS_LABEL_MAX_LENGTH,
        json_schema_extra=validation_rules(
            (
                f"self.matches('{DNS_LABEL}')",
                (
                    "routeName must be a DNS label (lower-case letters, digits and '-', at most "
                    f"{DNS_LABEL_MAX_LENGTH} characters): it is the name of a StatefulRoute"
                ),
            ),
            ("self == oldSelf", "routeName is immutable: delete this PodLink and create one for the other route"),
        ),
    )
    namespace: str | None = Field(
        default=None,
        description="The namespace of the StatefulRoute. If set, it must be the namespace of the PodLink.",
        min_length=1,
        max_length=DNS_LABEL_MAX_LENGTH,
    )
    uid: str | None = Field(
        default=None,
        description="The ID of the user (or room, document, session, agent) that is bound. Immutable. A link has "
        "either a uid or a slot.",
        min_length=1,
        max_length=UID_MAX_LENGTH,
        json_schema_extra=validation_rules(
            ("self == oldSelf", "uid is immutable: delete this PodLink and create one for the other uid"),
            (
                f"({_is_valid_in_name('self')}) || size(bytes(self)) <= {ENCODED_UID_MAX_BYTES}",
                (
                    f"uid is too long: at most {ENCODED_UID_MAX_BYTES} bytes when it holds anything but lower-case "
                    f"letters, digits, '-' and '.', else at most {UID_MAX_LENGTH} characters"
                ),
            ),
            (r"!self.matches('\\p{Cc}')", "uid must not hold control characters"),
        ),
    )
    slot: int | None = Field(
        default=None,
        description="The slot that is bound, and with it every uid of the slot without a link of its own. The operator "
        "creates these links for a route with slots. Immutable.",
        ge=0,
        le=SLOTS_MAX - 1,
        json_schema_extra=validation_rules(
            ("self == oldSelf", "slot is immutable: delete this PodLink, and the operator creates it again")
        ),
    )
    pod_index: int | None = Field(
        default=None,
        description="The index of the pod that the uid or slot is bound to. If unset, the operator chooses a pod.",
        ge=0,
        le=INT32_MAX,
    )
    pod_name: str | None = Field(
        default=None,
        description="The name of the pod, for workloads whose pods have no index (all but StatefulSets).",
        max_length=DNS_SUBDOMAIN_MAX_LENGTH,
        json_schema_extra=validation_rules(
            (
                f"self.matches({cel_string(DNS_SUBDOMAIN)})",
                "podName must be a pod's name: lower-case letters, digits, '-' and '.'",
            )
        ),
    )
    ttl_seconds: int | None = Field(
        default=None,
        description="Seconds from renewTime, or from the creation, until the link expires. If unset, the link is "
        "persistent.",
        ge=1,
        le=INT32_MAX,
    )
    renew_time: Time | None = Field(
        default=None, description="When the link was last renewed; its TTL counts from this time."
    )
    hand_over: HandOver | None = Field(
        default=None,
        description="Asks the pod of the link to hand the user over to another pod. The route must have a handOver, "
        "too; otherwise the link moves at once.",
        json_schema_extra=HAND_OVER_RULES,
    )


class PreviousBinding(Model):
    """The previous binding of a link, and why the link moved. `status.podName` is the pod to which it moved."""

    pod_index: int | None = Field(
        default=None, description="The index of the previous pod; absent if pods have no index.", ge=0
    )
    pod_name: str | None = Field(default=None, description="The name of the previous pod.")
    reason: MoveReason = Field(description="Why the link moved.")
    cause: LossCause | None = Field(default=None, description="Why the previous pod was lost, if it was.")
    time: Time = Field(description="When it moved.")


class PodLinkStatus(Model):
    """The observed state of a link: its pod, where to connect, and why it is not ready."""

    phase: LinkPhase | None = Field(default=None, description="The phase of the link.")
    pod_index: int | None = Field(
        default=None,
        description="The index of the pod. Set on Bound and Lost links if the workload's pods have indexes.",
        ge=0,
    )
    pod_name: str | None = Field(default=None, description="The name of the pod.")
    host: str | None = Field(
        default=None, description="The stable DNS name of the pod. Unlike the IP, it does not change on a restart."
    )
    bound_time: Time | None = Field(default=None, description="When the link was bound to the pod.")
    expire_time: Time | None = Field(default=None, description="When a temporary link expires.")
    observed_generation: Generation | None = Field(
        default=None, description="The generation of the spec that this status is for."
    )
    previous: PreviousBinding | None = Field(default=None, description="The previous binding.")
    facts_hash: str | None = Field(
        default=None,
        description="A hash of what the message of the Ready condition states beyond the other fields; absent if it "
        "states no more. The operator rewrites the status when what it states changes, and not when only the wording "
        "of its messages does.",
        max_length=64,
    )
    hand_over: HandOverStatus | None = Field(
        default=None, description="The hand-over in progress. Set on HandingOver links."
    )
    conditions: Conditions = ()


class PodLink(Model):
    """A PodLink binds one uid, or one slot of uids, to one pod of a stateful service.

    Its name is its key: `<routeName>.<uid>`, or `<routeName>.x-<hex of the uid's UTF-8 bytes>` if a name cannot
    contain the uid, or `<routeName>.x-slot-<slot>`. The API server therefore stores at most one PodLink for each uid or
    slot and service.
    """

    names: ClassVar = POD_LINK
    api_version: str = API_VERSION
    kind: str = POD_LINK.kind
    metadata: dict[str, Any] = Field(default_factory=dict)
    #: Rules about the spec alone belong to the spec and not to the root: the API server then evaluates them only when
    #: the spec changes, so the operator can still write the status of a link that violates one.
    spec: PodLinkSpec = Field(json_schema_extra={"x-kubernetes-validations": _SPEC_RULES})
    status: PodLinkStatus | None = None

    #: The CEL rules of the root. The name is validated at creation only, because routeName and uid are immutable. The
    #: rules of these fields report an empty uid and an invalid routeName, so this rule skips them.
    validations: ClassVar[list[dict[str, Any]]] = [
        {
            "rule": (
                "oldSelf.hasValue() || !has(self.spec.uid) || self.spec.uid == '' "
                f"|| !self.spec.routeName.matches('{DNS_LABEL}') || self.metadata.name == {_expected_name()}"
            ),
            "messageExpression": _expected_name("metadata.name must be "),
            "fieldPath": ".metadata",
            "optionalOldSelf": True,
        },
        {
            "rule": (
                "oldSelf.hasValue() || !has(self.spec.slot) || has(self.spec.uid) "
                f"|| !self.spec.routeName.matches('{DNS_LABEL}') || self.metadata.name == {_expected_slot_name()}"
            ),
            "messageExpression": _expected_slot_name("metadata.name must be "),
            "fieldPath": ".metadata",
            "optionalOldSelf": True,
        },
    ]
    printer_columns: ClassVar[list[dict[str, Any]]] = [
        {"name": "Route", "type": "string", "jsonPath": ".spec.routeName"},
        {"name": "UID", "type": "string", "jsonPath": ".spec.uid"},
        {
            "name": "Slot",
            "type": "integer",
            "jsonPath": ".spec.slot",
            "description": "The slot that is bound, in place of a uid.",
            "priority": 1,
        },
        {"name": "Pod", "type": "string", "jsonPath": ".status.podName"},
        {"name": "Phase", "type": "string", "jsonPath": ".status.phase"},
        {
            "name": "Reason",
            "type": "string",
            "jsonPath": ".status.conditions[?(@.type=='Ready')].reason",
            "description": "Why the link is in this phase.",
        },
        {"name": "Expires", "type": "string", "jsonPath": ".status.expireTime", "priority": 1},
        {"name": "Host", "type": "string", "jsonPath": ".status.host", "priority": 1},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]
    selectable_fields: ClassVar[list[str]] = [
        ".spec.routeName",
        ".spec.uid",
        ".spec.podIndex",
        ".spec.podName",
        ".status.phase",
    ]
    scale: ClassVar[dict[str, str] | None] = None
