"""Admission of StatefulRoutes: accepted objects, their defaults, and the errors of rejected ones."""

from typing import Any

import pytest

from support.admission_cases import Accepted, Refused, refused, refused_by_schema
from support.judge import Judge
from support.kubectl import Kubectl
from support.objects import stateful_route

INT32_MAX = 2**31 - 1
DAY = 86_400

#: The spec of a route without any field set.
DEFAULTS = {
    "workloadRef": {"apiVersion": "apps/v1", "kind": "StatefulSet"},
    "routingState": "Ready",
    "load": {"source": "Reported", "cpuFactorPercent": 70, "staleAfterSeconds": 90, "minFreshPercent": 50},
    "statePeriodSeconds": 30,
    "workloadPeriodSeconds": 60,
    "workloadThresholds": {"normal": 1, "high": 3, "overloaded": 5},
    "placement": {"range": 0, "maxLinksPerPod": 0},
    "links": {"temporarySeconds": 300, "max": 0},
    "onPodLost": {
        "action": "Rebind",
        "graceSeconds": 30,
        "notReadySeconds": 300,
        "suspend": {"nodesPercent": 55, "podsPercent": 50, "minimum": 3},
    },
}


ROLLOUT = {"strategy": "WhenEmpty", "maxUnavailable": 1, "surge": 0, "partition": 0, "paused": False}


def without_spec() -> dict[str, Any]:
    route = stateful_route()
    del route["spec"]
    return route


@pytest.mark.parametrize(
    "route",
    [
        pytest.param(stateful_route(), id="an empty spec"),
        pytest.param(without_spec(), id="no spec"),
        pytest.param({**stateful_route(), "spec": None}, id="spec null"),
        pytest.param(
            stateful_route(
                workloadRef={}, load={}, workloadThresholds={}, placement={}, links={}, onPodLost={}, routingState=None
            ),
            id="a spec of empty objects",
        ),
    ],
)
def test_missing_fields_have_defaults(judge: Judge, route: dict[str, Any]) -> None:
    assert judge.dry_run(route).expect_success().object["spec"] == DEFAULTS


def with_defaults(field: str, **fields: Any) -> dict[str, Any]:
    """Returns a stored object field of a route: the given fields, and the defaults of the others."""
    defaults = DEFAULTS[field]
    assert isinstance(defaults, dict)
    return {field: {**defaults, **fields}}


def by_room(**fields: Any) -> dict[str, Any]:
    """Returns autoscaling by free places."""
    return {"minReplicas": 0, "maxReplicas": 10, "freeLinks": 5, "scaleDownAfterSeconds": 300, **fields}


HTTP = {"path": "/load", "port": 8080, "timeoutSeconds": 1}
POD_OVERRIDES = [{"index": 0, "routingState": "Ready"}, {"index": INT32_MAX, "routingState": "Shutdown"}]
NAMED_PODS = [
    {"name": "game-5d8f-x2", "routingState": "DenyNewCall"},
    {"name": "p" * 253, "routingState": "Shutdown"},
]
TAGS = ["lobby", "eu-1", "0", "t" * 63]

