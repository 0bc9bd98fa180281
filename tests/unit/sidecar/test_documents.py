"""The documents list exactly what exists: the operations of each form of the drivers, and the events."""

import json
import re
import tomllib
from itertools import dropwhile, takewhile
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

import statefulroute
from openapidocs.__main__ import DOCUMENTS
from statefulroute import sync
from statefulroute.cli.commands.sidecar import sidecar
from statefulroute.sidecar.event_bodies import EVENTS

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/reference/sidecar.md").read_text(encoding="utf-8")
OPERATION = re.compile(r"`(GET|PUT|POST|DELETE) (?:\.\.\.)?(/[^`]+|)`")

#: What the handlers of hand-overs get, and what they do with it.
HANDED = ["`LeavingUser.send`", "`LeavingSlot.send`", "`ArrivingUser.read`"]


def table(page: str, heading: str) -> list[list[str]]:
    """Returns the cells of the rows of the first table below a heading."""
    section = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = dropwhile(lambda line: not line.startswith("|"), section.splitlines())
    rows = list(takewhile(lambda line: line.startswith("|"), lines))
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


#: The forms of each operation, of which the first is the method in Python.
CONTRACT = [
    forms.split("<br>")
    for _, forms in table((ROOT / "docs/reference/drivers.md").read_text(encoding="utf-8"), "The same in each form")
]


def documented(name: str, start: str) -> set[str]:
    """Returns METHOD and path of the operations that the page lists, whose paths it shortens at the start."""
    forms = (form for row in CONTRACT for form in row if form.startswith(f"{name}: "))
    return {f"{method} {start}{path}" for form in forms for method, path in OPERATION.findall(form)}


def operations(name: str) -> set[str]:
    """Returns METHOD and path of each operation of a committed document."""
    document: dict[str, Any] = json.loads((ROOT / f"docs/openapi/{name}.json").read_text(encoding="utf-8"))
    return {
        f"{method.upper()} {path}"
        for path, methods in document["paths"].items()
        for method in methods
        if method != "parameters"
    }


def test_the_contract_lists_every_method_of_the_drivers_once() -> None:
    public = [
        f"`{kind}.{name}`"
        for kind in ("ServerDriver", "ClientDriver")
        for name in dir(getattr(statefulroute, kind))
        if not name.startswith("_")
    ]
    assert sorted(method for method, *_ in CONTRACT) == sorted([*public, *HANDED])


@pytest.mark.parametrize("method", [method.strip("`") for method, *_ in CONTRACT])
def test_the_blocking_form_has_the_method(method: str) -> None:
    kind, _, name = method.partition(".")
    assert hasattr(getattr(sync, kind), name)


def test_the_contract_lists_every_operation_of_the_http_apis() -> None:
    assert {path.stem for path in DOCUMENTS} == {"sidecar", "resolver"}
    assert documented("sidecar", "/v1") == operations("sidecar")
    assert documented("resolver", "/v1/namespaces/{namespace}/routes/{route}") == operations("resolver")


def test_the_page_lists_every_operation() -> None:
    listed = set()
    for request, _ in table(PAGE, "Operations"):
        methods, _, path = (
            request.strip("`")
            .replace("`", "")
            .replace("UID", "{uid}")
            .replace("ROUTE", "{route}")
            .replace("/ID/", "/{id}/")
            .rpartition(" ")
        )
        listed |= {f"{method} {path}" for method in methods.split(", ")}
    assert listed == operations("sidecar")


def test_the_page_lists_every_event() -> None:
    names = [name for row in table(PAGE, "Events") for name in re.findall(r"`([a-z-]+)`", row[0])]
    assert sorted(names) == sorted(EVENTS)


def test_the_example_uses_the_image_of_this_version_and_existing_options() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    manifest = yaml.safe_load((ROOT / "examples/sidecar/statefulset.yaml").read_text(encoding="utf-8"))
    [container] = manifest["spec"]["template"]["spec"]["initContainers"]
    assert (container["image"], container["restartPolicy"]) == (f"statefulroute:{version}", "Always")
    command, *arguments = container["args"]
    application = typer.Typer()
    application.command()(sidecar)
    known = {option for param in typer.main.get_command(application).params for option in param.opts}
    assert command == "sidecar"
    assert {argument.partition("=")[0] for argument in arguments} <= known
    assert {port["containerPort"] for port in container["ports"]} == {8471, 8477}
