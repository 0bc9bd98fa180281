"""Structural schemas, and the rules that replace bounds."""

from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import pytest
from pydantic import Field

from statefulroute.api.crd import custom_resource_definition
from statefulroute.api.model import Model, list_type_map, validation_rules
from statefulroute.api.podlink import PodLink
from statefulroute.api.schema import structural_schema, with_open_enums, with_validation_messages
from statefulroute.api.statefulroute import StatefulRoute

KINDS: list[type[PodLink | StatefulRoute]] = [PodLink, StatefulRoute]


class Colour(StrEnum):
    RED = "Red"
    BLUE = "Blue"


class Wheel(Model):
    """A wheel.

    It is round
    and it turns.
    """

    size_inches: int = Field(default=20, description="How wide it is.", ge=1, le=99)
    colour: Colour = Field(default=Colour.RED, description="What it looks like.")
    maker: str | None = Field(default=None, description="Who made it.", min_length=1)


class Bicycle(Model):
    """A bicycle."""

    front: Wheel = Field(default=Wheel(), description="The wheel in front.")
    spare: Wheel | None = Field(default=None, description="One more wheel.")
    wheels: Annotated[tuple[Wheel, ...], Field(json_schema_extra=list_type_map("colour"))] = Field(
        default=(), description="All wheels."
    )
    bell: int | str | None = Field(
        default=None, description="Which bell.", json_schema_extra={"x-kubernetes-int-or-string": True}
    )
    bought: datetime | None = Field(default=None, description="When it was bought.")
    rider: str = Field(
        description="Who rides it.", min_length=1, json_schema_extra=validation_rules(("self != 'me'", "not me"))
    )
    gears: int = Field(description="How many.", ge=0)


@pytest.fixture(scope="module")
def bicycle() -> dict[str, Any]:
    return structural_schema(Bicycle)


def test_fields_are_in_camel_case(bicycle: dict[str, Any]) -> None:
    assert "sizeInches" in bicycle["properties"]["front"]["properties"]


def test_references_are_resolved(bicycle: dict[str, Any]) -> None:
    assert bicycle["properties"]["front"]["properties"]["colour"] == {
        "description": "What it looks like.",
        "type": "string",
        "enum": ["Red", "Blue"],
        "default": "Red",
    }


def test_keywords_of_a_field_override_those_of_its_type(bicycle: dict[str, Any]) -> None:
    assert bicycle["properties"]["front"]["description"] == "The wheel in front."


def test_optional_field_is_not_required(bicycle: dict[str, Any]) -> None:
    assert bicycle["properties"]["spare"]["type"] == "object"
    assert "default" not in bicycle["properties"]["spare"]
    assert bicycle["required"] == ["rider", "gears"]


def test_int_or_string_has_the_kubernetes_extension(bicycle: dict[str, Any]) -> None:
    assert bicycle["properties"]["bell"] == {"description": "Which bell.", "x-kubernetes-int-or-string": True}


def test_time_is_a_string_with_a_format(bicycle: dict[str, Any]) -> None:
    assert bicycle["properties"]["bought"] == {
        "description": "When it was bought.",
        "type": "string",
        "format": "date-time",
    }


def test_map_list_has_its_keys(bicycle: dict[str, Any]) -> None:
    wheels = bicycle["properties"]["wheels"]
    assert (wheels["x-kubernetes-list-type"], wheels["x-kubernetes-list-map-keys"]) == ("map", ["colour"])
    assert "default" not in wheels


def test_default_contains_all_fields_with_values(bicycle: dict[str, Any]) -> None:
    assert bicycle["properties"]["front"]["default"] == {"sizeInches": 20, "colour": "Red"}


def test_lines_of_a_paragraph_are_joined() -> None:
    assert structural_schema(Wheel)["description"] == "A wheel.\n\nIt is round and it turns."


def test_bounds_become_rules_with_messages_that_name_the_field(bicycle: dict[str, Any]) -> None:
    size = with_validation_messages(bicycle)["properties"]["front"]["properties"]["sizeInches"]
    assert size == {
        "description": "How wide it is.",
        "type": "integer",
        "format": "int32",
        "default": 20,
        "x-kubernetes-validations": [{"rule": "self >= 1 && self <= 99", "message": "sizeInches must be from 1 to 99"}],
    }


def test_bounds_of_list_items_become_rules(bicycle: dict[str, Any]) -> None:
    entry = with_validation_messages(bicycle)["properties"]["wheels"]["items"]["properties"]
    assert entry["sizeInches"]["x-kubernetes-validations"][0]["message"] == "sizeInches must be from 1 to 99"


def test_rule_against_an_empty_string_comes_first(bicycle: dict[str, Any]) -> None:
    rider = with_validation_messages(bicycle)["properties"]["rider"]
    assert "minLength" not in rider
    assert rider["x-kubernetes-validations"] == [
        {"rule": "self != ''", "message": "rider must not be empty"},
        {"rule": "self != 'me'", "message": "not me"},
    ]


