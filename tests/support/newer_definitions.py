"""Installs the definitions of a newer version for a while: each setting has one more value, each object a new field."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from support.kubectl import Kubectl
from support.objects import pod_link, stateful_route
from support.waiting import eventually

_CRDS = Path(__file__).parents[2] / "crds"

#: A value that enums have in the newer version only. Statuses accept it without these definitions, too.
NEWER = "Newer"

#: The field that each object has in the newer version only.
NEWER_FIELD = "newerField"


@contextmanager
def newer_definitions(installed: Kubectl) -> Iterator[None]:
    """Installs the newer definitions while the context lasts. No object with a newer value may be left at its end."""
    definitions = [yaml.safe_load(path.read_text()) for path in sorted(_CRDS.glob("*.yaml"))]
    newer = [stateful_route("newer", **{NEWER_FIELD: "x"}), pod_link(**{NEWER_FIELD: "x"})]
    _apply(installed, [_extended(definition) for definition in definitions])
    try:
        eventually(lambda: _accepted(installed, newer) == newer, "the newer definitions are in force")
        yield
    finally:
        _apply(installed, definitions)
        eventually(lambda: not _accepted(installed, newer), "the present definitions are in force again")


def _accepted(installed: Kubectl, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the objects that the API server accepts; it refuses unknown fields."""
    return [item for item in items if installed.within("default").dry_run(item).code == 0]


def _apply(installed: Kubectl, definitions: list[dict[str, Any]]) -> None:
    listed = {"apiVersion": "v1", "kind": "List", "items": definitions}
    installed.run("apply", "--filename", "-", stdin=json.dumps(listed)).expect_success()


def _extended(definition: dict[str, Any]) -> dict[str, Any]:
    newer = deepcopy(definition)
    (version,) = newer["spec"]["versions"]
    properties = version["schema"]["openAPIV3Schema"]["properties"]
    for name in ("spec", "status"):
        properties[name] = _extended_schema(properties[name])
    return newer


def _extended_schema(schema: dict[str, Any]) -> dict[str, Any]:
    extended = dict(schema)
    if "enum" in schema:
        extended["enum"] = [*schema["enum"], NEWER]
    if "items" in schema:
        extended["items"] = _extended_schema(schema["items"])
    if "properties" in schema:
        extended["properties"] = {name: _extended_schema(each) for name, each in schema["properties"].items()}
        extended["properties"][NEWER_FIELD] = {"type": "string"}
    return extended
