"""Passes on the values of options that need no conversion.

Typer converts each value with pydantic, whose import takes longer than the rest of a command. Most values are the text
that was typed, or a default, and stay as they are; typer converts the others.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from typer.core import TyperCommand, TyperGroup


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
        elif isinstance(annotation, type) and isinstance(value, annotation):
            return value
        return self.original().coerce(value, param=param, ctx=ctx)
