"""StatefulRoute: the routing state of one stateful service."""

from typing import Annotated, Any, ClassVar

from pydantic import Field, JsonValue

from statefulroute.api.group import API_VERSION, STATEFUL_ROUTE
from statefulroute.api.limits import DNS_LABEL, DNS_SUBDOMAIN, INT32_MAX
from statefulroute.api.model import (
    LIST_TYPE_ATOMIC,
    Conditions,
    Generation,
    Model,
    Time,
    cel_string,
    list_type_map,
    validation_rules,
)
from statefulroute.api.vocabulary import (
    LoadSource,
    PodLostAction,
    RoutingState,
    ServiceState,
    WorkloadState,
)

#: Settings of `routingState`: a person says Ready, DenyNewCall or Shutdown; only a pod can have said nothing.
_SETTABLE_ROUTING_STATES: dict[str, JsonValue] = {"enum": ["Ready", "DenyNewCall", "Shutdown"]}

_DAY_SECONDS = 86_400

#: The sentence says all three, for those that were left out have defaults.
_THRESHOLDS_RULE: dict[str, JsonValue] = {
    "rule": "self.normal < self.high && self.high < self.overloaded",
    "message": "workloadThresholds must rise: normal < high < overloaded",
    "messageExpression": (
        "'workloadThresholds must rise: normal < high < overloaded, not %d, %d, %d'"
        ".format([self.normal, self.high, self.overloaded])"
    ),
}


class WorkloadRef(Model):
    """The workload whose pods hold the users: a StatefulSet, or anything that has a scale subresource.

    The pods of a StatefulSet are named by their index, those of any other workload by their name.
    """

    api_version: str = Field(default="apps/v1", description="The API version of the workload.", min_length=1)
    kind: str = Field(default="StatefulSet", description="The kind of the workload.", min_length=1)
    name: str | None = Field(
        default=None,
        description="The name of the workload. Left out, it is the route's own name.",
        min_length=1,
        max_length=253,
    )


class PodOverride(Model):
    """An operator's word on one pod, for example to drain it."""

    index: int = Field(description="The index of the pod.", ge=0, le=INT32_MAX)
    routing_state: RoutingState = Field(description="Whom the pod takes.", json_schema_extra=_SETTABLE_ROUTING_STATES)


class NamedPodOverride(Model):
    """An operator's word on one pod that is named by its name."""

    name: str = Field(
        description="The name of the pod.",
        max_length=253,
        json_schema_extra=validation_rules(
            (
                f"self.matches({cel_string(DNS_SUBDOMAIN)})",
                "name must be a pod's name: lower-case letters, digits, '-' and '.'",
            )
        ),
    )
    routing_state: RoutingState = Field(description="Whom the pod takes.", json_schema_extra=_SETTABLE_ROUTING_STATES)


class HTTPLoad(Model):
    """Where each pod answers with its load, as `{"loadState": n, "waitingTasks": n, "routingState": s}`."""

    path: str = Field(
        default="/load",
        description="The path of the URL, taken literally: a '?' is part of it.",
        max_length=1024,
        json_schema_extra=validation_rules(("self.startsWith('/')", "path must begin with '/'")),
    )
    port: int = Field(description="The port of the pod.", ge=1, le=65535)
    timeout_seconds: int = Field(default=1, description="How long one answer may take.", ge=1, le=60)


class LoadSettings(Model):
    """Where the pods' load comes from and how it is weighed."""

    source: LoadSource = Field(
        default=LoadSource.REPORTED,
        description="Reported: the driver in the pod writes its annotations. HTTP: the operator asks each pod.",
    )
    http: HTTPLoad | None = Field(default=None, description="Where each pod answers, when the source is HTTP.")
    cpu_factor_percent: int = Field(
        default=70,
        description="The weight of waitingTasks, in percent; loadState has the rest: "
        "weighted = f * waitingTasks + (1 - f) * loadState.",
        ge=0,
        le=100,
    )
    stale_after_seconds: int = Field(
        default=90,
        description="Load older than this does not count: such a pod takes no new users while a fresh one exists.",
        ge=1,
        le=_DAY_SECONDS,
    )


