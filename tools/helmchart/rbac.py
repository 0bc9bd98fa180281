"""Generates the rules of the chart's roles from `statefulroute.api`, as named templates."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from helmchart.text import TEMPLATE_HEADER, template_text
from statefulroute.api import rbac

#: Placeholders of names that depend on the installation, and their templates.
_LEASE, _OPERATOR = "name-of-the-lease", "name-of-the-operator"
_NAMES = {
    _LEASE: '{{ include "statefulroute.leaseName" . }}',
    _OPERATOR: '{{ include "statefulroute.componentName" (list . "operator") }}',
}


def rbac_rules() -> tuple[Path, str]:
    """Returns the template: its path in the chart's folder, and its text."""
    pieces = "".join(
        f'\n{{{{- define "statefulroute.rules.{name}" -}}}}\n'
        f"{_with_names(template_text(role['rules']))}{{{{- end }}}}\n"
        for name, role in _roles()
    )
    return Path("templates/_rules.tpl"), TEMPLATE_HEADER + pieces


def _roles() -> Iterator[tuple[str, dict[str, Any]]]:
    yield "operator", rbac.operator_cluster_role(annotates=False, plans_disruptions=False, creates_slots=False)
    yield (
        "operatorInNamespace",
        rbac.operator_role(annotates=False, plans_disruptions=False, creates_slots=False),
    )
    yield "slots", {"rules": rbac.slot_rules()}
    yield "annotations", {"rules": rbac.annotation_rules()}
    yield "operatorDisruptions", {"rules": rbac.disruption_rules()}
    yield "operatorInNamespaceDisruptions", {"rules": rbac.scale_rules()}
    yield "releaseDisruptions", {"rules": rbac.release_disruption_rules()}
    yield "lease", rbac.lease_role(_LEASE)
    yield "release", rbac.release_role(annotates=False, plans_disruptions=False)
    yield "stop", rbac.stop_role(_OPERATOR)
    yield "server", rbac.server_role()
    yield "client", rbac.client_role()
    yield "view", rbac.view_cluster_role()
    yield "edit", rbac.edit_cluster_role()
    yield "resolver", rbac.resolver_cluster_role()
    yield "resolverLinkChanges", rbac.resolver_link_changes_cluster_role()
    yield "resolverTokens", rbac.resolver_tokens_cluster_role()
    yield "metricsReviews", rbac.metrics_reviews_cluster_role()
    yield "metricsReader", rbac.metrics_reader_cluster_role()


def _with_names(text: str) -> str:
    for name, template in _NAMES.items():
        text = text.replace(name, template)
    return text
