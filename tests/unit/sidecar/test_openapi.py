"""The OpenAPI document has every operation and event, and is committed."""

import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest
import schemathesis

from openapidocs.__main__ import DOCUMENTS, main
from statefulroute import ServerEvent
from statefulroute.sidecar.event_bodies import EVENTS
from statefulroute.sidecar.openapi import document
from unit.sidecar.conftest import RunSidecar

OPENAPI: dict[str, Any] = json.loads(document())


def operations() -> dict[tuple[str, str], str]:
    """Returns the name of the operation of each path and method in the document."""
    return {
        (path, method.upper()): operation["operationId"]
        for path, methods in OPENAPI["paths"].items()
        for method, operation in methods.items()
        if method != "parameters"
    }


def test_the_document_is_valid() -> None:
    schemathesis.openapi.from_dict(OPENAPI).validate()


def test_documents_that_differ_from_the_types_are_found(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    # `make lint` checks the committed documents: those of another version of msgspec differ.
    assert main(["--check", str(tmp_path)]) == 1
    assert capsys.readouterr().err.count("differs from the types") == len(DOCUMENTS)
    assert main([str(tmp_path)]) == 0
    assert main(["--check", str(tmp_path)]) == 0


async def test_the_document_has_every_operation_that_is_served(run_sidecar: RunSidecar) -> None:
    async with run_sidecar() as sidecar:
        served = {
            (kind.value, method): operation.name
            for kind, methods in sidecar.components.dispatcher.operations.items()
            for method, operation in methods.items()
        }
        assert await sidecar.get("/openapi.json") == (200, OPENAPI)
    assert served.pop(("/openapi.json", "GET")) == "openapi"
    assert served == operations()


def test_each_event_of_the_driver_has_an_event_of_the_stream() -> None:
    kinds = [kind.__name__ for kind in get_args(ServerEvent)]
    names = {re.sub(r"(?<!^)(?=[A-Z])", "-", kind.removeprefix("User")).lower() for kind in kinds}
    names = {"lost" if name == "events-lost" else name for name in names}
    assert EVENTS.keys() == {*names, "state", "hand-over", "slot-hand-over", "arriving"}


async def test_answers_have_the_documented_statuses(run_sidecar: RunSidecar) -> None:
    """Each operation, with valid parameters and then with invalid ones."""
    async with run_sidecar() as sidecar:
        for (path, method), name in operations().items():
            if name in {"events", "stop"}:
                continue
            documented = OPENAPI["paths"][path][method.lower()]["responses"]
            for values in ({"route": "game", "uid": "alice", "id": "x"}, {"route": "No", "uid": "%00", "id": "%"}):
                status, _ = await sidecar.request(method, path.format(**values))
                assert str(status) in documented, (name, values)
