"""Formats YAML and JSON for the chart's files."""

import json
from typing import Any

import yaml

#: The start of every generated template; Helm does not render it.
TEMPLATE_HEADER = (
    "{{- /* Generated from the types in operator/statefulroute/api by `make generate`. Do not edit. */ -}}\n"
)

#: The start of every other generated file with comments.
HEADER = "# Generated from the types in tools/helmchart by `make generate`. Do not edit.\n"


def yaml_text(*documents: object, width: float = 110) -> str:
    """Formats values as YAML, with their fields in the given order."""
    return yaml.dump_all(
        map(plain, documents),
        Dumper=_Dumper,
        sort_keys=False,
        width=width,
        allow_unicode=True,
        default_flow_style=False,
    )


def template_text(value: object) -> str:
    """Formats a value as YAML that Helm renders unchanged: escapes template actions."""
    return yaml_text(value).replace("{{", '{{ "{{" }}')


def plain(value: object) -> Any:  # noqa: ANN401 - JSON
    """Converts enums and tuples to JSON values."""
    return json.loads(json.dumps(value))


def indent(text: str, spaces: int) -> str:
    """Indents every line."""
    return "".join(f"{' ' * spaces}{line}" if line.strip() else line for line in text.splitlines(keepends=True))


def _represent_string(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """Writes text of several lines as a block."""
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


class _Dumper(yaml.SafeDumper):
    """Writes no anchors for repeated values, and indents lists further than their key."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ANN401, ARG002 - the signature of the base class
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: FBT001, FBT002, ARG002 - the signature of the base class
        super().increase_indent(flow, False)  # noqa: FBT003 - likewise


_Dumper.add_representer(str, _represent_string)
