"""Adds v1beta1 to the definitions for a while: the next version of the API, with the same schema."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from statefulroute.api.group import GROUP, VERSION
from support.kubectl import Kubectl
from support.waiting import eventually

_CRDS = Path(__file__).parents[2] / "crds"

#: The next version.
NEXT = "v1beta1"

_PLURALS = ("podlinks", "statefulroutes")


@contextmanager
def next_version(installed: Kubectl) -> Iterator[None]:
    """Serves both versions, and stores the next one, while the context lasts."""
    definitions = [yaml.safe_load(path.read_text()) for path in sorted(_CRDS.glob("*.yaml"))]
    serve(installed, {VERSION: False, NEXT: True})
    try:
        yield
    finally:
        serve(installed, {VERSION: True, NEXT: False})
        migrate_storage(installed, VERSION)
        _apply(installed, definitions)
        _await_served(installed, {VERSION})
        shutil.rmtree(installed.cache, ignore_errors=True)  # kubectl would go on asking for the version that it prefers


def serve(installed: Kubectl, versions: Mapping[str, bool]) -> None:
    """Serves these versions, all of the same schema, and waits for it; true for the one in which objects are stored."""
    definitions = [yaml.safe_load(path.read_text()) for path in sorted(_CRDS.glob("*.yaml"))]
    for definition in definitions:
        (present,) = definition["spec"]["versions"]
        definition["spec"]["versions"] = [
            {**deepcopy(present), "name": name, "storage": is_stored} for name, is_stored in versions.items()
        ]
    _apply(installed, definitions)
    _await_served(installed, {*versions})


def migrate_storage(installed: Kubectl, version: str) -> None:
    """Stores all objects in the version of the definitions that is stored, as docs/reference/versions.md describes."""
    for plural in _PLURALS:
        eventually(
            lambda plural=plural: _write_back(installed, f"{plural}.{version}.{GROUP}"), f"{plural} are migrated"
        )
        change = {"status": {"storedVersions": [version]}}
        installed.patch(
            "customresourcedefinition", f"{plural}.{GROUP}", change, "--subresource=status"
        ).expect_success()


def _write_back(installed: Kubectl, resource: str) -> bool:
    """Writes all objects of a resource as they are; returns whether none was written or deleted meanwhile."""
    listed = installed.get_json(resource, "--all-namespaces")
    return not listed["items"] or installed.run("replace", "--filename=-", stdin=listed).code == 0


def stored_versions(installed: Kubectl) -> set[str]:
    """Returns the versions in which objects of any kind may be stored."""
    found = [
        installed.get_json("customresourcedefinition", f"{plural}.{GROUP}")["status"]["storedVersions"]
        for plural in _PLURALS
    ]
    return {version for each in found for version in each}


def _await_served(installed: Kubectl, versions: set[str]) -> None:
    """Waits until the API server serves these versions, and answers again: it refuses lists while it changes."""
    eventually(lambda: _served(installed) == versions, f"the API server serves {', '.join(versions)}")
    for version in versions:
        for plural in _PLURALS:
            path = f"/apis/{GROUP}/{version}/{plural}"
            eventually(lambda path=path: installed.run("get", "--raw", path).code == 0, f"{path} is served")


def _served(installed: Kubectl) -> set[str]:
    """Returns the versions whose two resources the API server lists."""
    groups = json.loads(installed.run("get", "--raw", f"/apis/{GROUP}").expect_success().stdout)
    versions = [each["version"] for each in groups["versions"]]
    lists = {version: installed.run("get", "--raw", f"/apis/{GROUP}/{version}") for version in versions}
    return {
        version
        for version, listed in lists.items()
        if listed.code == 0 and {*_PLURALS} <= {each["name"] for each in json.loads(listed.stdout)["resources"]}
    }


def _apply(installed: Kubectl, definitions: list[dict[str, Any]]) -> None:
    listed = {"apiVersion": "v1", "kind": "List", "items": definitions}
    installed.run("apply", "--filename", "-", stdin=json.dumps(listed)).expect_success()