ACCEPTED = [
    Accepted("port number", stateful_route(port=7777), {"port": 7777}),
    Accepted("the first port", stateful_route(port=1), {"port": 1}),
    Accepted("the last port", stateful_route(port=65535), {"port": 65535}),
    Accepted("port name", stateful_route(port="game"), {"port": "game"}),
    Accepted("port name of one letter", stateful_route(port="g"), {"port": "g"}),
    Accepted("port name with dashes and digits", stateful_route(port="8-game-tcp"), {"port": "8-game-tcp"}),
    Accepted("longest port name", stateful_route(port="abcdefghijklmno"), {"port": "abcdefghijklmno"}),
    Accepted("no port", stateful_route(port=None), {"port": None}),
    Accepted("a service that drains", stateful_route(routingState="DenyNewCall"), {"routingState": "DenyNewCall"}),
    Accepted("a service that is shut down", stateful_route(routingState="Shutdown"), {"routingState": "Shutdown"}),
    Accepted("overrides of the first and the last pod", stateful_route(pods=POD_OVERRIDES), {"pods": POD_OVERRIDES}),
    Accepted("overrides of named pods", stateful_route(namedPods=NAMED_PODS), {"namedPods": NAMED_PODS}),
    Accepted("no pods", stateful_route(pods=[]), {"pods": []}),
    Accepted("tags", stateful_route(tags=TAGS), {"tags": TAGS}),
    Accepted("maximum number of tags", stateful_route(tags=[f"t{n}" for n in range(16)]), {}),
    Accepted(
        "a workload of another name",
        stateful_route(workloadRef={"name": "game.blue"}),
        with_defaults("workloadRef", name="game.blue"),
    ),
    Accepted(
        "a workload of another kind",
        stateful_route(workloadRef={"apiVersion": "example.com/v1", "kind": "GameServerSet"}),
        with_defaults("workloadRef", apiVersion="example.com/v1", kind="GameServerSet"),
    ),
    Accepted(
        "load over HTTP without path and timeout",
        stateful_route(load={"source": "HTTP", "http": {"port": 8080}}),
        with_defaults("load", source="HTTP", http=HTTP),
    ),
    Accepted(
        "load over HTTP with all fields",
        stateful_route(load={"source": "HTTP", "http": {"path": "/", "port": 65535, "timeoutSeconds": 60}}),
        with_defaults("load", source="HTTP", http={"path": "/", "port": 65535, "timeoutSeconds": 60}),
    ),
    Accepted(
        "HTTP settings kept while the load is reported",
        stateful_route(load={"http": {"port": 8080}}),
        with_defaults("load", http=HTTP),
    ),
    Accepted("loadState only", stateful_route(load={"cpuFactorPercent": 0}), with_defaults("load", cpuFactorPercent=0)),
    Accepted(
        "waitingTasks only",
        stateful_route(load={"cpuFactorPercent": 100}),
        with_defaults("load", cpuFactorPercent=100),
    ),
    Accepted(
        "the shortest periods",
        stateful_route(statePeriodSeconds=1, workloadPeriodSeconds=1, load={"staleAfterSeconds": 1}),
        {"statePeriodSeconds": 1, "workloadPeriodSeconds": 1, **with_defaults("load", staleAfterSeconds=1)},
    ),
    Accepted(
        "the longest periods",
        stateful_route(statePeriodSeconds=DAY, workloadPeriodSeconds=DAY, load={"staleAfterSeconds": DAY}),
        {"statePeriodSeconds": DAY, "workloadPeriodSeconds": DAY, **with_defaults("load", staleAfterSeconds=DAY)},
    ),
    Accepted(
        "thresholds that rise by one",
        stateful_route(workloadThresholds={"normal": 0, "high": 1, "overloaded": 2}),
        with_defaults("workloadThresholds", normal=0, high=1, overloaded=2),
    ),
    Accepted(
        "one threshold between the defaults of the others",
        stateful_route(workloadThresholds={"high": 4}),
        with_defaults("workloadThresholds", high=4),
    ),
    Accepted(
        "a wide good set and a limit",
        stateful_route(placement={"range": INT32_MAX, "maxLinksPerPod": INT32_MAX}),
        with_defaults("placement", range=INT32_MAX, maxLinksPerPod=INT32_MAX),
    ),
    Accepted("shortest TTL", stateful_route(links={"temporarySeconds": 1}), with_defaults("links", temporarySeconds=1)),
    Accepted("a limit of links", stateful_route(links={"max": INT32_MAX}), with_defaults("links", max=INT32_MAX)),
    Accepted(
        "keep lost links", stateful_route(onPodLost={"action": "Keep"}), with_defaults("onPodLost", action="Keep")
    ),
    Accepted(
        "release lost links immediately",
        stateful_route(onPodLost={"action": "Release", "graceSeconds": 0}),
        with_defaults("onPodLost", action="Release", graceSeconds=0),
    ),
    Accepted(
        "suspend no losses",
        stateful_route(onPodLost={"suspend": {"nodesPercent": 0, "podsPercent": 0}}),
        with_defaults("onPodLost", suspend={"nodesPercent": 0, "podsPercent": 0, "minimum": 3}),
    ),
    Accepted("no pods", stateful_route(replicas=0), {"replicas": 0, "disruption": None}),
    Accepted("the largest number of pods", stateful_route(replicas=INT32_MAX), {"replicas": INT32_MAX}),
    Accepted(
        "closing pods by default",
        stateful_route(disruption={}),
        {"disruption": {"deadlineSeconds": 3600, "protect": True}},
    ),
    Accepted(
        "closing pods that do not wait",
        stateful_route(disruption={"deadlineSeconds": 0, "protect": False}),
        {"disruption": {"deadlineSeconds": 0, "protect": False}},
    ),
    Accepted(
        "closing pods that wait longest",
        stateful_route(disruption={"deadlineSeconds": 30 * DAY}),
        {"disruption": {"deadlineSeconds": 30 * DAY, "protect": True}},
    ),
    Accepted(
        "autoscaling by links",
        stateful_route(autoscaling={"maxReplicas": 1, "linksPerPod": 50}),
        {
            "replicas": None,
            "autoscaling": {"minReplicas": 1, "maxReplicas": 1, "linksPerPod": 50, "scaleDownAfterSeconds": 300},
        },
    ),
    Accepted(
        "autoscaling by free places, down to zero and at once",
        stateful_route(placement={"maxLinksPerPod": 1}, autoscaling=by_room(scaleDownAfterSeconds=0)),
        {"autoscaling": by_room(scaleDownAfterSeconds=0)},
    ),
    Accepted("a rollout by default", stateful_route(rollout={}), {"rollout": ROLLOUT}),
    Accepted(
        "a rollout with all settings",
        stateful_route(replicas=1, rollout={"maxUnavailable": 2, "surge": 1, "partition": 3, "paused": True}),
        {"rollout": {**ROLLOUT, "maxUnavailable": 2, "surge": 1, "partition": 3, "paused": True}},
    ),
    Accepted(
        "slots",
        stateful_route(slots=16384, rebalance={}, handOver={}),
        {"slots": 16384, "rebalance": {"strategy": "Even", "slotsPerMinute": 60}},
    ),
    Accepted(
        "slots that are not balanced",
        stateful_route(slots=1, rebalance={"strategy": "Never", "slotsPerMinute": 1}),
        {"slots": 1, "rebalance": {"strategy": "Never", "slotsPerMinute": 1}},
    ),
    Accepted("a name of one digit", stateful_route("0"), DEFAULTS),
    Accepted("the longest name", stateful_route("r" * 63), DEFAULTS),
]