class WorkloadThresholds(Model):
    """From which mean weighted load a service counts as Normal, High and Overloaded."""

    normal: int = Field(
        default=1, description="From this load the service is Normal; below it, Idle.", ge=0, le=INT32_MAX
    )
    high: int = Field(default=3, description="From this load the service is High.", ge=0, le=INT32_MAX)
    overloaded: int = Field(default=5, description="From this load the service is Overloaded.", ge=0, le=INT32_MAX)


class Placement(Model):
    """How new users are spread over the pods."""

    range: int = Field(
        default=0,
        description="The width of the good set: the pods whose load is within this of the best share the new users.",
        ge=0,
        le=INT32_MAX,
    )
    max_links_per_pod: int = Field(
        default=0, description="How many links a pod holds at the most; 0 is no limit.", ge=0, le=INT32_MAX
    )


class LinkSettings(Model):
    """What links of this route have in common."""

    temporary_seconds: int = Field(
        default=300, description="How long a temporary link lives unless it says otherwise.", ge=1, le=INT32_MAX
    )


class OnPodLost(Model):
    """What becomes of the links of a pod that is gone or shut down."""

    action: PodLostAction = Field(
        default=PodLostAction.REBIND,
        description="Keep marks the links Lost, Rebind moves them to the best of the other pods, Release deletes them.",
    )
    grace_seconds: int = Field(
        default=30,
        description="How long a pod may be gone before it counts as lost: longer than its restart takes.",
        ge=0,
        le=_DAY_SECONDS,
    )


#: A name that a service can also be found by.
Tag = Annotated[
    str,
    Field(
        max_length=63,
        json_schema_extra=validation_rules(
            (f"self.matches('{DNS_LABEL}')", "a tag must be a DNS label (lower-case letters, digits and '-')")
        ),
    ),
]


