"""Lists the values, as values.yaml and the README show them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from types import UnionType
from typing import Any, get_args, get_origin

from helmchart.model import ValueGroup
from helmchart.text import plain


@dataclass(frozen=True, slots=True)
class Value:
    """One value.

    Attributes:
        path: Its keys from the root, like `("image", "tag")`.
        description: What it means.
        choices: Its possible values, if it is an enum.
        default: Its default, as JSON; for a group, all of its defaults.
        is_group: Whether it contains further values of the chart.
    """

    path: tuple[str, ...]
    description: str
    choices: tuple[str, ...]
    default: Any
    is_group: bool

    @property
    def key(self) -> str:
        """Its last key."""
        return self.path[-1]

    @property
    def default_text(self) -> str:
        """Its default on one line."""
        return json.dumps(self.default, ensure_ascii=False)


def values_of(group: ValueGroup, parent: tuple[str, ...] = ()) -> Iterator[Value]:
    """Yields the values of a group and of the groups in it; each group comes before its values."""
    for name, field in type(group).model_fields.items():
        default = getattr(group, name)
        path, is_group = (*parent, field.alias or name), isinstance(default, ValueGroup)
        default_value = default.model_dump(by_alias=True, mode="json") if is_group else plain(default)
        yield Value(path, field.description or "", _choices(field.annotation), default_value, is_group)
        if is_group:
            yield from values_of(default, path)


def _choices(annotation: Any) -> tuple[str, ...]:  # noqa: ANN401 - a type annotation
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return tuple(str(member.value) for member in annotation)
    if get_origin(annotation) is UnionType:
        return next((choices for argument in get_args(annotation) if (choices := _choices(argument))), ())
    return ()