@pytest.mark.parametrize("case", ACCEPTED, ids=str)
def test_valid_object_is_accepted(judge: Judge, case: Accepted) -> None:
    spec = judge.dry_run(case.item).expect_success().object["spec"]
    assert {field: spec.get(field) for field in case.stored} == case.stored


NAME = (
    "metadata: Invalid value: metadata.name must be a DNS label (lower-case letters, digits and '-', "
    "at most 63 characters): it is the first part of its PodLinks' names"
)
PORT = (
    "port must be a number from 1 to 65535 or the name of a container port "
    "(at most 15 lower-case letters, digits and single '-', with at least one letter)"
)
TAG = "a tag must be a DNS label (lower-case letters, digits and '-')"
RISE = "spec.workloadThresholds: Invalid value: workloadThresholds must rise: normal < high < overloaded, not"


def out_of_bounds(minimum: int, maximum: int, *path: str) -> list[Refused]:
    """Returns cases for the numbers just outside the bounds of a field."""
    field = path[-1]
    rows = []
    for number in (minimum - 1, maximum + 1):
        spec: Any = number
        for name in reversed(path):
            spec = {name: spec}
        where = ".".join(("spec", *path))
        messages = [f"{where}: Invalid value: {number}: {field} must be from {minimum} to {maximum}"]
        if number > INT32_MAX:
            messages.append(
                f'<nil>: Invalid value: "": Checked value must be of type integer with format int32 in {where}'
            )
        rows.append(refused(f"{'.'.join(path)} {number}", stateful_route(**spec), *messages))
    return rows


ROLLOUT_KIND = "rollout requires a StatefulSet: only its pods can be replaced one by one (remove spec.rollout)"
ROLLOUT_SURGE = "rollout.surge requires replicas or autoscaling: the route must scale the workload to add pods"
SLOTS_AND_AUTOSCALING = (
    "slots excludes autoscaling, which follows the number of links: with slots it is always the same (let a "
    "HorizontalPodAutoscaler scale the route by its load)"
)
SLOTS_AND_LIMIT = "slots excludes placement.maxLinksPerPod: every slot needs a pod"
NOT_INT32 = '<nil>: Invalid value: "": Checked value must be of type integer with format int32 in spec.replicas'


