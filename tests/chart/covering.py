"""Few rows with every pair of options of any two dimensions: most mistakes are of one option, or of two together."""

import random
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations, product
from typing import Any

Row = dict[str, Any]

#: An option of a dimension, by its place: options may be anything, and need not be hashable.
Choice = tuple[str, int]


def covering_rows(
    dimensions: Mapping[str, Sequence[Any]], is_allowed: Callable[[Row], bool], seed: int = 0
) -> list[Row]:
    """Rows of one option each for every dimension, so that every pair that may be is in some row.

    Args:
        dimensions: their options.
        is_allowed: whether these options go together; asked about rows that have only some of the dimensions, too.
        seed: makes the rows the same each time.
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
    """The option that covers the most with what is chosen already."""
    places = [i for i in range(len(dimensions[name])) if is_allowed(_row({**chosen, name: i}, dimensions))]
    return max(places, key=lambda i: sum(frozenset(((name, i), other)) in uncovered for other in chosen.items()))


def _row(chosen: Mapping[str, int], dimensions: Mapping[str, Sequence[Any]]) -> Row:
    return {name: dimensions[name][place] for name, place in chosen.items()}