class StatefulRouteSpec(Model):
    """Which workload is routed to, and by what rules."""

    workload_ref: WorkloadRef = Field(
        default=WorkloadRef(),
        description="The workload whose pods hold the users. Left out, it is the StatefulSet of the route's own name.",
    )
    port: int | str | None = Field(
        default=None,
        description="The port that look-ups hand out: a number, or the name of a container port.",
        json_schema_extra={
            "x-kubernetes-int-or-string": True,
            **validation_rules(
                (
                    (
                        "type(self) == int ? self >= 1 && self <= 65535 : "
                        "size(self) <= 15 && self.matches('^[a-z0-9]+(-[a-z0-9]+)*$') && self.matches('[a-z]')"
                    ),
                    (
                        "port must be a number from 1 to 65535 or the name of a container port (at most 15 lower-case "
                        "letters, digits and single '-', with at least one letter)"
                    ),
                )
            ),
        },
    )
    routing_state: RoutingState = Field(
        default=RoutingState.READY,
        description="Whom the service takes: Ready everybody, DenyNewCall only the users it has, Shutdown nobody.",
        json_schema_extra=_SETTABLE_ROUTING_STATES,
    )
    pods: Annotated[tuple[PodOverride, ...], Field(max_length=1000, json_schema_extra=list_type_map("index"))] = Field(
        default=(), description="An operator's word on single pods, for example to drain one."
    )
    named_pods: Annotated[
        tuple[NamedPodOverride, ...], Field(max_length=1000, json_schema_extra=list_type_map("name"))
    ] = Field(default=(), description="The same for pods that have no index, by their names.")
    tags: Annotated[
        tuple[Tag, ...],
        Field(max_length=16, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ] = Field(default=(), description="Names that the service can also be found by.")
    load: LoadSettings = Field(
        default=LoadSettings(),
        description="Where the pods' load comes from and how it is weighed.",
        json_schema_extra=validation_rules(
            (
                "self.source != 'HTTP' || has(self.http)",
                "load.http is required when load.source is HTTP: say on which port each pod answers with its load",
            )
        ),
    )
    state_period_seconds: int = Field(
        default=30, description="How often load and routing state are refreshed.", ge=1, le=_DAY_SECONDS
    )
    workload_period_seconds: int = Field(
        default=60, description="How often the service's workload state is refreshed.", ge=1, le=_DAY_SECONDS
    )
    workload_thresholds: WorkloadThresholds = Field(
        default=WorkloadThresholds(),
        description="From which mean weighted load the service counts as Normal, High and Overloaded.",
        json_schema_extra={"x-kubernetes-validations": [_THRESHOLDS_RULE]},
    )
    placement: Placement = Field(default=Placement(), description="How new users are spread over the pods.")
    links: LinkSettings = Field(default=LinkSettings(), description="What links of this route have in common.")
    on_pod_lost: OnPodLost = Field(
        default=OnPodLost(), description="What becomes of the links of a pod that is gone or shut down."
    )


class PodStatus(Model):
    """One pod of the route."""

    index: int | None = Field(
        default=None, description="The index of the pod; absent where the workload's pods have none.", ge=0
    )
    name: str = Field(description="The name of the pod.")
    service_state: ServiceState = Field(description="What Kubernetes says of the pod.")
    routing_state: RoutingState = Field(description="Whom the pod takes: the most restrictive of all that was said.")
    load_state: int | None = Field(default=None, description="The load that the pod reported.")
    waiting_tasks: int | None = Field(default=None, description="The waiting tasks that the pod reported.")
    weighted_load_milli: int | None = Field(
        default=None, description="The weighted load, in thousandths.", json_schema_extra={"format": "int64"}
    )
    load_stale: bool | None = Field(
        default=None,
        description="True when the load was reported too long ago to count.",
    )
    links: int = Field(default=0, description="How many links are bound to the pod.", ge=0)
    new_links: int | None = Field(
        default=None,
        description="How many links have come since the load was reported, less those that have left; absent when "
        "as many as then.",
    )
    report_time: Time | None = Field(
        default=None,
        description="When the pod first reported this load; later reports of the same load change nothing here.",
    )


class StatefulRouteStatus(Model):
    """What the operator found and decided."""

    observed_generation: Generation | None = Field(
        default=None, description="The generation of the spec that this status was made for."
    )
    routing_state: RoutingState | None = Field(default=None, description="Whom the service takes.")
    workload_state: WorkloadState | None = Field(default=None, description="How busy the service is.")
    workload_load: int | None = Field(
        default=None,
        description="The mean weighted load of the fresh pods, rounded down, to hold against workloadThresholds.",
    )
    replicas: int | None = Field(default=None, description="How many pods the workload asks for.", ge=0)
    ready_replicas: int | None = Field(default=None, description="How many of its pods are ready.", ge=0)
    routable_pods: int | None = Field(default=None, description="How many of its pods serve users.", ge=0)
    links: int | None = Field(default=None, description="How many links are bound to its pods.", ge=0)
    best_pod_index: int | None = Field(
        default=None,
        description="The index of the pod that takes the next user; absent when none does, or when pods have none.",
        ge=0,
    )
    best_pod_name: str | None = Field(default=None, description="The name of that pod.")
    pods: Annotated[tuple[PodStatus, ...], Field(json_schema_extra=LIST_TYPE_ATOMIC)] = Field(
        default=(), description="The pods, one by one."
    )
    conditions: Conditions = ()


class StatefulRoute(Model):
    """A StatefulRoute holds the routing state of one stateful service: which pods take users, how loaded they are."""

    names: ClassVar = STATEFUL_ROUTE
    api_version: str = API_VERSION
    kind: str = STATEFUL_ROUTE.kind
    metadata: dict[str, Any] = Field(default_factory=dict)
    spec: StatefulRouteSpec = Field(default=StatefulRouteSpec())
    status: StatefulRouteStatus | None = None

    validations: ClassVar[list[dict[str, Any]]] = [
        {
            # Judged at creation: a name cannot change, and a route that got in must still be edited and deleted.
            "rule": (
                f"oldSelf.hasValue() || self.metadata.name.matches('{DNS_LABEL}') && size(self.metadata.name) <= 63"
            ),
            "message": "metadata.name must be a DNS label (lower-case letters, digits and '-', at most 63 "
            "characters): it is the first part of its PodLinks' names",
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
