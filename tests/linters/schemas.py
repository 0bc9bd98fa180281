"""Writes JSON schemas for kubeconform, from packages that are installed: it downloads those of others."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_PACKAGE = "lib/python*/site-packages/kubernetes_validate/kubernetes-json-schema"

#: References in the package's schemas start with this path, of no server.
_DEFINITIONS = "/api/_definitions.json"


def write_kubernetes_schemas(environment: Path, version: str, folder: Path) -> None:
    """Writes the strict schemas of Kubernetes' own kinds from the package kubernetes-validate.

    Args:
        environment: the virtual environment with the package.
        version: the minor version of Kubernetes, like `1.31`.
        folder: the folder of the schemas.
    """
    (source,) = environment.glob(f"{_PACKAGE}/v{version}.*-local-strict")
    for file in source.glob("*.json"):
        schema = json.loads(file.read_text(encoding="utf-8").replace(_DEFINITIONS, "_definitions.json"))
        schema.pop("$id", None)  # kubeconform would resolve references against it, by HTTP
        (folder / file.name).write_text(json.dumps(schema), encoding="utf-8")


def write_custom_schemas(definitions: Path, folder: Path) -> None:
    """Writes the strict schemas of the kinds that a CustomResourceDefinition, or several in a folder, define."""
    for file in definitions.glob("*.yaml") if definitions.is_dir() else [definitions]:
        spec = yaml.safe_load(file.read_text(encoding="utf-8"))["spec"]
        for version in spec["versions"]:
            schema = strict(version["schema"]["openAPIV3Schema"])
            schema["properties"] |= {"metadata": {"type": "object"}}
            name = f"{spec['names']['kind']}-{spec['group'].partition('.')[0]}-{version['name']}.json".lower()
            (folder / name).write_text(json.dumps({"$schema": _DIALECT, **schema}), encoding="utf-8")


def strict(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a structural schema that refuses unknown fields, as the API server does with `fieldValidation=Strict`."""
    converted = {name: _strict_part(name, part) for name, part in schema.items() if not name.startswith("x-")}
    if "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
        converted.setdefault("additionalProperties", False)
    if "format" in converted and schema.get("x-kubernetes-int-or-string"):
        del converted["format"]
    return converted


def _strict_part(name: str, part: Any) -> Any:
    if name == "properties":
        return {key: strict(value) for key, value in part.items()}
    if name in {"items", "additionalProperties"} and isinstance(part, dict):
        return strict(part)
    return part  # allOf and its like only repeat fields: they must not be closed
