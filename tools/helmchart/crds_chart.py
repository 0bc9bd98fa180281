"""Generates the chart of the CustomResourceDefinitions alone, for those who manage them apart from the operator."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from helmchart.chart_file import crds_chart_file
from helmchart.fields import values_of
from helmchart.model import IsEnabled, SharedValues, StringMap, ValueGroup
from helmchart.readme import rows
from helmchart.schema import plain_schema
from helmchart.text import TEMPLATE_HEADER, template_text
from helmchart.values_file import values_file
from statefulroute.api.crd import custom_resource_definition
from statefulroute.api.podlink import PodLink
from statefulroute.api.statefulroute import StatefulRoute

_README = """\
<!-- Generated from the types in tools/helmchart by `make generate`. Do not edit. -->

# Helm chart of the CRDs of StatefulRoute

The CustomResourceDefinitions `podlinks.statefulroute.io` and `statefulroutes.statefulroute.io` alone, for those who
manage CRDs apart from the operator. Install it before the chart `statefulroute`, which then gets `crds.install=false`:

    helm install statefulroute-crds charts/statefulroute-crds --namespace statefulroute-system --create-namespace
    helm install statefulroute charts/statefulroute --namespace statefulroute-system --wait --set crds.install=false

[The install page](../../docs/reference/install.md#crds-in-a-release-of-their-own) describes how this release takes over
the CRDs of another one, and upgrades.

## Values

| value | default | description |
| --- | --- | --- |
"""

_METADATA = """\
metadata:
  name: {name}
  labels: {{{{- include "statefulroute-crds.labels" . | nindent 4 }}}}
  {{{{- with include "statefulroute-crds.annotations" . }}}}
  annotations: {{{{- . | nindent 4 }}}}
  {{{{- end }}}}
"""


class CRDGlobal(SharedValues):
    """The values of all charts of an installation, which the chart's own ones take precedence over."""

    common_labels: StringMap = Field({}, description="Additional labels of both CRDs.")


class CRDValues(ValueGroup):
    """The values of the chart."""

    global_: CRDGlobal = Field(CRDGlobal(), alias="global", description="The values of all charts of an installation.")
    enabled: IsEnabled = True
    keep: bool = Field(
        default=True,
        description="Whether uninstalling keeps the CRDs: with them, all links and routes would be deleted.",
    )
    common_labels: StringMap = Field({}, description="Additional labels of both CRDs.")
    common_annotations: StringMap = Field({}, description="Additional annotations of both CRDs.")


def crds_chart(root: Path) -> Iterator[tuple[Path, str]]:
    """Yields each generated file: its path in the chart's folder, and its text.

    Args:
        root: The repository's root.
    """
    yield Path("Chart.yaml"), crds_chart_file(root)
    yield Path("README.md"), _README + rows(values_of(CRDValues()))
    yield Path("values.yaml"), values_file(CRDValues())
    yield Path("values.schema.json"), plain_schema(CRDValues)
    for model in (PodLink, StatefulRoute):
        yield Path("templates") / f"{model.names.plural}.yaml", _template(model)


def _template(model: type[PodLink | StatefulRoute]) -> str:
    item = custom_resource_definition(model)
    head = template_text({field: item[field] for field in ("apiVersion", "kind")})
    metadata = _METADATA.format(name=model.names.crd_name)
    return f"{TEMPLATE_HEADER}{head}{metadata}{template_text({'spec': item['spec']})}"
