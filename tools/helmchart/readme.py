"""The chart's README: how it is installed, and a table of all values."""

from collections.abc import Iterator

from helmchart.fields import Value, values_of
from helmchart.values import Values

_INTRODUCTION = """\
<!-- Generated from the types in tools/helmchart by `make generate`. Do not edit. -->

# The chart of StatefulRoute

Sticky, stateful routing on Kubernetes: bindings of users to pods as API objects. The chart installs the two kinds,
their admission policies and the operator, and with `resolver.enabled` what tells gateways where a user is.

    helm install statefulroute charts/statefulroute --namespace statefulroute-system --create-namespace --wait
    helm test statefulroute --namespace statefulroute-system

Kubernetes {oldest} or later; Helm 3.17 or later, or Helm 4. The image has to be where the nodes find it:
`--set image.repository=...`.

What is kept over upgrades and the uninstallation, how to serve some namespaces only, and how to monitor it:
[docs/install.md](../../docs/install.md).

## Values

Kubernetes objects ("as a container has them") are judged by the API server; everything else by `values.schema.json`,
before anything is sent.

| value | default | what it is |
| --- | --- | --- |
"""


def readme(oldest_kubernetes: str) -> str:
    """The file's text.

    Args:
        oldest_kubernetes: The oldest version that the chart can be installed on.
    """
    rows = "".join(f"| {' | '.join(_row(value))} |\n" for value in values_of(Values()) if not value.is_group)
    return _INTRODUCTION.format(oldest=oldest_kubernetes) + rows


def _row(value: Value) -> Iterator[str]:
    yield f"`{'.'.join(value.path)}`"
    yield f"`{value.default_text}`"
    choices = f" One of: {', '.join(f'`{choice}`' for choice in value.choices)}." if value.choices else ""
    yield (value.description + choices).replace("|", "\\|")
