"""The values that shape the operator's pods and what stands around them."""

from typing import Annotated

from pydantic import Field

from helmchart.model import Object, OptionalName, Seconds, StringMap, ValueGroup, text_pattern

#: The user of the image.
USER = 65532

#: The port that probes and Prometheus ask.
PORT = 8080


def resources() -> Object:
    """What the operator's container asks for: room for the 170 MiB that 100,000 links take."""
    return {"requests": {"cpu": "100m", "memory": "192Mi"}, "limits": {"memory": "512Mi"}}


def pod_security() -> Object:
    """What Pod Security `restricted` demands of a pod."""
    return {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "runAsGroup": USER,
        "fsGroup": USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> Object:
    """What Pod Security `restricted` demands of a container, and a file system that nobody writes to."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


class ServiceAccount(ValueGroup):
    """The operator's ServiceAccount."""

    create: bool = Field(default=True, description="Whether the chart makes it.")
    name: OptionalName = Field(
        "", description="Its name; empty is the Deployment's, or `default` where it is not made."
    )
    annotations: StringMap = Field({}, description="Its annotations.")


class Probe(ValueGroup):
    """How often the kubelet asks."""

    period_seconds: Seconds = Field(10, description="How often.")
    timeout_seconds: Seconds = Field(5, description="How long an answer may take.")
    failure_threshold: Annotated[int, Field(ge=1, le=1000)] = Field(3, description="How many failures in a row count.")


class Service(ValueGroup):
    """The Service of the metrics."""

    port: Annotated[int, Field(ge=1, le=65535)] = Field(PORT, description="Its port.")
    labels: StringMap = Field({}, description="More labels.")
    annotations: StringMap = Field({}, description="Its annotations.")


class PodDisruptionBudget(ValueGroup):
    """The PodDisruptionBudget."""

    enabled: bool = Field(default=True, description="Whether there is one.")
    max_unavailable: int | str = Field(
        1,
        description="How many pods may be missing: a number or a percentage.",
        **text_pattern("[0-9]{1,5}|(100|[1-9]?[0-9])%", "a number like 1, or a percentage like 50%"),
    )


class NetworkPolicy(ValueGroup):
    """The NetworkPolicy."""

    enabled: bool = Field(
        default=True, description="Whether there is one: nothing but the metrics' port can be reached."
    )
    ingress_from: list[Object] = Field(
        [], description="Who may reach that port, as the `from` of a NetworkPolicy; empty is everybody."
    )
    egress: list[Object] = Field(
        [],
        description="Whom the operator may reach, as the `egress` of a NetworkPolicy; empty is everybody. It needs the "
        "API server, DNS, pods whose load it asks for over HTTP, and the collector of traces.",
    )
