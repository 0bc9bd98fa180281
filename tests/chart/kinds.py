"""Finds objects in a rendering of the chart."""

from typing import Any

import yaml

#: The loader in C, where PyYAML has it, is ten times as fast.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def documents(text: str) -> list[dict[str, Any]]:
    """Parses the objects."""
    return [item for item in yaml.load_all(text, Loader=_LOADER) if item]


def pod_specs(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the specs of all pods, including the templates of workloads and jobs."""
    specs = [item["spec"] for item in items if item["kind"] == "Pod"]
    return specs + [item["spec"]["template"]["spec"] for item in items if item["kind"] in {"Deployment", "Job"}]


def containers(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the containers of all pods."""
    return [each for spec in pod_specs(items) for each in [*spec.get("initContainers", []), *spec["containers"]]]
