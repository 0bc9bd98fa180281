"""Sorts objects by a path, as `kubectl get --sort-by` does."""

import re
from collections.abc import Sequence
from decimal import Decimal
from functools import cmp_to_key
from typing import Any

from statefulroute.cli.cluster import CommandError, Object
from statefulroute.cli.jsonpath import JSONPathError, find_values, parse, relaxed_expression

_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?")
_DECIMAL_EXPONENTS = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY_POWERS = "KMGTPE"


def sort_items(items: Sequence[Object], path: str) -> list[Object]:
    """Returns objects in the order of the values at a path; those without a value are the first.

    Args:
        items: the objects.
        path: a path of JSONPath, whose braces may be missing.

    Raises:
        CommandError: the path is not valid, no object has a value at it, or the values cannot be compared.
    """
    try:
        expression = relaxed_expression(path)
        template = parse(expression)
        found = [find_values(template, item)[:1] for item in items]
    except JSONPathError as error:
        raise CommandError(f"--sort-by {path}: {error}") from error
    if items and not any(found):
        raise CommandError(f'couldn\'t find any field with path "{expression}" in the list of objects')

    def compare(one: int, other: int) -> int:
        return _compare(found[one], found[other], path)

    return [items[index] for index in sorted(range(len(items)), key=cmp_to_key(compare))]


def _compare(one: Sequence[Any], other: Sequence[Any], path: str) -> int:
    """Compares two values, each of which may be missing."""
    left: Any = one[0] if one else None
    right: Any = other[0] if other else None
    if left is None or right is None:
        return (left is not None) - (right is not None)
    if isinstance(left, bool) or type(left) is not type(right) or not isinstance(left, int | float | str):
        raise CommandError(f"--sort-by {path}: the values {left!r} and {right!r} cannot be compared")
    quantities = _quantity(left), _quantity(right)
    if quantities[0] is not None and quantities[1] is not None:
        left, right = quantities
    return bool(left > right) - bool(left < right)


def _quantity(value: Any) -> Decimal | None:  # noqa: ANN401 - any value of JSON
    """Returns the number in a quantity of Kubernetes, for example 100Mi; None if it is another value."""
    match = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    number, suffix = Decimal(match[1]), match[2] or ""
    if suffix.endswith("i"):
        return number * Decimal(1024) ** (_BINARY_POWERS.index(suffix[0]) + 1)
    is_exponent = suffix[:1] in {"e", "E"} and len(suffix) > 1
    return number.scaleb(int(suffix[1:]) if is_exponent else _DECIMAL_EXPONENTS.get(suffix, 0))
