"""What is in a rendering of the chart."""

from typing import Any

import yaml


def documents(text: str) -> list[dict[str, Any]]:
    """The objects."""
    return [item for item in yaml.safe_load_all(text) if item]


def pod_specs(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The specs of all pods, those that workloads and jobs will make included."""
    specs = [item["spec"] for item in items if item["kind"] == "Pod"]
    return specs + [item["spec"]["template"]["spec"] for item in items if item["kind"] in {"Deployment", "Job"}]


def containers(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The containers of all pods."""
    return [each for spec in pod_specs(items) for each in [*spec.get("initContainers", []), *spec["containers"]]]
