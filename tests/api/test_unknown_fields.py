"""Unknown fields: the API server reports them and does not store them."""

from typing import Any

import pytest

from support.kubectl import Kubectl
from support.objects import pod_link, stateful_route

UNKNOWN = {
    "a misspelt field of a link": (pod_link(podindex=2), "spec.podindex"),
    "a field of a link in snake case": (pod_link(ttl_seconds=60), "spec.ttl_seconds"),
    "a field next to the spec": ({**pod_link(), "specs": {}}, "specs"),
    "a misspelt field of a route": (stateful_route(routingstate="Ready"), "spec.routingstate"),
    "a nested field of a route": (
        stateful_route(load={"http": {"port": 80, "timeout": 3}}),
        "spec.load.http.timeout",
    ),
    "a field of a list item": (
        stateful_route(pods=[{"index": 0, "routingState": "Ready", "name": "game-0"}]),
        "spec.pods[0].name",
    ),
    "a field of an item of another list": (
        stateful_route(namedPods=[{"name": "game-0", "routingState": "Ready", "index": 0}]),
        "spec.namedPods[0].index",
    ),
}


@pytest.mark.parametrize(("item", "path"), UNKNOWN.values(), ids=UNKNOWN)
def test_kubectl_rejects_and_names_an_unknown_field(empty: Kubectl, item: dict[str, Any], path: str) -> None:
    kind = item["kind"]
    assert empty.dry_run(item).stderr == (
        f'Error from server (BadRequest): error when creating "STDIN": {kind} in version "v1alpha1" '
        f'cannot be handled as a {kind}: strict decoding error: unknown field "{path}"\n'
    )


@pytest.mark.parametrize(("item", "path"), UNKNOWN.values(), ids=UNKNOWN)
def test_api_server_does_not_store_an_unknown_field(empty: Kubectl, item: dict[str, Any], path: str) -> None:
    stored = empty.dry_run(item, "--validate=false").expect_success().object
    assert has_field(item, path)
    assert not has_field(stored, path)


def has_field(item: dict[str, Any], path: str) -> bool:
    """Returns whether the object has a field at a path; `[0]` is the first item of a list."""
    value: Any = item
    for name in path.replace("[0]", ".0").split("."):
        if isinstance(value, list):
            value = value[int(name)]
        elif name in value:
            value = value[name]
        else:
            return False
    return True


def test_patch_warns_of_an_unknown_field(here: Kubectl) -> None:
    here.create(pod_link())
    response = here.patch("podlink", "game.alice", {"spec": {"pod": 3}}).expect_success()
    assert response.stderr == 'Warning: unknown field "spec.pod"\n'
    assert here.get_json("podlink", "game.alice")["spec"] == pod_link()["spec"]
