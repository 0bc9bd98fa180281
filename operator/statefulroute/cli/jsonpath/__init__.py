r"""JSONPath templates in the dialect of kubectl, which is that of `k8s.io/client-go/util/jsonpath`; pure.

No library for Python has this dialect: it is a template (`{range .items[*]}{.metadata.name}{"\n"}{end}`), its filters
compare by type, and it prints values as Go does.
"""

from statefulroute.cli.jsonpath.errors import JSONPathError
from statefulroute.cli.jsonpath.evaluation import find_results, find_values
from statefulroute.cli.jsonpath.parser import parse, relaxed_expression
from statefulroute.cli.jsonpath.syntax import Template
from statefulroute.cli.jsonpath.text import as_go_text, as_json, as_text

__all__ = [
    "JSONPathError",
    "Template",
    "as_go_text",
    "as_json",
    "as_text",
    "find_results",
    "find_values",
    "parse",
    "relaxed_expression",
]
