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

from localcluster import LocalCluster
from resolver.in_process import run_resolver_in_thread
from resolver.stub_service import StubService
from statefulroute.resolver.http.openapi import document
from support.independent_client import IndependentClient

EXAMPLES = 500 if os.environ.get("STATEFULROUTE_LONG") else 50

#: The stream of moves does not end: test_moves.py has it.
OPERATIONS = ("get_link", "bind_link", "batch_get", "get_route")

as_many_as_are_wanted = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=[*HealthCheck], derandomize=True, database=None
)


@pytest.fixture(scope="module")
def shared_service(cluster: LocalCluster, module_namespace: str) -> Iterator[tuple[StubService, str]]:
    """A service with a user, and the URL of a resolver."""
    stub_service = StubService(IndependentClient(cluster.kubeconfig), module_namespace)
    stub_service.create()
    stub_service.link("alice", 1)
    with run_resolver_in_thread(
        cluster.kubeconfig, namespaces=(stub_service.namespace,), bindings_per_second=10_000
    ) as url:
        yield stub_service, url
    stub_service.delete()


@pytest.fixture(scope="module")
def anything(shared_service: tuple[StubService, str]) -> Any:
    """The document as it is served: most of what is asked for is not there."""
    return _schema(json.loads(document()), shared_service[1])


@pytest.fixture(scope="module")
def known(shared_service: tuple[StubService, str]) -> Any:
    """The document with the one service that there is: users are bound and looked up."""
    stub_service, url = shared_service
    told = json.loads(document())
    for path in told["paths"].values():
        for parameter in path["parameters"]:
            values = {"namespace": [stub_service.namespace], "route": [stub_service.name]}.get(parameter["name"])
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


def test_the_document_is_served_and_valid(shared_service: tuple[StubService, str]) -> None:
    response = requests.get(f"{shared_service[1]}/openapi.json", timeout=10)
    assert (response.status_code, response.headers["Content-Type"]) == (200, "application/json")
    assert response.content == document()
    schemathesis.openapi.from_dict(response.json()).validate()
