"""The CustomResourceDefinitions of the two kinds."""

from typing import Any

from statefulroute.api.group import CATEGORY, GROUP, VERSION
from statefulroute.api.podlink import PodLink
from statefulroute.api.schema import structural_schema, with_open_enums, with_validation_messages
from statefulroute.api.statefulroute import StatefulRoute


def custom_resource_definition(model: type[PodLink | StatefulRoute]) -> dict[str, Any]:
    """Returns the complete CustomResourceDefinition of a kind."""
    names = model.names
    version: dict[str, Any] = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}, **({"scale": model.scale} if model.scale else {})},
        "additionalPrinterColumns": model.printer_columns,
        "schema": {"openAPIV3Schema": _root_schema(model)},
    }
    if model.selectable_fields:
        version["selectableFields"] = [{"jsonPath": path} for path in model.selectable_fields]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": names.crd_name},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": names.kind,
                "listKind": f"{names.kind}List",
                "plural": names.plural,
                "singular": names.singular,
                "shortNames": list(names.short_names),
                "categories": [CATEGORY],
            },
            "versions": [version],
        },
    }


def _root_schema(model: type[PodLink | StatefulRoute]) -> dict[str, Any]:
    """Returns the schema of the whole object. The API server validates apiVersion, kind and metadata itself."""
    schema = structural_schema(model)
    properties = schema["properties"]
    properties["apiVersion"] = {"type": "string"}
    properties["kind"] = {"type": "string"}
    properties["metadata"] = {"type": "object"}
    properties["spec"] = with_validation_messages(properties["spec"])
    properties["status"] = with_open_enums(properties["status"])
    schema["x-kubernetes-validations"] = model.validations
    return schema
