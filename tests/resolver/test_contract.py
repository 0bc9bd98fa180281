"""What is answered is what the OpenAPI document says, whatever is asked: schemathesis asks for anything."""

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode

from harness.witness import Witness
from localcluster import LocalCluster
from resolver.place import Place
from resolver.running import in_own_thread
from statefulroute.resolver.http.openapi import document

EXAMPLES = 500 if os.environ.get("STATEFULROUTE_LONG") else 50

#: The stream of moves does not end: test_moves.py has it.
OPERATIONS = ("get_link", "bind_link", "batch_get", "get_route")

as_many_as_are_wanted = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=[*HealthCheck], derandomize=True, database=None
)


@pytest.fixture(scope="module")
def standing(cluster: LocalCluster, place_name: str) -> Iterator[tuple[Place, str]]:
    """A service with a user, and the URL of a resolver."""
    place = Place(Witness(cluster.kubeconfig), place_name)
    place.make()
    place.link("alice", 1)
    with in_own_thread(cluster.kubeconfig, namespaces=(place.namespace,), bindings_per_second=10_000) as url:
        yield place, url
    place.clear()


@pytest.fixture(scope="module")
def anything(standing: tuple[Place, str]) -> Any:
    """The document as it is served: most of what is asked for is not there."""
    return _schema(json.loads(document()), standing[1])


@pytest.fixture(scope="module")
def known(standing: tuple[Place, str]) -> Any:
    """The document with the one service that there is: users are bound and looked up."""
    place, url = standing
    told = json.loads(document())
    for path in told["paths"].values():
        for parameter in path["parameters"]:
            values = {"namespace": [place.namespace], "route": [place.name]}.get(parameter["name"])
            if values is not None:
                parameter["schema"] = {"enum": values}
    return _schema(told, url)


def _schema(told: dict[str, Any], url: str) -> Any:
    made = schemathesis.openapi.from_dict(told)
    made.config.update(base_url=url)
    return made


def hold(schema: Any, operation: str, mode: GenerationMode) -> None:
    """Ask for an operation in many ways, and hold the answers to the document."""
    strategy = schema.find_operation_by_id(operation).as_strategy(generation_mode=mode)

    @as_many_as_are_wanted
    @given(strategy)
    def asked(case: schemathesis.Case) -> None:
        case.call_and_validate()

    asked()


@pytest.mark.parametrize("mode", GenerationMode)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_whatever_is_asked_for_is_answered_as_the_document_says(
    anything: Any, operation: str, mode: GenerationMode
) -> None:
    hold(anything, operation, mode)


@pytest.mark.parametrize("mode", GenerationMode)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_whoever_is_asked_for_in_a_service_is_answered_as_the_document_says(
    known: Any, operation: str, mode: GenerationMode
) -> None:
    hold(known, operation, mode)


def test_the_document_is_served_and_valid(standing: tuple[Place, str]) -> None:
    response = requests.get(f"{standing[1]}/openapi.json", timeout=10)
    assert (response.status_code, response.headers["Content-Type"]) == (200, "application/json")
    assert response.content == document()
    schemathesis.openapi.from_dict(response.json()).validate()
