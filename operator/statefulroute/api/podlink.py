"""PodLink: one uid's binding to one pod of one service."""

from typing import Any, ClassVar

from pydantic import Field, JsonValue

from statefulroute.api.group import API_VERSION, POD_LINK
from statefulroute.api.limits import DNS_LABEL, DNS_SUBDOMAIN, INT32_MAX
from statefulroute.api.model import Conditions, Generation, Model, Time, cel_string, validation_rules
from statefulroute.api.vocabulary import RENEW_WITHOUT_TTL_MESSAGE, TWO_PODS_MESSAGE, LinkPhase, MoveReason

#: The most bytes of a uid that has to be encoded: two hex digits each, after `<routeName>.x-`, in a name
#: of at most 253 characters.
_MAX_ENCODED_BYTES = 93


def _is_valid_in_name(uid: str) -> str:
    """CEL: whether this uid can stand in an object's name as it is (a DNS subdomain of RFC 1123)."""
    label = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
    return rf"{uid}.matches('^{label}(\\.{label})*$') && !{uid}.startsWith('x-')"


def _expected_name(prefix: str = "") -> str:
    """CEL: the name that the route's name and the uid demand, after a prefix.

    `format` and not `+`: joining strings is over the API server's limit on a rule's cost.
    """
    plain, encoded = f"'{prefix}%s.%s'", f"'{prefix}%s.x-%x'"
    chosen = f"({_is_valid_in_name('self.spec.uid')} ? {plain} : {encoded})"
    return f"{chosen}.format([self.spec.routeName, self.spec.uid])"


_SPEC_RULES: list[JsonValue] = [
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
]


class PodLinkSpec(Model):
    """What is bound to what. The binding itself is `podIndex` or `podName`, as a Pod's is `spec.nodeName`."""

    route_name: str = Field(
        description="The StatefulRoute, in this namespace, of the service that the user is bound in. Immutable.",
        max_length=63,
        json_schema_extra=validation_rules(
            (
                f"self.matches('{DNS_LABEL}')",
                "routeName must be a DNS label (lower-case letters, digits and '-'): it is the name of a StatefulRoute",
            ),
            ("self == oldSelf", "routeName is immutable: delete this PodLink and create one for the other route"),
        ),
    )
    namespace: str | None = Field(
        default=None,
        description="The namespace of the service. May be left out; any other than the PodLink's own is refused.",
        min_length=1,
        max_length=63,
    )
    uid: str = Field(
        description="The user (or room, document, session, agent) that is bound. Immutable.",
        min_length=1,
        max_length=189,
        json_schema_extra=validation_rules(
            ("self == oldSelf", "uid is immutable: delete this PodLink and create one for the other uid"),
            (
                f"({_is_valid_in_name('self')}) || size(bytes(self)) <= {_MAX_ENCODED_BYTES}",
                (
                    f"uid is too long: at most {_MAX_ENCODED_BYTES} bytes when it holds anything but lower-case "
                    "letters, digits, '-' and '.', else at most 189 characters"
                ),
            ),
            (r"!self.matches('\\p{Cc}')", "uid must not hold control characters"),
        ),
    )
    pod_index: int | None = Field(
        default=None,
        description="The index of the pod that holds the user: the binding. Left out, the operator chooses a pod.",
        ge=0,
        le=INT32_MAX,
    )
    pod_name: str | None = Field(
        default=None,
        description="The same by the pod's name, where the workload's pods have no index (all but a StatefulSet's).",
        max_length=253,
        json_schema_extra=validation_rules(
            (
                f"self.matches({cel_string(DNS_SUBDOMAIN)})",
                "podName must be a pod's name: lower-case letters, digits, '-' and '.'",
            )
        ),
    )
    ttl_seconds: int | None = Field(
        default=None,
        description="How long the link lives after renewTime (or its creation), in seconds. Left out, the link "
        "is persistent.",
        ge=1,
        le=INT32_MAX,
    )
    renew_time: Time | None = Field(
        default=None, description="When the link was last renewed; a temporary link lives on from then."
    )


class PreviousBinding(Model):
    """Where a link was bound before, and why it moved."""

    pod_index: int | None = Field(default=None, description="The index of the pod that held the user before.", ge=0)
    pod_name: str | None = Field(default=None, description="Its name, where pods have no index.")
    reason: MoveReason = Field(description="Why the link moved.")
    time: Time = Field(description="When it moved.")


class PodLinkStatus(Model):
    """What the operator says of the link: what it checked, where to connect, and what went wrong."""

    phase: LinkPhase | None = Field(default=None, description="Where the link stands.")
    pod_index: int | None = Field(
        default=None,
        description="The index of the pod that was checked; only on a Bound or Lost link, and where pods have one.",
        ge=0,
    )
    pod_name: str | None = Field(default=None, description="The name of that pod.")
    host: str | None = Field(
        default=None, description="The pod's stable DNS name. It outlives the pod's restarts; the IP does not."
    )
    bound_time: Time | None = Field(default=None, description="When the link was bound to that pod.")
    expire_time: Time | None = Field(default=None, description="When a temporary link ends.")
    observed_generation: Generation | None = Field(
        default=None, description="The generation of the spec that this status was made for."
    )
    previous: PreviousBinding | None = Field(default=None, description="The binding before this one.")
    conditions: Conditions = ()


class PodLink(Model):
    """A PodLink binds one uid to one pod of a stateful service.

    Its name is its key: `<routeName>.<uid>`, or `<routeName>.x-<hex of the uid's UTF-8 bytes>` when the uid
    cannot stand in a name. The API server so holds at most one link a uid and service.
    """

    names: ClassVar = POD_LINK
    api_version: str = API_VERSION
    kind: str = POD_LINK.kind
    metadata: dict[str, Any] = Field(default_factory=dict)
    #: Rules about the spec alone stand here and not at the root: the API server then judges them anew only when the
    #: spec changes, and the status of a link that breaks one can say so.
    spec: PodLinkSpec = Field(json_schema_extra={"x-kubernetes-validations": _SPEC_RULES})
    status: PodLinkStatus | None = None

    #: The root's CEL rules. The name is judged at creation: routeName and uid cannot change afterwards, and
    #: an empty uid or a bad routeName has a sentence of its own.
    validations: ClassVar[list[dict[str, Any]]] = [
        {
            "rule": (
                f"oldSelf.hasValue() || self.spec.uid == '' || !self.spec.routeName.matches('{DNS_LABEL}') "
                f"|| self.metadata.name == {_expected_name()}"
            ),
            "messageExpression": _expected_name("metadata.name must be "),
            "fieldPath": ".metadata",
            "optionalOldSelf": True,
        },
    ]
    printer_columns: ClassVar[list[dict[str, Any]]] = [
        {"name": "Route", "type": "string", "jsonPath": ".spec.routeName"},
        {"name": "UID", "type": "string", "jsonPath": ".spec.uid"},
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
