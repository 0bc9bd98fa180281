"""Admission of PodLinks: accepted objects, and the errors of rejected ones."""

import pytest

from support.admission_cases import Accepted, Refused, refused, refused_by_schema
from support.judge import Judge
from support.objects import ABSENT, pod_link

INT32_MAX = 2**31 - 1

ACCEPTED = [
    Accepted("required fields only", pod_link(), {"podIndex": None, "namespace": None, "ttlSeconds": None}),
    Accepted("lowest pod index", pod_link(podIndex=0), {"podIndex": 0}),
    Accepted("highest pod index", pod_link(podIndex=INT32_MAX), {"podIndex": INT32_MAX}),
    Accepted("pod index as a whole float", pod_link(podIndex=1.0), {"podIndex": 1}),
    Accepted("pod index null", pod_link(podIndex=None), {"podIndex": None}),
    Accepted("pod name", pod_link(podName="game-5d8f-x2"), {"podName": "game-5d8f-x2", "podIndex": None}),
    Accepted("pod name with dots", pod_link(podName="game.blue.0"), {"podName": "game.blue.0"}),
    Accepted("longest pod name", pod_link(podName="p" * 253), {"podName": "p" * 253}),
    Accepted("pod name null", pod_link(podName=None), {"podName": None}),
    Accepted("shortest TTL", pod_link(ttlSeconds=1), {"ttlSeconds": 1}),
    Accepted("longest TTL", pod_link(ttlSeconds=INT32_MAX), {"ttlSeconds": INT32_MAX}),
    Accepted(
        "renewal in UTC",
        pod_link(ttlSeconds=60, renewTime="2026-01-01T00:00:00Z"),
        {"renewTime": "2026-01-01T00:00:00Z"},
    ),
    Accepted(
        "renewal with microseconds",
        pod_link(ttlSeconds=60, renewTime="2026-01-01T00:00:00.123456Z"),
        {"renewTime": "2026-01-01T00:00:00.123456Z"},
    ),
    Accepted(
        "renewal in another time zone",
        pod_link(ttlSeconds=60, renewTime="2026-01-01T02:00:00+02:00"),
        {"renewTime": "2026-01-01T02:00:00+02:00"},
    ),
    Accepted("namespace null", pod_link(namespace=None), {"namespace": None}),
]


@pytest.mark.parametrize("case", ACCEPTED, ids=str)
def test_valid_object_is_accepted(judge: Judge, case: Accepted) -> None:
    spec = judge.dry_run(case.item).expect_success().object["spec"]
    assert {field: spec.get(field) for field in case.stored} == case.stored


def test_own_namespace_is_accepted(judge: Judge) -> None:
    spec = judge.dry_run(pod_link(namespace=judge.namespace)).expect_success().object["spec"]
    assert spec == {"routeName": "game", "uid": "alice", "namespace": judge.namespace}


def test_no_defaults_are_added_to_a_link(judge: Judge) -> None:
    assert judge.dry_run(pod_link()).expect_success().object["spec"] == {"routeName": "game", "uid": "alice"}


POLICY = (
    ": ValidatingAdmissionPolicy 'local-namespace.podlinks.statefulroute.io' with binding "
    "'local-namespace.podlinks.statefulroute.io' denied request: only local namespace is supported"
)
ROUTE_NAME = (
    "routeName must be a DNS label (lower-case letters, digits and '-', at most 63 characters): "
    "it is the name of a StatefulRoute"
)
POD_INDEX = f"podIndex must be from 0 to {INT32_MAX}"
TTL = f"ttlSeconds must be from 1 to {INT32_MAX}"
POD_NAME = "podName must be a pod's name: lower-case letters, digits, '-' and '.'"
ONE_POD = "podIndex and podName exclude each other: name the pod by one of them"
UID_OR_SLOT = "a PodLink needs either uid or slot: the user, or the slot of users, that it binds"
CONTROL = "uid must not hold control characters"