def http_load(**http: Any) -> dict[str, Any]:
    return stateful_route(load={"source": "HTTP", "http": {"port": 8080, **http}})


REFUSED = [
    # The name.
    refused("a name with a dot", stateful_route("game.eu"), NAME),
    refused("a name of 64 letters", stateful_route("r" * 64), NAME),
    # The port.
    *(
        refused(f"port {port!r}", stateful_route(port=port), f"spec.port: Invalid value: {shown}: {PORT}")
        for port, shown in [
            (0, "0"),
            (-1, "-1"),
            (65536, "65536"),
            (70000, "70000"),
            ("", '""'),
            ("7777", '"7777"'),
            ("Game", '"Game"'),
            ("game_tcp", '"game_tcp"'),
            ("game tcp", '"game tcp"'),
            ("-game", '"-game"'),
            ("game-", '"game-"'),
            ("game--tcp", '"game--tcp"'),
            ("abcdefghijklmnop", '"abcdefghijklmnop"'),
        ]
    ),
    refused_by_schema(
        "port as a fraction",
        stateful_route(port=1.5),
        'spec.port: Invalid value: "number": spec.port in body must be of type integer,string: "number"',
    ),
    # Planned disruptions.
    *(
        refused(
            f"{value} replicas",
            stateful_route(replicas=value),
            f".spec.replicas: Invalid value: {value}: {bound}",
            *more,
            f"spec.replicas: Invalid value: {value}: replicas must be from 0 to {INT32_MAX}",
        )
        for value, bound, more in [
            (-1, "should be a non-negative integer", ()),
            (INT32_MAX + 1, f"should be less than or equal to {INT32_MAX}", (NOT_INT32,)),
        ]
    ),
    *(
        refused(
            f"a deadline of {value} seconds",
            stateful_route(disruption={"deadlineSeconds": value}),
            f"spec.disruption.deadlineSeconds: Invalid value: {value}: deadlineSeconds must be from 0 to {30 * DAY}",
        )
        for value in (-1, 30 * DAY + 1)
    ),
    refused(
        "autoscaling with a minimum above its maximum",
        stateful_route(autoscaling={"minReplicas": 3, "maxReplicas": 2, "linksPerPod": 50}),
        "spec.autoscaling: Invalid value: autoscaling.minReplicas must not be greater than maxReplicas: 3 > 2",
    ),
    *(
        refused(
            f"autoscaling with {what}",
            stateful_route(placement={"maxLinksPerPod": 10}, autoscaling={"maxReplicas": 2, **targets}),
            "spec.autoscaling: Invalid value: autoscaling needs a target: set either linksPerPod (the number of links "
            "for which a pod is added) or freeLinks (the number of new users for whom there is always room)",
        )
        for what, targets in [("no target", {}), ("both targets", {"linksPerPod": 50, "freeLinks": 5})]
    ),
    refused(
        "autoscaling by free places without a limit of links per pod",
        stateful_route(autoscaling=by_room()),
        "spec: Invalid value: autoscaling.freeLinks requires placement.maxLinksPerPod: without a limit, there is "
        "always room in a pod",
    ),
    refused(
        "autoscaling that waits longer than a day",
        stateful_route(placement={"maxLinksPerPod": 10}, autoscaling=by_room(scaleDownAfterSeconds=DAY + 1)),
        f"spec.autoscaling.scaleDownAfterSeconds: Invalid value: {DAY + 1}: scaleDownAfterSeconds must be from 0 to "
        f"{DAY}",
    ),
    refused(
        "a rollout of a Deployment",
        stateful_route(workloadRef={"kind": "Deployment"}, rollout={}),
        f"spec: Invalid value: {ROLLOUT_KIND}",
    ),
    refused(
        "a surge without replicas",
        stateful_route(rollout={"surge": 1}),
        f"spec: Invalid value: {ROLLOUT_SURGE}",
    ),
    *(
        refused(
            f"a rollout with the {field} {value}",
            stateful_route(replicas=1, rollout={field: value}),
            f"spec.rollout.{field}: Invalid value: {value}: {field} must be from {least} to {INT32_MAX}",
        )
        for field, value, least in [("maxUnavailable", 0, 1), ("surge", -1, 0), ("partition", -1, 0)]
    ),
    refused_by_schema(
        "a rollout with another strategy",
        stateful_route(rollout={"strategy": "AtOnce"}),
        'spec.rollout.strategy: Unsupported value: "AtOnce": supported values: "WhenEmpty"',
    ),
    # The routing states.
    *(
        refused_by_schema(
            f"routingState {state!r}",
            stateful_route(routingState=state),
            f'spec.routingState: Unsupported value: "{state}": supported values: "Ready", "DenyNewCall", "Shutdown"',
        )
        for state in ("Unknown", "ready", "")
    ),
    refused_by_schema(
        "routingState Unknown of a pod",
        stateful_route(pods=[{"index": 0, "routingState": "Unknown"}]),
        'spec.pods[0].routingState: Unsupported value: "Unknown": supported values: "Ready", "DenyNewCall", "Shutdown"',
    ),
    # The overrides of single pods.
    refused(
        "two overrides of one pod",
        stateful_route(pods=[{"index": 2, "routingState": "Ready"}, {"index": 2, "routingState": "Shutdown"}]),
        'spec.pods[1]: Duplicate value: {"index":2}',
    ),
    refused_by_schema(
        "a pod without its routingState",
        stateful_route(pods=[{"index": 2}]),
        "spec.pods[0].routingState: Required value",
    ),
    refused_by_schema(
        "a pod without its index",
        stateful_route(pods=[{"routingState": "Ready"}]),
        "spec.pods[0].index: Required value",
    ),
    refused(
        "negative pod index",
        stateful_route(pods=[{"index": -1, "routingState": "Ready"}]),
        f"spec.pods[0].index: Invalid value: -1: index must be from 0 to {INT32_MAX}",
    ),
    refused_by_schema(
        "pods as an object",
        stateful_route(pods={}),
        'spec.pods: Invalid value: "object": spec.pods in body must be of type array: "object"',
    ),
    refused_by_schema(
        "too many overrides",
        stateful_route(pods=[{"index": n, "routingState": "Ready"} for n in range(1001)]),
        "spec.pods: Too many: 1001: must have at most 1000 items",
    ),
    # The overrides of named pods.
    refused(
        "two overrides of one named pod",
        stateful_route(namedPods=[{"name": "a", "routingState": "Ready"}, {"name": "a", "routingState": "Shutdown"}]),
        'spec.namedPods[1]: Duplicate value: {"name":"a"}',
    ),
    refused_by_schema(
        "a named pod without its routingState",
        stateful_route(namedPods=[{"name": "game-a"}]),
        "spec.namedPods[0].routingState: Required value",
    ),
    refused_by_schema(
        "a named pod without its name",
        stateful_route(namedPods=[{"routingState": "Ready"}]),
        "spec.namedPods[0].name: Required value",
    ),
    refused_by_schema(
        "routingState Unknown of a named pod",
        stateful_route(namedPods=[{"name": "game-a", "routingState": "Unknown"}]),
        "spec.namedPods[0].routingState: "
        'Unsupported value: "Unknown": supported values: "Ready", "DenyNewCall", "Shutdown"',
    ),
    *(
        refused(
            f"named pod {name!r}",
            stateful_route(namedPods=[{"name": name, "routingState": "Ready"}]),
            f'spec.namedPods[0].name: Invalid value: "{name}": '
            "name must be a pod's name: lower-case letters, digits, '-' and '.'",
        )
        for name in ("", "Game-a", "game_a", "-game", "game/a")
    ),
    refused_by_schema(
        "named pod with a name that is too long",
        stateful_route(namedPods=[{"name": "p" * 254, "routingState": "Ready"}]),
        "spec.namedPods[0].name: Too long: may not be more than 253 bytes",
    ),
    refused_by_schema(
        "too many overrides of named pods",
        stateful_route(namedPods=[{"name": f"p{n}", "routingState": "Ready"} for n in range(1001)]),
        "spec.namedPods: Too many: 1001: must have at most 1000 items",
    ),
    # The tags.
    refused("duplicate tag", stateful_route(tags=["eu", "eu"]), 'spec.tags[1]: Duplicate value: "eu"'),
    *(
        refused(f"tag {tag!r}", stateful_route(tags=["eu", tag]), f'spec.tags[1]: Invalid value: "{tag}": {TAG}')
        for tag in ("", "EU", "eu.west", "eu west", "-eu", "eu-", "eu_1")
    ),
    refused_by_schema(
        "a tag of 64 letters",
        stateful_route(tags=["t" * 64]),
        "spec.tags[0]: Too long: may not be more than 63 bytes",
    ),
    refused_by_schema(
        "a tag that is null",
        stateful_route(tags=[None]),
        'spec.tags[0]: Invalid value: "null": spec.tags[0] in body must be of type string: "null"',
    ),
    refused_by_schema(
        "too many tags",
        stateful_route(tags=[f"t{n}" for n in range(17)]),
        "spec.tags: Too many: 17: must have at most 16 items",
    ),
    # The workload.
    *(
        refused(
            f"an empty workloadRef.{field}",
            stateful_route(workloadRef={field: ""}),
            f'spec.workloadRef.{field}: Invalid value: "": {field} must not be empty',
        )
        for field in ("apiVersion", "kind", "name")
    ),
    refused_by_schema(
        "workload name that is too long",
        stateful_route(workloadRef={"name": "w" * 254}),
        "spec.workloadRef.name: Too long: may not be more than 253 bytes",
    ),
    # The load.
    refused(
        "load over HTTP without an endpoint",
        stateful_route(load={"source": "HTTP"}),
        "spec.load: Invalid value: load.http is required when load.source is HTTP: "
        "set the port on which each pod returns its load",
    ),
    refused_by_schema(
        "load over HTTP without a port",
        stateful_route(load={"source": "HTTP", "http": {"path": "/load"}}),
        "spec.load.http.port: Required value",
    ),
    refused_by_schema(
        "load.http.port as a name",
        http_load(port="http"),
        'spec.load.http.port: Invalid value: "string": spec.load.http.port in body must be of type integer: "string"',
    ),
    *(
        refused(
            f"load.http.path {path!r}",
            http_load(path=path),
            f"spec.load.http.path: Invalid value: \"{path}\": path must start with '/'",
        )
        for path in ("", "load", "http://game/load")
    ),
    refused_by_schema(
        "load.http.path that is too long",
        http_load(path="/" + "p" * 1024),
        "spec.load.http.path: Too long: may not be more than 1024 bytes",
    ),
    refused_by_schema(
        "unknown load source",
        stateful_route(load={"source": "Prometheus"}),
        'spec.load.source: Unsupported value: "Prometheus": supported values: "Reported", "HTTP"',
    ),
    # The thresholds.
    refused(
        "thresholds that are equal",
        stateful_route(workloadThresholds={"normal": 3, "high": 3, "overloaded": 3}),
        f"{RISE} 3, 3, 3",
    ),
    refused(
        "thresholds that fall",
        stateful_route(workloadThresholds={"normal": 5, "high": 3, "overloaded": 1}),
        f"{RISE} 5, 3, 1",
    ),
    refused(
        "a threshold above the default of the next",
        stateful_route(workloadThresholds={"high": 10}),
        f"{RISE} 1, 10, 5",
    ),
    # The lost pods.
    refused_by_schema(
        "unknown action for lost links",
        stateful_route(onPodLost={"action": "Delete"}),
        'spec.onPodLost.action: Unsupported value: "Delete": supported values: "Keep", "Rebind", "Release"',
    ),
    # The slots.
    *(
        refused(
            f"slots and autoscaling by {target}",
            stateful_route(slots=16, placement=placement, autoscaling={"maxReplicas": 3, target: 5}),
            f"spec: Invalid value: {SLOTS_AND_AUTOSCALING}",
            *messages,
        )
        for target, placement, messages in (
            ("linksPerPod", {}, ()),
            ("freeLinks", {"maxLinksPerPod": 9}, (f"spec: Invalid value: {SLOTS_AND_LIMIT}",)),
        )
    ),
    refused(
        "slots and a limit of links",
        stateful_route(slots=16, placement={"maxLinksPerPod": 9}),
        f"spec: Invalid value: {SLOTS_AND_LIMIT}",
    ),
    refused(
        "rebalance without slots",
        stateful_route(rebalance={}),
        "spec: Invalid value: rebalance requires slots: the links of single uids are not balanced",
    ),
    refused_by_schema(
        "unknown strategy",
        stateful_route(slots=16, rebalance={"strategy": "Load"}),
        'spec.rebalance.strategy: Unsupported value: "Load": supported values: "Never", "Even"',
    ),
    refused(
        "no slot a minute",
        stateful_route(slots=16, rebalance={"slotsPerMinute": 0}),
        f"spec.rebalance.slotsPerMinute: Invalid value: 0: slotsPerMinute must be from 1 to {INT32_MAX}",
    ),
    # Numbers.
    *out_of_bounds(1, 16384, "slots"),
    *out_of_bounds(1, 65535, "load", "http", "port"),
    *out_of_bounds(0, 100, "load", "cpuFactorPercent"),
    *out_of_bounds(1, DAY, "load", "staleAfterSeconds"),
    *out_of_bounds(0, 100, "load", "minFreshPercent"),
    *out_of_bounds(1, DAY, "statePeriodSeconds"),
    *out_of_bounds(1, DAY, "workloadPeriodSeconds"),
    *out_of_bounds(0, INT32_MAX, "placement", "range"),
    *out_of_bounds(0, INT32_MAX, "placement", "maxLinksPerPod"),
    *out_of_bounds(1, INT32_MAX, "links", "temporarySeconds"),
    *out_of_bounds(0, INT32_MAX, "links", "max"),
    *out_of_bounds(0, DAY, "onPodLost", "graceSeconds"),
    *out_of_bounds(0, DAY, "onPodLost", "notReadySeconds"),
    *out_of_bounds(0, 100, "onPodLost", "suspend", "nodesPercent"),
    *out_of_bounds(0, 100, "onPodLost", "suspend", "podsPercent"),
    *out_of_bounds(1, INT32_MAX, "onPodLost", "suspend", "minimum"),
    refused(
        "workloadThresholds.normal -1",
        stateful_route(workloadThresholds={"normal": -1}),
        f"spec.workloadThresholds.normal: Invalid value: -1: normal must be from 0 to {INT32_MAX}",
    ),
    refused(
        "thresholds below zero",
        stateful_route(workloadThresholds={"normal": -3, "high": -2, "overloaded": -1}),
        f"spec.workloadThresholds.normal: Invalid value: -3: normal must be from 0 to {INT32_MAX}",
        f"spec.workloadThresholds.high: Invalid value: -2: high must be from 0 to {INT32_MAX}",
        f"spec.workloadThresholds.overloaded: Invalid value: -1: overloaded must be from 0 to {INT32_MAX}",
    ),
    refused(
        "load.http.timeoutSeconds 0",
        http_load(timeoutSeconds=0),
        "spec.load.http.timeoutSeconds: Invalid value: 0: timeoutSeconds must be from 1 to 60",
    ),
    refused(
        "load.http.timeoutSeconds 61",
        http_load(timeoutSeconds=61),
        "spec.load.http.timeoutSeconds: Invalid value: 61: timeoutSeconds must be from 1 to 60",
    ),
    refused_by_schema(
        "a period with a unit",
        stateful_route(statePeriodSeconds="30s"),
        'spec.statePeriodSeconds: Invalid value: "string": '
        'spec.statePeriodSeconds in body must be of type integer: "string"',
    ),
]


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_invalid_object_is_rejected_with_messages(judge: Judge, case: Refused) -> None:
    assert sorted(judge.dry_run(case.item).errors) == sorted(case.messages)


def test_upper_case_name_is_rejected_by_kubernetes_and_by_the_rule(judge: Judge) -> None:
    dns, ours = judge.dry_run(stateful_route("Game")).errors
    assert dns.startswith("metadata.name: Invalid value: a lowercase RFC 1123 subdomain must consist of")
    assert ours == NAME


def test_slots_can_be_added_and_never_changed(here: Kubectl) -> None:
    here.create(stateful_route())
    assert here.patch("statefulroute", "game", {"spec": {"slots": 16}}).errors == ()
    message = (
        "spec: Invalid value: slots is immutable: with another number, nearly all uids would change their slot "
        "(create another route)"
    )
    for slots in (8, 32, None):
        assert here.patch("statefulroute", "game", {"spec": {"slots": slots}}).errors == (message,)
