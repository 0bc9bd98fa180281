"""Evaluates templates on values that were decoded from JSON. A missing key has no results, and is no error."""

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from statefulroute.cli.jsonpath.errors import JSONPathError
from statefulroute.cli.jsonpath.syntax import (
    Descent,
    Field,
    Filter,
    Keyword,
    Literal,
    Loop,
    Path,
    Slice,
    Step,
    Template,
    Union,
    Wildcard,
)

#: A value that was decoded from JSON.
Value = Any

_COMPARISONS: Mapping[str, Callable[[Value, Value], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def find_results(template: Template, value: Value) -> Iterator[list[Value]]:
    """Yields the results of each path of a template, in the order of the output.

    Raises:
        JSONPathError: the template cannot be evaluated on this value.
    """
    for part in template:
        if isinstance(part, Loop):
            for item in _follow(part.path, [value]):
                yield from find_results(part.body, item)
        else:
            yield _follow(part, [value])


def find_values(template: Template, value: Value) -> list[Value]:
    """Returns all results of a template. Raises as `find_results` does."""
    return [item for results in find_results(template, value) for item in results]


def _follow(path: Path, values: list[Value]) -> list[Value]:
    for step in path:
        values = _take(step, values)
    return values


def _take(step: Step, values: list[Value]) -> list[Value]:  # noqa: PLR0911 - a case each
    match step:
        case Literal(value):
            return [value] if isinstance(value, str) else [value for _ in values]
        case Field(name):
            return [value[name] for value in values if isinstance(value, dict) and name in value]
        case Wildcard():
            return [part for value in values for part in _parts(value)]
        case Descent():
            return [*_descend(values)]
        case Union(paths):
            return [value for path in paths for value in _follow(path, values)]
        case Slice():
            return [part for value in values if value is not None for part in _slice(step, value)]
        case Filter():
            return [part for value in values for part in _filter(step, value)]
        case Keyword(name):
            raise JSONPathError(f"unrecognized identifier {name}")


def _parts(value: Value) -> Sequence[Value]:
    if isinstance(value, dict):
        return [*value.values()]
    return value if isinstance(value, list) else ()


def _descend(values: Sequence[Value]) -> Iterator[Value]:
    for value in values:
        if isinstance(value, str) and value:
            yield value
        elif parts := _parts(value):
            yield value
            yield from _descend(parts)


def _slice(step: Slice, value: Value) -> Sequence[Value]:
    if not isinstance(value, list):
        raise JSONPathError(f"{_type_name(value)} is not array or slice")
    length = len(value)
    start = step.start or 0
    end = length if step.end is None else step.end
    if step.is_index:
        end = start + 1
    if start < 0:
        start += length
    if end < 0 or (end == 0 and step.is_index):
        end += length
    if start == end:
        return ()
    for index, limit, shown in ((start, length - 1, start), (end, length, end - 1)):
        if not 0 <= index <= limit:
            raise JSONPathError(f"array index out of bounds: index {shown}, length {length}")
    if start > end:
        raise JSONPathError(f"starting index {start} is greater than ending index {end}")
    if step.step is not None and step.step <= 0:
        raise JSONPathError("step must be > 0")
    return value[start : end : step.step or 1]


def _filter(step: Filter, value: Value) -> Iterator[Value]:
    if not isinstance(value, list):
        raise JSONPathError(f"{value} is not array or slice and cannot be filtered")
    for item in value:
        if step.operator == "exists":
            if _exists(step.left, item):
                yield item
            continue
        left, right = _follow(step.left, [item]), _follow(step.right, [item])
        if not left or not right:
            continue
        if len(left) > 1 or len(right) > 1:
            raise JSONPathError("can only compare one element at a time")
        if _compare(step.operator, left[0], right[0]):
            yield item


def _exists(path: Path, item: Value) -> bool:
    """Returns whether a path has values; after a step that fails, its own values count, as in kubectl."""
    values = [item]
    for step in path:
        try:
            values = _take(step, values)
        except JSONPathError:
            break
    return bool(values)


def _compare(name: str, left: Value, right: Value) -> bool:
    """Compares values of the same type, as Go does."""
    if name not in _COMPARISONS:
        raise JSONPathError(f"unrecognized filter operator {name}")
    for value in (left, right):
        if not isinstance(value, bool | int | float | str):
            raise JSONPathError("invalid type for comparison")
    if type(left) is not type(right):
        raise JSONPathError("incompatible types for comparison")
    if isinstance(left, bool) and name not in {"==", "!="}:
        raise JSONPathError("invalid type for comparison")
    return _COMPARISONS[name](left, right)


def _type_name(value: Value) -> str:
    """Returns the name of the type in Go."""
    names = {dict: "map[string]interface {}", str: "string", bool: "bool", int: "int64", float: "float64"}
    return names.get(type(value), type(value).__name__)
