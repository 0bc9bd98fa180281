"""A field that neither kind has: people are told, and the API server keeps none of it."""

from typing import Any

import pytest

from support.kubectl import Kubectl
from support.objects import pod_link, stateful_route

UNKNOWN = {
    "a misspelt field of a link": (pod_link(podindex=2), "spec.podindex"),
    "a field of a link as it is spelt in Python": (pod_link(ttl_seconds=60), "spec.ttl_seconds"),
    "a field beside a link's spec": ({**pod_link(), "specs": {}}, "specs"),
    "a misspelt field of a route": (stateful_route(routingstate="Ready"), "spec.routingstate"),
    "a field deep in a route": (
        stateful_route(load={"http": {"port": 80, "timeout": 3}}),
        "spec.load.http.timeout",
    ),
    "a field of a list's entry": (
        stateful_route(pods=[{"index": 0, "routingState": "Ready", "name": "game-0"}]),
        "spec.pods[0].name",
    ),
    "a field of another list's entry": (
        stateful_route(namedPods=[{"name": "game-0", "routingState": "Ready", "index": 0}]),
        "spec.namedPods[0].index",
    ),
}


@pytest.mark.parametrize(("item", "path"), UNKNOWN.values(), ids=UNKNOWN)
def test_kubectl_refuses_it_and_names_it(judge: Kubectl, item: dict[str, Any], path: str) -> None:
    kind = item["kind"]
    assert judge.dry_run(item).stderr == (
        f'Error from server (BadRequest): error when creating "STDIN": {kind} in version "v1alpha1" '
        f'cannot be handled as a {kind}: strict decoding error: unknown field "{path}"\n'
    )


@pytest.mark.parametrize(("item", "path"), UNKNOWN.values(), ids=UNKNOWN)
def test_the_server_keeps_nothing_of_it(judge: Kubectl, item: dict[str, Any], path: str) -> None:
    stored = judge.dry_run(item, "--validate=false").expect_success().object
    assert holds(item, path)
    assert not holds(stored, path)


def holds(item: dict[str, Any], path: str) -> bool:
    """Whether the object has a field at this path, which looks into the first entry of a list."""
    found: Any = item
    for name in path.replace("[0]", ".0").split("."):
        if isinstance(found, list):
            found = found[int(name)]
        elif name in found:
            found = found[name]
        else:
            return False
    return True


def test_a_patch_says_what_it_did_not_know(here: Kubectl) -> None:
    here.create(pod_link())
    answer = here.patch("podlink", "game.alice", {"spec": {"pod": 3}}).expect_success()
    assert answer.stderr == 'Warning: unknown field "spec.pod"\n'
    assert here.get_json("podlink", "game.alice")["spec"] == pod_link()["spec"]
