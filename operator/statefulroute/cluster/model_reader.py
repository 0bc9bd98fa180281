"""Reads API types of another version: a value that is not valid in this version does not hide the others."""

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from statefulroute.api.model import Model

M = TypeVar("M", bound=Model)

#: A correction may cause another error, for example of an item that lacks a field now.
_MAX_ROUNDS = 3

_Path = tuple[str | int, ...]


def read_model(
    model: type[M], value: Mapping[str, Any], required: frozenset[str] = frozenset()
) -> tuple[M, tuple[str, ...]]:
    """Reads an object; returns it and the paths of the values that are not valid in this version.

    A number outside of its bounds becomes the nearest bound, a list that is too long is shortened, and any other
    invalid value is left out, so that its default applies.

    Args:
        model: the type.
        value: the object, decoded from JSON.
        required: the fields of the object that must be valid as they are.

    Raises:
        ValidationError: a required field is invalid, or too much is.
    """
    corrected: dict[str, Any] | None = None
    paths: set[_Path] = set()
    for _ in range(_MAX_ROUNDS):
        try:
            return model.model_validate(value if corrected is None else corrected), tuple(sorted(map(_dotted, paths)))
        except ValidationError as error:
            errors = error.errors(include_url=False, include_input=False)
            if any(each["loc"][:1] == (name,) for each in errors for name in required):
                raise
        if corrected is None:
            corrected = deepcopy(dict(value))
        for path, each in _by_path(corrected, errors):
            _correct(corrected, path, each)
            paths.add(path)
    return model.model_validate(corrected), tuple(sorted(map(_dotted, paths)))


def _by_path(value: Any, errors: Iterable[ErrorDetails]) -> Sequence[tuple[_Path, ErrorDetails]]:  # noqa: ANN401 - JSON
    """Returns the errors by the paths of the values to correct, the last items of a list first.

    A path ends at the deepest value that exists; a value that lacks a field is itself invalid.
    """
    by_path: dict[_Path, ErrorDetails] = {}
    for error in errors:
        path: _Path = ()
        for key in error["loc"][:-1] if error["type"] == "missing" else error["loc"]:
            try:
                _at(value, (*path, key))
            except (KeyError, IndexError, TypeError):
                break  # the rest of the location names a type of a union
            path = (*path, key)
        by_path.setdefault(path, error)
    return sorted(by_path.items(), key=lambda item: [(isinstance(key, int), key) for key in item[0]], reverse=True)


def _at(value: Any, path: _Path) -> Any:  # noqa: ANN401 - JSON
    for key in path:
        value = value[key]
    return value


def _correct(value: Any, path: _Path, error: ErrorDetails) -> None:  # noqa: ANN401 - JSON
    if not path:
        return  # the object itself lacks a field
    container, key, context = _at(value, path[:-1]), path[-1], error.get("ctx", {})
    if error["type"] == "less_than_equal":
        container[key] = context["le"]
    elif error["type"] == "greater_than_equal":
        container[key] = context["ge"]
    elif error["type"] == "too_long":
        del container[key][context["max_length"] :]
    else:
        del container[key]


def _dotted(path: _Path) -> str:
    return ".".join(map(str, path))
