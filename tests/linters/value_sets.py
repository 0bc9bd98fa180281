"""The sets of values with which the linters see the chart.

These are the defaults, everything enabled, and rows that have every pair of any two values: all that tests/chart sends
to the API server, with other samples where those would be findings by themselves. One more set leaves to the cluster
what it can assign, so that the exceptions for it do not depend on how the pairs are distributed over rows.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from chart.covering import covering_rows
from chart.samples import DEFAULTS, dimensions, everything_on, is_allowed, nested
from chart.samples import SAMPLES as CHART_SAMPLES

#: The digest of the image: the released chart has one.
_DIGEST = f"sha256:{'0123456789abcdef' * 4}"

#: What the samples of a user's containers lack.
_CONTAINER = {
    "image": f"registry.invalid/proxy@{_DIGEST}",
    "imagePullPolicy": "Always",
    "resources": {name: {"cpu": 1, "memory": "64Mi", "ephemeral-storage": "64Mi"} for name in ("requests", "limits")},
    "securityContext": {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    },
    **{f"{probe}Probe": {"httpGet": {"path": f"/{probe}", "port": 9000}} for probe in ("liveness", "readiness")},
}

#: Samples for the linters instead of existing namespaces, low user IDs, and containers without limits.
_SAMPLES: Mapping[str, Any] = {
    "watchNamespaces": ["games", "rooms"],
    "podSecurityContext": {"runAsUser": 20000, "supplementalGroups": [20000]},
    "securityContext": {"runAsUser": 20000},
    **{f"{monitor}.namespace": "monitoring" for monitor in ("serviceMonitor", "podMonitor", "prometheusRule")},
    "grafanaDashboard.namespace": "monitoring",
    **{
        f"{prefix}{name}": [container | _CONTAINER for container in CHART_SAMPLES[name]]
        for prefix in ("", "resolver.")
        for name in ("extraContainers", "extraInitContainers")
    },
}

#: Accounts and user ids that the cluster assigns.
_ASSIGNED: Mapping[str, Any] = {
    "serviceAccount.create": False,
    "resolver.serviceAccount.create": False,
    "global.compatibility.openshift.adaptSecurityContext": "force",
}


@dataclass(frozen=True, slots=True)
class ValueSet:
    """A set of values.

    Attributes:
        name: its name; also the namespace of the release.
        values: the values.
        changed: the paths of the values that differ from their defaults.
    """

    name: str
    values: Mapping[str, Any]
    changed: frozenset[str]


def value_sets(*, is_long: bool) -> Iterator[ValueSet]:
    """Yields the defaults and everything enabled; if `is_long`, also what the cluster assigns, and all pairs."""
    yield _value_set("defaults", {path: options[0] for path, options in dimensions("defaults").items()})
    everything = everything_on("everything")
    yield _value_set("everything", {path: _value_at(path, everything) for path in dimensions("everything")})
    if is_long:
        assigned = {path: _value_at(path, everything) for path in dimensions("assigned")}
        yield _value_set("assigned", assigned | _ASSIGNED)
        for number, row in enumerate(covering_rows(dimensions("pairs"), is_allowed)):
            name = f"pairs-{number}"
            yield _value_set(name, {path: [name] if value == ["pairs"] else value for path, value in row.items()})


def _value_set(name: str, row: Mapping[str, Any]) -> ValueSet:
    linted = {
        path: _SAMPLES[path] if value == CHART_SAMPLES.get(path) and path in _SAMPLES else value
        for path, value in row.items()
    }
    changed = frozenset(path for path, value in linted.items() if value != DEFAULTS[path])
    return ValueSet(name, nested(linted | {"image.digest": _DIGEST}), changed)


def _value_at(path: str, values: Mapping[str, Any]) -> Any:
    for key in path.split("."):
        values = values[key]
    return values
