"""The values of the operator's pods and the objects around them."""

from typing import Annotated, Literal

from pydantic import Field

from helmchart.model import NetworkPolicyKind, Object, OptionalName, Seconds, StringMap, ValueGroup, text_pattern

#: A family of IP addresses.
IPFamily = Literal["IPv4", "IPv6"]

#: The user id in the image.
USER = 65532

#: The port of probes and metrics.
PORT = 8080


#: Values that the operator's pods and the resolver's pods have.
EnvironmentVariables = Annotated[
    list[Object], Field(description="Additional environment variables, in the format of a container.")
]
EnvironmentSources = Annotated[
    list[Object],
    Field(description="Secrets and ConfigMaps with environment variables, in the format of a container."),
]
Volumes = Annotated[list[Object], Field(description="Additional volumes, in the format of a pod.")]
VolumeMounts = Annotated[
    list[Object],
    Field(description="Additional mounts of volumes, in the format of a container; `/tmp` is mounted."),
]
InitContainers = Annotated[
    list[Object],
    Field(
        description="Containers that end before the others start, in the format of a pod; with "
        "`restartPolicy: Always` they go on as sidecars."
    ),
]
Containers = Annotated[
    list[Object],
    Field(
        description="Containers beside the chart's own, in the format of a pod. They have no token of the "
        "ServiceAccount, unless they mount the volume `kube-api-access` at "
        "`/var/run/secrets/kubernetes.io/serviceaccount`."
    ),
]


def resources() -> Object:
    """Resources of a container of the operator or the resolver: requests for 100,000 links, limits for 250,000.

    `docs/explanation/scale.md` has the rule, and the measurements.
    """
    return {"requests": {"cpu": "100m", "memory": "192Mi"}, "limits": {"memory": "512Mi"}}


def command_resources() -> Object:
    """Resources of a container that runs one command."""
    return {"requests": {"cpu": "50m", "memory": "96Mi"}, "limits": {"memory": "256Mi"}}


def pod_security() -> Object:
    """The security context of a pod that passes Pod Security `restricted`."""
    return {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "runAsGroup": USER,
        "fsGroup": USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> Object:
    """The security context of a container that passes Pod Security `restricted`, with a read-only file system."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


class ServiceAccount(ValueGroup):
    """The operator's ServiceAccount."""

    create: bool = Field(default=True, description="Whether the chart creates it.")
    name: OptionalName = Field(
        "", description="Its name; empty is the Deployment's name, or `default` if the chart does not create it."
    )
    annotations: StringMap = Field({}, description="Its annotations.")


class Probe(ValueGroup):
    """The settings of a probe."""

    period_seconds: Seconds = Field(10, description="Seconds between two probes.")
    timeout_seconds: Seconds = Field(5, description="The timeout of a probe in seconds.")
    failure_threshold: Annotated[int, Field(ge=1, le=1000)] = Field(
        3, description="How many failures in a row make the probe fail."
    )


class ServiceNetwork(ValueGroup):
    """The networks of a Service."""

    ip_family_policy: str = Field(
        "",
        description="`SingleStack`, `PreferDualStack` or `RequireDualStack`; empty is the cluster's default.",
        **text_pattern(
            "(SingleStack|PreferDualStack|RequireDualStack)?",
            "SingleStack, PreferDualStack or RequireDualStack, or nothing",
        ),
    )
    ip_families: list[IPFamily] = Field(
        [],
        max_length=2,
        json_schema_extra={"uniqueItems": True},
        description="`IPv4`, `IPv6` or both, the first of them for its cluster IP; empty is the cluster's default.",
    )
    traffic_distribution: str = Field(
        "",
        description="Which of its pods get a connection: `PreferSameZone` or `PreferSameNode` from Kubernetes 1.34, "
        "`PreferClose` from 1.31; empty is any of them.",
        **text_pattern(
            "(PreferSameZone|PreferSameNode|PreferClose)?", "PreferSameZone, PreferSameNode or PreferClose, or nothing"
        ),
    )


class Service(ServiceNetwork):
    """The Service of the metrics."""

    port: Annotated[int, Field(ge=1, le=65535)] = Field(PORT, description="Its port.")
    labels: StringMap = Field({}, description="Additional labels.")
    annotations: StringMap = Field({}, description="Its annotations.")


class PodDisruptionBudget(ValueGroup):
    """The PodDisruptionBudget."""

    enabled: bool = Field(default=True, description="Whether to create it.")
    max_unavailable: int | str = Field(
        1,
        description="How many pods may be unavailable: a number or a percentage.",
        **text_pattern("[0-9]{1,5}|(100|[1-9]?[0-9])%", "a number like 1, or a percentage like 50%"),
    )


class NetworkPolicy(ValueGroup):
    """The network policies."""

    enabled: bool = Field(
        default=True,
        description="Whether to create it: it allows connections only to the metrics port, and none to the pods of "
        "hooks and of `helm test`.",
    )
    kind: NetworkPolicyKind = Field(
        NetworkPolicyKind.KUBERNETES,
        description="The kind of all network policies of the release. Cilium must be installed for its kind, whose "
        "format the clients and destinations then have, also those of the resolver.",
    )
    ingress_from: list[Object] = Field(
        [],
        description="The allowed clients of that port, as the `from` of a NetworkPolicy, or with the `from...` fields "
        "of a CiliumNetworkPolicy; empty allows all.",
    )
    egress: list[Object] = Field(
        [],
        description="The allowed destinations of the operator and of the pods of hooks, as the `egress` of the kind; "
        "empty allows all. It needs the API server, DNS, the pods whose load it polls over HTTP, and the receivers of "
        "`tracing.endpoint` and `metrics.otlp.endpoint`.",
    )
