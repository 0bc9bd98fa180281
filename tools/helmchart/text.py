"""YAML and JSON as the chart's files have them."""

import json
from typing import Any

import yaml

#: What begins every generated template; Helm leaves it out of what it renders.
TEMPLATE_HEADER = (
    "{{- /* Generated from the types in operator/statefulroute/api by `make generate`. Do not edit. */ -}}\n"
)

#: What begins every other generated file that may have comments.
HEADER = "# Generated from the types in tools/helmchart by `make generate`. Do not edit.\n"


def yaml_text(*documents: object, width: float = 110) -> str:
    """Values as YAML, their fields in their own order."""
    return yaml.dump_all(
        map(plain, documents),
        Dumper=_Dumper,
        sort_keys=False,
        width=width,
        allow_unicode=True,
        default_flow_style=False,
    )


def template_text(value: object) -> str:
    """A value as YAML that Helm leaves as it is: what would be an action of a template is written as its text."""
    return yaml_text(value).replace("{{", '{{ "{{" }}')


def plain(value: object) -> Any:  # noqa: ANN401 - JSON
    """The same without enums and tuples."""
    return json.loads(json.dumps(value))


def indent(text: str, spaces: int) -> str:
    """Every line moved to the right."""
    return "".join(f"{' ' * spaces}{line}" if line.strip() else line for line in text.splitlines(keepends=True))


def _represent_string(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """Several lines stand as lines."""
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


class _Dumper(yaml.SafeDumper):
    """No anchors for what is written twice, and lists that stand further in than their key."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ANN401, ARG002 - as the base class has it
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: FBT001, FBT002, ARG002 - as the base class has it
        super().increase_indent(flow, False)  # noqa: FBT003 - likewise


_Dumper.add_representer(str, _represent_string)
