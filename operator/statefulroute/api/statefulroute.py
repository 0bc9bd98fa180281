"""StatefulRoute: the routing state of one stateful service."""

from typing import Annotated, Any, ClassVar

from pydantic import Field, JsonValue

from statefulroute.api.autoscaling import AUTOSCALING_RULES, Autoscaling
from statefulroute.api.disruption import DISRUPTION_RULES, Disruption, Replicas, Rollout
from statefulroute.api.group import API_VERSION, STATEFUL_ROUTE
from statefulroute.api.hand_over import HandOverSettings
from statefulroute.api.limits import (
    API_VERSION_MAX_LENGTH,
    DAY_SECONDS,
    DNS_LABEL,
    DNS_LABEL_MAX_LENGTH,
    DNS_SUBDOMAIN,
    DNS_SUBDOMAIN_MAX_LENGTH,
    INT32_MAX,
    KIND_MAX_LENGTH,
    PORT_MAX,
    PORT_NAME_MAX_LENGTH,
)
from statefulroute.api.load import THRESHOLDS_RULE, LoadSettings, WorkloadThresholds
from statefulroute.api.model import (
    Model,
    cel_string,
    list_type_map,
    validation_rules,
)
from statefulroute.api.pod_loss import OnPodLost
from statefulroute.api.route_status import StatefulRouteStatus
from statefulroute.api.slots import SLOTS_RULES, Rebalance, Slots
from statefulroute.api.vocabulary import RoutingState

#: The values that a user can set `routingState` to. `Unknown` is only the state of a pod that has not reported one.
_SETTABLE_ROUTING_STATES: dict[str, JsonValue] = {"enum": ["Ready", "DenyNewCall", "Shutdown"]}


class WorkloadRef(Model):
    """The workload whose pods serve the users: a StatefulSet, or any other kind with a scale subresource.

    PodLinks refer to the pods of a StatefulSet by index, and to the pods of any other workload by name.
    """

    api_version: str = Field(
        default="apps/v1",
        description="The API version of the workload.",
        min_length=1,
        json_schema_extra={"maxLength": API_VERSION_MAX_LENGTH},
    )
    kind: str = Field(
        default="StatefulSet",
        description="The kind of the workload.",
        min_length=1,
        json_schema_extra={"maxLength": KIND_MAX_LENGTH},
    )
    name: str | None = Field(
        default=None,
        description="The name of the workload. If unset, it is the name of the route.",
        min_length=1,
        max_length=DNS_SUBDOMAIN_MAX_LENGTH,
    )


class PodOverride(Model):
    """Overrides the routing state of one pod, for example to drain it."""

    index: int = Field(description="The index of the pod.", ge=0, le=INT32_MAX)
    routing_state: RoutingState = Field(
        description="Which users the pod accepts.", json_schema_extra=_SETTABLE_ROUTING_STATES
    )


class NamedPodOverride(Model):
    """Overrides the routing state of one pod that has no index."""

    name: str = Field(
        description="The name of the pod.",
        max_length=DNS_SUBDOMAIN_MAX_LENGTH,
        json_schema_extra=validation_rules(
            (
                f"self.matches({cel_string(DNS_SUBDOMAIN)})",
                "name must be a pod's name: lower-case letters, digits, '-' and '.'",
            )
        ),
    )
    routing_state: RoutingState = Field(
        description="Which users the pod accepts.", json_schema_extra=_SETTABLE_ROUTING_STATES
    )


class Placement(Model):
    """How new users are distributed over the pods."""

    range: int = Field(
        default=0,
        description="The width of the good set. The pods whose load exceeds the lowest load by at most this value "
        "share the new users.",
        ge=0,
        le=INT32_MAX,
    )
    max_links_per_pod: int = Field(
        default=0, description="The maximum number of links of a pod; 0 is no limit.", ge=0, le=INT32_MAX
    )


class LinkSettings(Model):
    """Settings of all links of the route."""

    temporary_seconds: int = Field(default=300, description="The default TTL of a temporary link.", ge=1, le=INT32_MAX)
    max: int = Field(
        default=0,
        description="The number of links of the route from which resolvers and drivers of callers link no new users; "
        "0 is no limit. Existing links stay.",
        ge=0,
        le=INT32_MAX,
    )


#: An additional name by which a service can be found.
Tag = Annotated[
    str,
    Field(
        max_length=DNS_LABEL_MAX_LENGTH,
        json_schema_extra=validation_rules(
            (f"self.matches('{DNS_LABEL}')", "a tag must be a DNS label (lower-case letters, digits and '-')")
        ),
    ),
]