def test_one_sided_bound_stays_a_bound(bicycle: dict[str, Any]) -> None:
    assert with_validation_messages(bicycle)["properties"]["gears"]["minimum"] == 0


def test_open_enum_is_a_camel_case_word_whose_values_are_described(bicycle: dict[str, Any]) -> None:
    opened = with_open_enums(bicycle)["properties"]
    for colour in (opened["front"]["properties"]["colour"], opened["wheels"]["items"]["properties"]["colour"]):
        assert colour == {
            "description": "What it looks like. One of Red, Blue, or a value of a later version.",
            "type": "string",
            "default": "Red",
            "pattern": "^[A-Z][A-Za-z0-9]*$",
            "maxLength": 128,
        }


def test_input_schema_is_not_changed(bicycle: dict[str, Any]) -> None:
    with_validation_messages(bicycle)
    with_open_enums(bicycle)
    front = bicycle["properties"]["front"]["properties"]
    assert (front["sizeInches"]["maximum"], front["colour"]["enum"]) == (99, ["Red", "Blue"])


def root(model: type[PodLink | StatefulRoute]) -> dict[str, Any]:
    (version,) = custom_resource_definition(model)["spec"]["versions"]
    schema: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    return schema


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields a schema and all schemas inside it, each with its path."""
    yield path, schema
    for name, field in schema.get("properties", {}).items():
        yield from nodes(field, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")


#: The keywords of structural schemas that this project uses.
STRUCTURAL = {
    "default",
    "description",
    "enum",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "minLength",
    "minimum",
    "pattern",
    "properties",
    "required",
    "type",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type",
    "x-kubernetes-validations",
}


@pytest.mark.parametrize("model", KINDS)
def test_schema_contains_only_structural_keywords(model: type[PodLink | StatefulRoute]) -> None:
    unknown = {path: set(schema) - STRUCTURAL for path, schema in nodes(root(model)) if set(schema) - STRUCTURAL}
    assert unknown == {}


@pytest.mark.parametrize("model", KINDS)
def test_each_schema_has_a_type(model: type[PodLink | StatefulRoute]) -> None:
    without_type = [
        path
        for path, schema in nodes(root(model))
        if "type" not in schema and not schema.get("x-kubernetes-int-or-string")
    ]
    assert without_type == []


@pytest.mark.parametrize("model", KINDS)
def test_no_field_is_a_float(model: type[PodLink | StatefulRoute]) -> None:
    assert [path for path, schema in nodes(root(model)) if schema.get("type") == "number"] == []


@pytest.mark.parametrize("model", KINDS)
def test_each_field_has_a_description(model: type[PodLink | StatefulRoute]) -> None:
    builtin = {".apiVersion", ".kind", ".metadata"}
    without_text = [
        path
        for path, schema in nodes(root(model))
        if not path.endswith("[]") and path not in builtin and not schema.get("description", "").strip()
    ]
    assert without_text == []


@pytest.mark.parametrize("model", KINDS)
def test_spec_has_no_bounds_without_messages(model: type[PodLink | StatefulRoute]) -> None:
    without_message = [
        path
        for path, schema in nodes(root(model)["properties"]["spec"])
        if {"minimum", "maximum", "minLength", "pattern"} & set(schema)
        or (schema.get("type") == "integer" and "x-kubernetes-validations" not in schema)
    ]
    assert without_message == []


@pytest.mark.parametrize("model", KINDS)
def test_strings_with_rules_and_lists_have_maximum_lengths(model: type[PodLink | StatefulRoute]) -> None:
    spec = root(model)["properties"]["spec"]
    unbounded = [
        path
        for path, schema in nodes(spec)
        if (schema.get("type") == "array" and "maxItems" not in schema)
        or (
            schema.get("type") == "string"
            and any(rule["rule"] != "self != ''" for rule in schema.get("x-kubernetes-validations", []))
            and "maxLength" not in schema
        )
    ]
    assert unbounded == []


@pytest.mark.parametrize("model", KINDS)
def test_each_rule_has_a_message(model: type[PodLink | StatefulRoute]) -> None:
    without_text = [
        (path, rule["rule"])
        for path, schema in nodes(root(model))
        for rule in schema.get("x-kubernetes-validations", [])
        if not (rule.get("message") or rule.get("messageExpression"))
    ]
    assert without_text == []


@pytest.mark.parametrize("model", KINDS)
def test_conditions_are_a_map_list_by_type(model: type[PodLink | StatefulRoute]) -> None:
    conditions = root(model)["properties"]["status"]["properties"]["conditions"]
    assert (conditions["x-kubernetes-list-type"], conditions["x-kubernetes-list-map-keys"]) == ("map", ["type"])


def test_default_of_an_object_contains_the_defaults_of_its_fields() -> None:
    """The API server does not complete a default, so the default of an object must contain those of its fields."""
    incomplete = {}
    for path, schema in nodes(root(StatefulRoute)):
        if "default" in schema and "properties" in schema:
            defaults = {name: field["default"] for name, field in schema["properties"].items() if "default" in field}
            if schema["default"] != defaults:
                incomplete[path] = schema["default"]
    assert incomplete == {}
