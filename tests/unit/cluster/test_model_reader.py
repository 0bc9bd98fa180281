"""A value that is not valid in this version does not hide the others."""

from typing import Annotated, Any

import pytest
from pydantic import Field, ValidationError

from statefulroute.api.model import Model
from statefulroute.cluster.model_reader import read_model


class Item(Model):
    """An item of a list."""

    name: str
    size: int = Field(default=1, ge=0, le=10)


class Thing(Model):
    """An object."""

    label: str = Field(default="none", max_length=5)
    port: int | str | None = None
    items: Annotated[tuple[Item, ...], Field(max_length=3)] = ()
    best: Item = Item(name="default")


def read(**value: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Returns the fields that differ from the defaults, and the paths."""
    thing, paths = read_model(Thing, value)
    return thing.model_dump(exclude_defaults=True), paths


CASES: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[str, ...]]] = {
    "valid": ({"label": "a", "port": 3}, {"label": "a", "port": 3}, ()),
    "unknown field": ({"label": "a", "colour": "red"}, {"label": "a"}, ()),
    "too large": ({"items": [{"name": "a", "size": 11}]}, {"items": ({"name": "a", "size": 10},)}, ("items.0.size",)),
    "too small": ({"items": [{"name": "a", "size": -5}]}, {"items": ({"name": "a", "size": 0},)}, ("items.0.size",)),
    "other type": ({"label": {"text": "a"}, "port": 3}, {"port": 3}, ("label",)),
    "no type of a union": ({"label": "a", "port": [3]}, {"label": "a"}, ("port",)),
    "too long text": ({"label": "abcdef", "port": 3}, {"port": 3}, ("label",)),
    "item without a field": (
        {"items": [{"name": "a"}, {"size": 2}, {"name": "c"}]},
        {"items": ({"name": "a"}, {"name": "c"})},
        ("items.1",),
    ),
    "invalid items": (
        {"items": [3, {"name": "b"}, 4]},
        {"items": ({"name": "b"},)},
        ("items.0", "items.2"),
    ),
    "too many items": (
        {"items": [{"name": name} for name in "abcde"]},
        {"items": ({"name": "a"}, {"name": "b"}, {"name": "c"})},
        ("items",),
    ),
    "nested object without a field": ({"best": {"size": 3}, "port": 3}, {"port": 3}, ("best",)),
}


@pytest.mark.parametrize(("value", "fields", "paths"), CASES.values(), ids=CASES)
def test_only_the_invalid_value_is_corrected_or_left_out(
    value: dict[str, Any], fields: dict[str, Any], paths: tuple[str, ...]
) -> None:
    assert read(**value) == (fields, paths)


def test_the_object_itself_is_not_changed() -> None:
    value = {"items": [{"name": "a", "size": 11}, 3]}
    read(**value)
    assert value == {"items": [{"name": "a", "size": 11}, 3]}


def test_a_required_field_must_be_valid() -> None:
    assert read_model(Thing, {"label": "abcdef"}, frozenset({"best"}))[0] == Thing()
    with pytest.raises(ValidationError, match=r"best\.size"):
        read_model(Thing, {"best": {"name": "a", "size": 11}}, frozenset({"best"}))


def test_an_object_that_lacks_a_field_itself_raises() -> None:
    with pytest.raises(ValidationError, match="name"):
        read_model(Item, {"size": 1})