class StatefulRouteSpec(Model):
    """The desired state of a route: its workload, and the rules of routing and placement."""

    workload_ref: WorkloadRef = Field(
        default=WorkloadRef(),
        description="The workload whose pods serve the users. If unset, the StatefulSet with the name of the route.",
    )
    port: int | str | None = Field(
        default=None,
        description="The port in the addresses of pods: a number, or the name of a container port.",
        json_schema_extra={
            "x-kubernetes-int-or-string": True,
            **validation_rules(
                (
                    (
                        f"type(self) == int ? self >= 1 && self <= {PORT_MAX} : "
                        f"size(self) <= {PORT_NAME_MAX_LENGTH} && "
                        "self.matches('^[a-z0-9]+(-[a-z0-9]+)*$') && self.matches('[a-z]')"
                    ),
                    (
                        f"port must be a number from 1 to {PORT_MAX} or the name of a container port (at most "
                        f"{PORT_NAME_MAX_LENGTH} lower-case letters, digits and single '-', with at least one letter)"
                    ),
                )
            ),
        },
    )
    routing_state: RoutingState = Field(
        default=RoutingState.READY,
        description="Which users the service accepts: Ready all, DenyNewCall only those it has, Shutdown none.",
        json_schema_extra=_SETTABLE_ROUTING_STATES,
    )
    pods: Annotated[tuple[PodOverride, ...], Field(max_length=1000, json_schema_extra=list_type_map("index"))] = Field(
        default=(), description="Overrides the routing state of single pods, for example to drain one."
    )
    named_pods: Annotated[
        tuple[NamedPodOverride, ...], Field(max_length=1000, json_schema_extra=list_type_map("name"))
    ] = Field(default=(), description="Overrides the routing state of pods without an index.")
    tags: Annotated[
        tuple[Tag, ...],
        Field(max_length=16, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ] = Field(default=(), description="Additional names by which the service can be found.")
    load: LoadSettings = Field(
        default=LoadSettings(),
        description="The source of the pods' load and its weights.",
        json_schema_extra=validation_rules(
            (
                "self.source != 'HTTP' || has(self.http)",
                "load.http is required when load.source is HTTP: set the port on which each pod returns its load",
            )
        ),
    )
    state_period_seconds: int = Field(
        default=30, description="How often the load and the routing state are refreshed.", ge=1, le=DAY_SECONDS
    )
    workload_period_seconds: int = Field(
        default=60, description="How often the workload state is refreshed.", ge=1, le=DAY_SECONDS
    )
    workload_thresholds: WorkloadThresholds = Field(
        default=WorkloadThresholds(),
        description="The mean weighted loads from which the service is Normal, High and Overloaded.",
        json_schema_extra={"x-kubernetes-validations": [THRESHOLDS_RULE]},
    )
    placement: Placement = Field(default=Placement(), description="How new users are distributed over the pods.")
    links: LinkSettings = Field(default=LinkSettings(), description="Settings of all links of the route.")
    on_pod_lost: OnPodLost = Field(
        default=OnPodLost(), description="What the operator does with the links of a lost pod."
    )
    hand_over: HandOverSettings | None = Field(
        default=None,
        description="How users are handed over when they are moved on purpose, so that the new pod has their state: "
        "by a closing pod at its deadline, by a drain with Shutdown, or by the handOver of their link. If unset, they "
        "are moved at once.",
    )
    slots: Slots | None = Field(
        default=None,
        description="The number of slots: each uid without a link of its own belongs to one of them, and a PodLink "
        "binds each slot to a pod, so that any number of uids needs only these links. Can be added to a route, and is "
        "immutable then. If unset, each uid needs a link.",
    )
    rebalance: Rebalance | None = Field(
        default=None, description="How slots are moved to new pods. If unset, they stay with their pods."
    )
    replicas: Replicas | None = Field(
        default=None,
        description="The desired number of pods, which kubectl scale and a HorizontalPodAutoscaler set. Pods with "
        "users are removed only when they are empty or their deadline is over. If unset, the route does not scale "
        "its workload, unless it has autoscaling.",
    )
    disruption: Disruption | None = Field(
        default=None,
        description="How long pods that are removed on purpose keep their users, and whether evictions wait for users. "
        "If unset, evictions do not wait.",
    )
    autoscaling: Autoscaling | None = Field(
        default=None,
        description="How the operator sets spec.replicas. If unset, users and other scalers set it.",
        json_schema_extra=AUTOSCALING_RULES,
    )
    rollout: Rollout | None = Field(
        default=None,
        description="How pods of older revisions are replaced. If unset, the workload replaces them by its own "
        "strategy.",
    )


class StatefulRoute(Model):
    """A StatefulRoute routes the users of one stateful service: it configures placement and reports pods and load."""

    names: ClassVar = STATEFUL_ROUTE
    api_version: str = API_VERSION
    kind: str = STATEFUL_ROUTE.kind
    metadata: dict[str, Any] = Field(default_factory=dict)
    spec: StatefulRouteSpec = Field(
        default=StatefulRouteSpec(), json_schema_extra=validation_rules(*DISRUPTION_RULES, *SLOTS_RULES)
    )
    status: StatefulRouteStatus | None = None

    validations: ClassVar[list[dict[str, Any]]] = [
        {
            # Validated at creation only: a name cannot change, and an existing route must stay editable and deletable.
            "rule": (
                f"oldSelf.hasValue() || self.metadata.name.matches('{DNS_LABEL}') && "
                f"size(self.metadata.name) <= {DNS_LABEL_MAX_LENGTH}"
            ),
            "message": "metadata.name must be a DNS label (lower-case letters, digits and '-', at most "
            f"{DNS_LABEL_MAX_LENGTH} characters): it is the first part of its PodLinks' names",
            "fieldPath": ".metadata",
            "optionalOldSelf": True,
        },
    ]
    printer_columns: ClassVar[list[dict[str, Any]]] = [
        {"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type=='Ready')].status"},
        {"name": "Routing", "type": "string", "jsonPath": ".spec.routingState"},
        {"name": "Workload", "type": "string", "jsonPath": ".status.workloadState"},
        {"name": "Replicas", "type": "integer", "jsonPath": ".status.replicas"},
        {"name": "Routable", "type": "integer", "jsonPath": ".status.routablePods"},
        {"name": "Links", "type": "integer", "jsonPath": ".status.links"},
        {"name": "Unserved", "type": "integer", "jsonPath": ".status.unservedLinks"},
        {"name": "Best", "type": "string", "jsonPath": ".status.bestPodName"},
        {
            "name": "Reason",
            "type": "string",
            "jsonPath": ".status.conditions[?(@.type=='Ready')].reason",
            "priority": 1,
        },
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]
    selectable_fields: ClassVar[list[str]] = []
    #: `kubectl scale`, a HorizontalPodAutoscaler and other scalers use it.
    scale: ClassVar[dict[str, str] | None] = {
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    }
