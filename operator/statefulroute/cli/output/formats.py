"""The values of `--output`, which are those of `kubectl get`."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from statefulroute.cli.jsonpath import Template


class Output(StrEnum):
    """The output formats of lists."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"
    JSONPATH = "jsonpath"
    JSONPATH_AS_JSON = "jsonpath-as-json"
    CUSTOM_COLUMNS = "custom-columns"


_TABLES = (Output.TABLE, Output.WIDE)

#: The formats with a template, which follows `=`; with the suffix, a file has the template.
_WITH_TEMPLATE = (Output.JSONPATH, Output.JSONPATH_AS_JSON, Output.CUSTOM_COLUMNS)
_FILE_SUFFIX = "-file"

#: The formats, as they are completed and listed in messages.
FORMATS = tuple(f"{output}=" if output in _WITH_TEMPLATE else output.value for output in Output)


@dataclass(frozen=True, slots=True)
class CustomColumn:
    """A column of `custom-columns`."""

    header: str
    path: "Template"


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """An output format with its template.

    Attributes:
        output: the format.
        text: the template as the user typed it.
        template: the parsed template of JSONPath.
        columns: the columns of `custom-columns`.
    """

    output: Output = Output.TABLE
    text: str = ""
    template: "Template" = ()
    columns: Sequence[CustomColumn] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parses a value of `--output`.

        Raises:
            ValueError: it is not a format, or its template is not valid or cannot be read.
        """
        name, separator, template = text.partition("=")
        if is_file := name.endswith(_FILE_SUFFIX):
            name = name.removesuffix(_FILE_SUFFIX)
        if name not in [*Output] or (is_file and name not in {Output.JSONPATH, Output.CUSTOM_COLUMNS}):
            raise ValueError(f"{text!r} is not one of {', '.join(FORMATS)}")
        output = Output(name)
        if output not in _WITH_TEMPLATE:
            if separator:
                raise ValueError(f"{name} has no template")
            return cls(output)
        if not template:
            raise ValueError(f"{name} needs a template: {name}=TEMPLATE")
        return cls._with_template(output, template, is_file=is_file)

    @classmethod
    def _with_template(cls, output: Output, text: str, *, is_file: bool) -> Self:
        from statefulroute.cli.jsonpath import JSONPathError, parse  # noqa: PLC0415 - most outputs have no template

        if is_file:
            try:
                text = Path(text).read_text(encoding="utf-8")
            except OSError as error:
                raise ValueError(f"the template cannot be read: {error}") from error
        try:
            if output is not Output.CUSTOM_COLUMNS:
                return cls(output, text, template=parse(text))
            return cls(output, text, columns=_columns_of_file(text) if is_file else _columns(text))
        except JSONPathError as error:
            raise ValueError(f"error parsing jsonpath {text}, {error}") from error

    def __str__(self) -> str:
        return f"{self.output}={self.text}" if self.text else self.output.value

    @property
    def is_table(self) -> bool:
        """Whether it is a table with the columns of the command."""
        return self.output in _TABLES

    @property
    def is_wide(self) -> bool:
        """Whether the table has all its columns."""
        return self.output is Output.WIDE


TABLE = OutputFormat()
"""The default format."""


def _columns(text: str) -> Sequence[CustomColumn]:
    """Parses `NAME:.metadata.name,POD:.status.podName`."""
    pairs = [column.partition(":") for column in text.split(",")]
    for header, separator, _ in pairs:
        if not separator:
            raise ValueError(f"unexpected custom-columns spec: {header}, expected <header>:<json-path-expr>")
    return [_column(header, path) for header, _, path in pairs]


def _columns_of_file(text: str) -> Sequence[CustomColumn]:
    """Parses a line of headers and a line of paths, both separated by spaces."""
    headers, paths = (*(line.split() for line in text.splitlines()[:2]), [], [])[:2]
    if not headers or len(headers) != len(paths):
        raise ValueError(f"number of headers ({len(headers)}) and field specifications ({len(paths)}) don't match")
    return [_column(header, path) for header, path in zip(headers, paths, strict=True)]


def _column(header: str, path: str) -> CustomColumn:
    from statefulroute.cli.jsonpath import parse, relaxed_expression  # noqa: PLC0415 - as above

    return CustomColumn(header, parse(relaxed_expression(path)))
