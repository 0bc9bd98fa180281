"""Generates the chart's README: how to install it, and a table of all values."""

from collections.abc import Iterable, Iterator

from helmchart.fields import Value, values_of
from helmchart.values import Values

_INTRODUCTION = """\
<!-- Generated from the types in tools/helmchart by `make generate`. Do not edit. -->

# Helm chart of StatefulRoute

Sticky, stateful routing on Kubernetes: bindings of users to pods as API objects. The chart installs the CRDs of both
kinds, their admission policies and the operator, and with `resolver.enabled` the resolver, which gives gateways the pod
of a user.

    helm install statefulroute charts/statefulroute --namespace statefulroute-system --create-namespace --wait
    helm test statefulroute --namespace statefulroute-system

The chart needs Kubernetes {oldest} or later, and Helm 3.17 or later or Helm 4. The nodes must be able to pull the
image: set `image.repository`.

[The install page](../../docs/reference/install.md) describes upgrades, uninstallation, serving only some namespaces,
and monitoring.

## Values

The API server validates values that are Kubernetes objects ("in the format of a container"). `values.schema.json`
validates everything else before anything is sent.

| value | default | description |
| --- | --- | --- |
"""


def readme(oldest_kubernetes: str) -> str:
    """Returns the text of the file.

    Args:
        oldest_kubernetes: The oldest supported version of Kubernetes.
    """
    return _INTRODUCTION.format(oldest=oldest_kubernetes) + rows(values_of(Values()))


def rows(values: Iterable[Value]) -> str:
    """Returns the rows of the table of values."""
    return "".join(f"| {' | '.join(_row(value))} |\n" for value in values if not value.is_group)


def _row(value: Value) -> Iterator[str]:
    yield f"`{'.'.join(value.path)}`"
    yield f"`{value.default_text}`"
    choices = f" One of: {', '.join(f'`{choice}`' for choice in value.choices)}." if value.choices else ""
    yield (value.description + choices).replace("|", "\\|")
