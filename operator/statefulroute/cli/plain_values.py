"""Converts the values of options without pydantic.

Typer converts each value with pydantic, whose import takes longer than the rest of a command. Most values are the text
that was typed, or a default, and stay as they are. Valid numbers, choices and files are converted here; typer converts
the others, and refuses what is not valid.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from typer.core import TyperCommand, TyperGroup

#: Longer numbers are left to typer.
_MAX_DIGITS = 18


class PlainCommand(TyperCommand):
    """A command that passes on plain values."""

    def get_params(self, ctx: Any) -> Any:  # noqa: ANN401 - typer hides the classes of the click that it contains
        """Returns the parameters."""
        return _keep_plain_values(super().get_params(ctx))


class PlainGroup(TyperGroup):
    """A group of commands that passes on plain values."""

    def get_params(self, ctx: Any) -> Any:  # noqa: ANN401 - as above
        """Returns the parameters."""
        return _keep_plain_values(super().get_params(ctx))


def _keep_plain_values(params: Any) -> Any:  # noqa: ANN401 - as above
    """Lets parameters pass on plain values. Changes nothing with versions of typer that convert otherwise."""
    for param in params:
        convert = getattr(param, "get_runtime_param", None)
        if convert is not None and not isinstance(getattr(convert, "__self__", None), _Conversion):
            param.get_runtime_param = _Conversion(param.type_descriptor, convert).itself
    return params


@dataclass(frozen=True, slots=True)
class _Conversion:
    """The conversion of the values of a parameter, in the place of typer's.

    Attributes:
        descriptor: typer's description of the type.
        original: returns typer's conversion.
    """

    descriptor: Any
    original: Callable[[], Any]

    def itself(self) -> "_Conversion":
        """Returns this conversion, as typer asks for it."""
        return self

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:  # noqa: ANN401 - as above
        """Returns the converted value."""
        annotation, parser = self.descriptor.annotation, self.descriptor.parameter_info.parser
        is_multiple = param.multiple or param.nargs == -1
        if value is None:
            return () if is_multiple else None
        if is_multiple:
            if annotation == list[str]:
                return list(value)
        elif parser is not None:
            return parser(value)
        elif isinstance(annotation, type):
            plain = value if isinstance(value, annotation) else _valid_value(value, annotation, self.descriptor)
            if plain is not None:
                return plain
        return self.original().coerce(value, param=param, ctx=ctx)


def _valid_value(text: str, annotation: type, descriptor: Any) -> Any:  # noqa: ANN401 - as above
    """Returns the number, the choice or the path of a readable file; None if typer has to convert or to refuse it."""
    limits = descriptor.parameter_info
    if issubclass(annotation, Enum):
        return next((choice for choice in annotation if choice.value == text), None)
    if annotation is int and text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS:
        number = int(text)
        is_too_small = limits.min is not None and number < limits.min
        is_too_large = limits.max is not None and number > limits.max
        return None if is_too_small or is_too_large else number
    if annotation is Path and _accepts_any_file(limits) and os.access(text, os.R_OK):
        return Path(text)
    return None


def _accepts_any_file(limits: Any) -> bool:  # noqa: ANN401 - as above
    """Returns whether an option accepts the path of any readable file, as it was typed."""
    return (
        limits.file_okay
        and limits.dir_okay
        and not (limits.writable or limits.resolve_path or limits.allow_dash or limits.path_type)
    )