REFUSED = [
    # The namespace.
    refused("another namespace", pod_link(namespace="kube-system"), POLICY),
    refused("a namespace that does not exist", pod_link(namespace="no-such-namespace"), POLICY),
    refused("own namespace in upper case", pod_link(namespace="Default"), POLICY),
    refused(
        "an empty namespace",
        pod_link(namespace=""),
        'spec.namespace: Invalid value: "": namespace must not be empty',
    ),
    refused_by_schema(
        "namespace that is too long",
        pod_link(namespace="n" * 64),
        "spec.namespace: Too long: may not be more than 63 bytes",
    ),
    refused_by_schema(
        "a namespace that is a number",
        pod_link(namespace=1),
        'spec.namespace: Invalid value: "integer": spec.namespace in body must be of type string: "integer"',
    ),
    # The route.
    refused_by_schema("no routeName", pod_link("game.alice", routeName=ABSENT), "spec.routeName: Required value"),
    refused_by_schema("routeName null", pod_link("game.alice", routeName=None), "spec.routeName: Required value"),
    refused(
        "an empty routeName", pod_link("game.alice", routeName=""), f'spec.routeName: Invalid value: "": {ROUTE_NAME}'
    ),
    refused("a routeName with dots", pod_link(routeName="a.b"), f'spec.routeName: Invalid value: "a.b": {ROUTE_NAME}'),
    refused(
        "a routeName in capitals",
        pod_link("game.alice", routeName="Game"),
        f'spec.routeName: Invalid value: "Game": {ROUTE_NAME}',
    ),
    refused(
        "a routeName with an underscore",
        pod_link("game.alice", routeName="my_game"),
        f'spec.routeName: Invalid value: "my_game": {ROUTE_NAME}',
    ),
    refused(
        "a routeName with a leading dash",
        pod_link("game.alice", routeName="-game"),
        f'spec.routeName: Invalid value: "-game": {ROUTE_NAME}',
    ),
    refused(
        "a routeName with a trailing dash",
        pod_link("game.alice", routeName="game-"),
        f'spec.routeName: Invalid value: "game-": {ROUTE_NAME}',
    ),
    refused(
        "a routeName with a line break at its end",
        pod_link("game.alice", routeName="game\n"),
        f'spec.routeName: Invalid value: "game\\n": {ROUTE_NAME}',
    ),
    refused_by_schema(
        "a routeName of 64 letters",
        pod_link(routeName="r" * 64),
        "spec.routeName: Too long: may not be more than 63 bytes",
    ),
    # The uid.
    refused("no uid", pod_link("game.alice", uid=ABSENT), f"spec.uid: Invalid value: {UID_OR_SLOT}"),
    refused("uid null", pod_link("game.alice", uid=None), f"spec.uid: Invalid value: {UID_OR_SLOT}"),
    refused("an empty uid", pod_link("game.alice", uid=""), 'spec.uid: Invalid value: "": uid must not be empty'),
    refused_by_schema(
        "a uid that is a number",
        pod_link("game.1", uid=1),
        'spec.uid: Invalid value: "integer": spec.uid in body must be of type string: "integer"',
    ),
    refused(
        "a line break in the uid",
        pod_link("game.x-610a62", uid="a\nb"),
        f'spec.uid: Invalid value: "a\\nb": {CONTROL}',
    ),
    refused("a tab in the uid", pod_link("game.x-610962", uid="a\tb"), f'spec.uid: Invalid value: "a\\tb": {CONTROL}'),
    refused("a NUL in the uid", pod_link("game.x-6100", uid="a\0"), f'spec.uid: Invalid value: "a\\x00": {CONTROL}'),
    refused("a DEL in the uid", pod_link("game.x-7f", uid="\x7f"), f'spec.uid: Invalid value: "\\x7f": {CONTROL}'),
    refused(
        "a control character beyond ASCII in the uid",
        pod_link("game.x-61c285", uid="a\x85"),
        f'spec.uid: Invalid value: "a\\u0085": {CONTROL}',
    ),
    refused(
        "a line break at the end of the uid",
        pod_link("game.x-616c6963650a", uid="alice\n"),
        f'spec.uid: Invalid value: "alice\\n": {CONTROL}',
    ),
    # The slot.
    refused("a uid and a slot", pod_link(slot=0), f"spec.uid: Invalid value: {UID_OR_SLOT}"),
    refused(
        "a slot with the name of another",
        pod_link("game.x-slot-1", uid=ABSENT, slot=2),
        "metadata: Invalid value: metadata.name must be game.x-slot-2",
    ),
    refused(
        "a slot with a TTL",
        pod_link("game.x-slot-2", uid=ABSENT, slot=2, ttlSeconds=60),
        "spec.ttlSeconds: Invalid value: ttlSeconds needs uid: the link of a slot does not expire",
    ),
    refused_by_schema(
        "a slot as a string",
        pod_link("game.x-slot-2", uid=ABSENT, slot="2"),
        'spec.slot: Invalid value: "string": spec.slot in body must be of type integer: "string"',
    ),
    # The pod.
    refused("negative pod index", pod_link(podIndex=-1), f"spec.podIndex: Invalid value: -1: {POD_INDEX}"),
    refused(
        "pod index that is too large",
        pod_link(podIndex=2**31),
        '<nil>: Invalid value: "": Checked value must be of type integer with format int32 in spec.podIndex',
        f"spec.podIndex: Invalid value: 2147483648: {POD_INDEX}",
    ),
    refused_by_schema(
        "pod index as a string",
        pod_link(podIndex="2"),
        'spec.podIndex: Invalid value: "string": spec.podIndex in body must be of type integer: "string"',
    ),
    refused_by_schema(
        "pod index as a fraction",
        pod_link(podIndex=1.5),
        'spec.podIndex: Invalid value: "float64": spec.podIndex in body must be of type int32: "float64"',
        '<nil>: Invalid value: "": Checked value must be of type integer with format int32 in spec.podIndex',
    ),
    refused_by_schema(
        "pod index as a boolean",
        pod_link(podIndex=True),
        'spec.podIndex: Invalid value: "": spec.podIndex in body must be of type int32: ""',
    ),
    refused_by_schema(
        "several pod indexes",
        pod_link(podIndex=[1, 2]),
        'spec.podIndex: Invalid value: "array": spec.podIndex in body must be of type integer: "array"',
    ),
    *(
        refused(f"podName {name!r}", pod_link(podName=name), f'spec.podName: Invalid value: "{shown}": {POD_NAME}')
        for name, shown in [
            ("", ""),
            ("Game-1", "Game-1"),
            ("game_1", "game_1"),
            ("game 1", "game 1"),
            ("-game", "-game"),
            ("game-", "game-"),
            ("game..1", "game..1"),
            ("game/1", "game/1"),
            ("game-1\n", "game-1\\n"),
        ]
    ),
    refused_by_schema(
        "podName that is too long",
        pod_link(podName="p" * 254),
        "spec.podName: Too long: may not be more than 253 bytes",
    ),
    refused_by_schema(
        "a podName that is a number",
        pod_link(podName=1),
        'spec.podName: Invalid value: "integer": spec.podName in body must be of type string: "integer"',
    ),
    refused(
        "pod index and pod name",
        pod_link(podIndex=0, podName="game-0"),
        f"spec.podName: Invalid value: {ONE_POD}",
    ),
    # The TTL.
    refused("TTL of 0", pod_link(ttlSeconds=0), f"spec.ttlSeconds: Invalid value: 0: {TTL}"),
    refused("negative TTL", pod_link(ttlSeconds=-1), f"spec.ttlSeconds: Invalid value: -1: {TTL}"),
    refused(
        "TTL that is too long",
        pod_link(ttlSeconds=2**31),
        '<nil>: Invalid value: "": Checked value must be of type integer with format int32 in spec.ttlSeconds',
        f"spec.ttlSeconds: Invalid value: 2147483648: {TTL}",
    ),
    refused_by_schema(
        "TTL with a unit",
        pod_link(ttlSeconds="5m"),
        'spec.ttlSeconds: Invalid value: "string": spec.ttlSeconds in body must be of type integer: "string"',
    ),
    refused(
        "a renewal of a persistent link",
        pod_link(renewTime="2026-01-01T00:00:00Z"),
        "spec.renewTime: Invalid value: renewTime needs ttlSeconds: a persistent link is not renewed",
    ),
    *(
        refused_by_schema(
            f"renewal at {time!r}",
            pod_link(ttlSeconds=60, renewTime=time),
            f'spec.renewTime: Invalid value: "{shown}": spec.renewTime in body must be of type date-time: "{shown}"',
        )
        for time, shown in [
            ("", ""),
            ("yesterday", "yesterday"),
            ("2026-01-01", "2026-01-01"),
            ("2026-01-01 00:00:00Z", "2026-01-01 00:00:00Z"),
            ("2026-01-01T00:00:00", "2026-01-01T00:00:00"),
            ("2026-13-01T00:00:00Z", "2026-13-01T00:00:00Z"),
            (1767225600, "int64"),
        ]
    ),
    # The whole object.
    refused_by_schema("no spec", {**pod_link("game.alice"), "spec": None}, "spec: Required value"),
    refused_by_schema(
        "an empty spec",
        {**pod_link("game.alice"), "spec": {}},
        "spec.routeName: Required value",
    ),
    refused(
        "two errors, each with its message",
        pod_link(podIndex=-1, ttlSeconds=0),
        f"spec.podIndex: Invalid value: -1: {POD_INDEX}",
        f"spec.ttlSeconds: Invalid value: 0: {TTL}",
    ),
]


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_invalid_object_is_rejected_with_messages(judge: Judge, case: Refused) -> None:
    assert sorted(judge.dry_run(case.item).errors) == sorted(case.messages)
