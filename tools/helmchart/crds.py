"""Generates the templates of the CustomResourceDefinitions and admission policies from `statefulroute.api`."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from helmchart.text import TEMPLATE_HEADER, template_text
from statefulroute.api.admission import POLICIES
from statefulroute.api.crd import custom_resource_definition
from statefulroute.api.podlink import PodLink
from statefulroute.api.statefulroute import StatefulRoute

#: An argument of the metadata: uninstalling must not delete links and routes, which are deleted with their CRDs.
_KEEP = ' "annotations" (.Values.crds.keep | ternary (dict "helm.sh/resource-policy" "keep") dict)'

#: The resources of the value `workloadKinds`, at the end of the resources that the operator may annotate.
_WORKLOAD_KINDS = """\
      {{- range .Values.workloadKinds }}
      - apiGroups:
          - {{ .apiGroup | quote }}
        apiVersions:
          - '*'
        operations:
          - UPDATE
        resources:
          - {{ .resource }}
      {{- end }}
"""


def crds_and_policies() -> Iterator[tuple[Path, str]]:
    """Yields each template: its path in the chart's folder, and its text."""
    for model in (PodLink, StatefulRoute):
        objects = [custom_resource_definition(model)]
        yield Path("templates/crds") / f"{model.names.plural}.yaml", _template("crds.install", objects, _KEEP)
    for name, policy in POLICIES.items():
        text = _template("admissionPolicies.install", policy())
        if name == "operator-writes":
            text = text.replace("  matchConditions:\n", f"{_WORKLOAD_KINDS}  matchConditions:\n", 1)
        yield Path("templates/admission") / f"{name}.yaml", text


def _template(condition: str, objects: Sequence[dict[str, Any]], more_arguments: str = "") -> str:
    documents = "---\n".join(_document(item, more_arguments) for item in objects)
    return f"{TEMPLATE_HEADER}{{{{- if .Values.{condition} }}}}\n{documents}{{{{- end }}}}\n"


def _document(item: dict[str, Any], more_arguments: str) -> str:
    head = template_text({field: item[field] for field in ("apiVersion", "kind")})
    arguments = f'"root" . "component" "api" "name" "{item["metadata"]["name"]}"{more_arguments}'
    metadata = f'metadata:\n  {{{{- include "statefulroute.metadata" (dict {arguments}) | nindent 2 }}}}\n'
    return f"{head}{metadata}{template_text({'spec': item['spec']})}"
