"""The parts of a template, as values."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Literal:
    """A text, a number or a boolean: outside of braces, in quotes, or on the right of a comparison."""

    value: str | float | bool


@dataclass(frozen=True, slots=True)
class Field:
    """`.name`: the value of a key."""

    name: str


@dataclass(frozen=True, slots=True)
class Wildcard:
    """`.*`: every value of a mapping or a list."""


@dataclass(frozen=True, slots=True)
class Descent:
    """`..`: the value and everything in it that has parts."""


@dataclass(frozen=True, slots=True)
class Slice:
    """`[start:end:step]`: some elements of a list.

    Attributes:
        start: the index of the first element; None is 0.
        end: the index after the last element; None is the length.
        step: the distance of the elements; None is 1.
        is_index: whether it is `[start]`, the single element.
    """

    start: int | None
    end: int | None
    step: int | None
    is_index: bool = False


@dataclass(frozen=True, slots=True)
class Union:
    """`[a,b]`: the results of several paths, one after the other."""

    paths: Sequence["Path"]


@dataclass(frozen=True, slots=True)
class Filter:
    """`[?(left operator right)]`: the elements of a list for which it is true; `exists` has no right side."""

    left: "Path"
    operator: str
    right: "Path"


@dataclass(frozen=True, slots=True)
class Keyword:
    """`range` or `end`; any other word cannot be evaluated."""

    name: str


Step = Literal | Field | Wildcard | Descent | Slice | Union | Filter | Keyword
Path = Sequence[Step]


@dataclass(frozen=True, slots=True)
class Loop:
    """`{range path}...{end}`: its body for each result of the path."""

    path: Path
    body: "Template"


Template = Sequence[Path | Loop]
"""What a template prints, one after the other: the results of paths, which may be literals, and of loops."""
