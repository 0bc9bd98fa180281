"""Generates few rows that cover every pair of options of two dimensions: most bugs need at most two options."""

import random
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations, product
from typing import Any

Row = dict[str, Any]

#: An option by its dimension and index: options need not be hashable.
Choice = tuple[str, int]


def covering_rows(
    dimensions: Mapping[str, Sequence[Any]], is_allowed: Callable[[Row], bool], seed: int = 0
) -> list[Row]:
    """Returns rows with one option for every dimension, so that every allowed pair is in some row.

    Args:
        dimensions: the options of each dimension.
        is_allowed: returns whether options may be combined; it also gets rows with only some of the dimensions.
        seed: makes the rows reproducible.
    """
    shuffled = random.Random(seed)
    uncovered = {
        frozenset(((a, i), (b, j)))
        for a, b in combinations(dimensions, 2)
        for i, j in product(range(len(dimensions[a])), range(len(dimensions[b])))
        if is_allowed({a: dimensions[a][i], b: dimensions[b][j]})
    }
    rows = []
    while uncovered:
        chosen = dict(min(uncovered, key=sorted))
        for name in shuffled.sample(sorted(dimensions), len(dimensions)):
            if name not in chosen:
                chosen[name] = _best(name, dimensions, chosen, uncovered, is_allowed)
        uncovered -= {frozenset(pair) for pair in combinations(chosen.items(), 2)}
        rows.append(_row(chosen, dimensions))
    return rows


def _best(
    name: str,
    dimensions: Mapping[str, Sequence[Any]],
    chosen: Mapping[str, int],
    uncovered: set[frozenset[Choice]],
    is_allowed: Callable[[Row], bool],
) -> int:
    """Returns the option that covers the most new pairs with the chosen ones."""
    indexes = [i for i in range(len(dimensions[name])) if is_allowed(_row({**chosen, name: i}, dimensions))]
    return max(indexes, key=lambda i: sum(frozenset(((name, i), other)) in uncovered for other in chosen.items()))


def _row(chosen: Mapping[str, int], dimensions: Mapping[str, Sequence[Any]]) -> Row:
    return {name: dimensions[name][index] for name, index in chosen.items()}
