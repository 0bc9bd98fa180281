"""The values of the resolver: its responses, its clients, and its pods."""

from typing import Annotated

from pydantic import Field

from helmchart.certificates import Certificate
from helmchart.model import CipherSuites, MinTlsVersion, Object, Seconds, StringMap, ValueGroup, text_pattern
from helmchart.pods import (
    Containers,
    EnvironmentSources,
    EnvironmentVariables,
    InitContainers,
    PodDisruptionBudget,
    Probe,
    ServiceAccount,
    ServiceNetwork,
    VolumeMounts,
    Volumes,
    resources,
)
from statefulroute.monitoring.tls_protocol import TlsVersion
from statefulroute.resolver.settings import ENDPOINT_HEADER
from statefulroute.resolver.uid_sources import MCP_PARAM_NAME
from statefulroute.resolver.unlinked_uid import UnlinkedUidPolicy

#: The ports of its Services: for HTTP (look-ups, gateways), for gRPC (ext_authz, ext_proc), for probes and Prometheus.
HTTP_PORT, GRPC_PORT, METRICS_PORT = 8080, 9002, 8081

_NAME = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"

#: The location of a uid in a request.
UidSource = Annotated[
    str,
    Field(
        **text_pattern(
            f"(header|cookie|query):.+|mcp-param:{MCP_PARAM_NAME}|jwt:[^@]+(@[^@]+)?",
            "header:NAME, cookie:NAME, query:NAME, mcp-param:NAME, jwt:CLAIM or jwt:CLAIM@HEADER",
        )
    ),
]

Count = Annotated[int, Field(ge=1, le=1000)]

Port = Annotated[int, Field(ge=1, le=65535)]

Rate = Annotated[int, Field(ge=1, le=100_000)]


class Autoscaling(ValueGroup):
    """The HorizontalPodAutoscaler, of `autoscaling/v2`."""

    enabled: bool = Field(
        default=False, description="Whether to create it; it takes precedence over `resolver.replicas`."
    )
    min_replicas: Count = Field(2, description="The minimum number of pods.")
    max_replicas: Count = Field(10, description="The maximum number of pods.")
    target_cpu_utilization_percentage: Count = Field(
        70,
        alias="targetCPUUtilizationPercentage",
        description="The target CPU utilization, in percent of the request in `resolver.resources`.",
    )
    metrics: list[Object] = Field(
        [], description="Metrics to scale by instead, as the `metrics` of a HorizontalPodAutoscaler; empty is the CPU."
    )
    behavior: Object = Field({}, description="How fast it scales, as the `behavior` of a HorizontalPodAutoscaler.")


class ResolverService(ServiceNetwork):
    """The resolver's Service."""

    headless: bool = Field(
        default=False,
        description="Whether its DNS name resolves to each pod instead of one address: Envoy keeps "
        "one gRPC connection per "
        "address, and so uses one pod.",
    )
    http_port: Port = Field(HTTP_PORT, description="For look-ups, ext_authz and auth_request.")
    grpc_port: Port = Field(GRPC_PORT, description="For ext_authz and ext_proc over gRPC.")
    labels: StringMap = Field({}, description="Additional labels.")
    annotations: StringMap = Field({}, description="Its annotations.")


class MetricsService(ServiceNetwork):
    """The Service of the resolver's metrics, apart from the one that gateways reach."""

    port: Port = Field(METRICS_PORT, description="Its port.")
    labels: StringMap = Field({}, description="Additional labels.")
    annotations: StringMap = Field({}, description="Its annotations.")


class Picker(ValueGroup):
    """The endpoint picker: Envoy's ext_authz and ext_proc over gRPC."""

    enabled: bool = Field(default=True, description="Whether it is served.")
    default_route: str = Field(
        "",
        description="The StatefulRoute of calls that name none, as `NAMESPACE/NAME`; empty refuses them.",
        **text_pattern(f"({_NAME}/{_NAME})?", "NAMESPACE/NAME of a StatefulRoute, like play/game, or nothing"),
    )
    uid_from_response: str = Field(
        "",
        description="Over ext_proc, link the uid in this header of a response to the pod that has sent it, like "
        "`mcp-session-id`, for servers that begin sessions and do not link them; empty reads no responses.",
        **text_pattern("[A-Za-z0-9_-]*", "the name of a header, like mcp-session-id, or nothing"),
    )


class Authentication(ValueGroup):
    """The authentication of clients."""

    token_audience: str = Field(
        "",
        description="Accept only ServiceAccount tokens with this audience; empty accepts all clients. It needs a "
        "ClusterRole, even if `watchNamespaces` is set: the API server reviews the tokens.",
    )
    allow_users: list[str] = Field(
        [],
        description="Accept only tokens of these users (`system:serviceaccount:play:gateway`) and of the account of "
        "`helm test`; empty accepts every user whom the API server authenticates.",
    )


class ResolverTls(ValueGroup):
    """The TLS settings of the resolver."""

    secret_name: str = Field(
        "",
        description="A Secret with `tls.crt` and `tls.key`; empty disables TLS. Renewed certificates need no restart.",
    )
    certificate: Certificate = Field(
        Certificate(), description="The Certificate of its Service, if cert-manager issues it."
    )
    client_certificates: bool = Field(
        default=False,
        description="Whether clients need a certificate of the authority in the Secret's `ca.crt`. "
        "`helm test` presents "
        "the Secret's own certificate, which must be valid for clients, too.",
    )
    min_version: MinTlsVersion = Field(TlsVersion.TLS_1_2)
    cipher_suites: CipherSuites = Field([])


class ResolverNetworkPolicy(ValueGroup):
    """The resolver's network policy."""

    enabled: bool = Field(
        default=True, description="Whether to create it: it allows connections only to the resolver's ports."
    )
    ingress_from: list[Object] = Field(
        [],
        description="The allowed clients, in the format of `networkPolicy.ingressFrom`, besides `helm test`; empty "
        "allows all.",
    )
    metrics_from: list[Object] = Field(
        [], description="The allowed clients of the metrics port, in the same format; empty allows all."
    )
    egress: list[Object] = Field(
        [],
        description="The allowed destinations, as the `egress` of `networkPolicy.kind`; empty allows all. It needs "
        "the API server, DNS and the receiver of `metrics.otlp.endpoint`.",
    )


class Resolver(ValueGroup):
    """The resolver, which gives gateways the pod of a user."""

    enabled: bool = Field(default=False, description="Whether to run it; see `docs/reference/resolver.md`.")
    replicas: Annotated[int, Field(ge=0, le=1000)] = Field(
        2, description="The number of pods; each answers every request."
    )
    autoscaling: Autoscaling = Field(Autoscaling(), description="Scales the pods with the load.")
    unknown_uid: UnlinkedUidPolicy = Field(
        UnlinkedUidPolicy.BIND,
        description="What happens to a gateway's request whose uid is not linked: bind it to the best pod, pass it to "
        "any available pod, or refuse it.",
    )
    uid_from: list[UidSource] = Field(
        ["header:x-user-id"],
        min_length=1,
        description="Where a gateway's request contains the uid; the first match counts: `header:NAME`, "
        "`cookie:NAME`, `query:NAME`, `mcp-param:NAME`, `jwt:CLAIM` or `jwt:CLAIM@HEADER`.",
    )
    endpoint_header: str = Field(
        ENDPOINT_HEADER,
        description="The header that carries the pod's address to the gateway.",
        **text_pattern("[A-Za-z0-9_-]+", "the name of a header, like x-gateway-destination-endpoint"),
    )
    temporary_links: bool = Field(
        default=True,
        description="Whether its new links expire if they are not used for the route's `links.temporarySeconds`; "
        "otherwise they stay until they are removed.",
    )
    bindings_per_second: Rate = Field(
        100, description="The maximum number of new links per route, second and pod of the resolver."
    )
    link_changes: bool = Field(
        default=False,
        description="Whether clients may unlink users, and claim them for a pod; it grants the resolver the right to "
        "delete links. Set `resolver.authentication` or `resolver.tls.clientCertificates`, too: any other client that "
        "reaches it may do so.",
    )
    requests_per_second: Annotated[int, Field(ge=0, le=100_000)] = Field(
        0, description="The maximum number of requests per client, second and pod of the resolver; 0 is unlimited."
    )
    hold_seconds: Annotated[int, Field(ge=0, le=3600)] = Field(
        0,
        description="How long the resolver holds a request of a user until a pod takes them, instead of failing it; 0 "
        "holds none. Gateways must wait longer.",
    )
    max_held: Annotated[int, Field(ge=1, le=100_000)] = Field(
        1000, description="The maximum number of requests that one pod of the resolver holds."
    )
    max_age_seconds: Annotated[int, Field(ge=0, le=86_400)] = Field(
        0,
        description="The maximum age of the cache in seconds; look-ups fail while the last event of the API server is "
        "older. 0 is unlimited. In a quiet cluster, an age of a minute is normal.",
    )
    drain_seconds: Annotated[int, Field(ge=0, le=3600)] = Field(
        10,
        description="How long a terminating pod keeps answering, for gateways that have not noticed yet. Less than "
        "`resolver.terminationGracePeriodSeconds`.",
    )
    picker: Picker = Field(Picker(), description="The endpoint picker, for Envoy's ext_authz and ext_proc over gRPC.")
    authentication: Authentication = Field(Authentication(), description="The authentication of clients by tokens.")
    tls: ResolverTls = Field(ResolverTls(), description="TLS, and the authentication of clients by certificates.")
    service: ResolverService = Field(ResolverService(), description="The Service that gateways call.")
    metrics_service: MetricsService = Field(MetricsService(), description="The Service of its metrics.")
    service_account: ServiceAccount = Field(ServiceAccount(), description="The ServiceAccount of its pods.")
    extra_args: list[str] = Field([], description="Additional options of `statefulroute resolver`.")
    extra_env: EnvironmentVariables = Field([])
    extra_env_from: EnvironmentSources = Field([])
    extra_volumes: Volumes = Field([])
    extra_volume_mounts: VolumeMounts = Field([])
    extra_init_containers: InitContainers = Field([])
    extra_containers: Containers = Field([])
    deployment_annotations: StringMap = Field({}, description="Annotations of its Deployment.")
    pod_labels: StringMap = Field({}, description="Additional labels of its pods.")
    pod_annotations: StringMap = Field({}, description="Annotations of its pods.")
    resources: Object = Field(
        resources(),
        description="Resources of its container. It keeps links and routes in memory, by the rule for the operator.",
    )
    priority_class_name: str = Field("", description="The priority class of its pods: users wait while none runs.")
    node_selector: StringMap = Field(
        {},
        description="Labels of the nodes that its pods may run on; empty is `nodeSelector`, whose `kubernetes.io/os` "
        "holds in any case.",
    )
    tolerations: list[Object] = Field([], description="Tolerations of its pods; empty is `tolerations`.")
    affinity: Object = Field({}, description="The affinity of its pods.")
    topology_spread_constraints: list[Object] = Field(
        [], description="The spread of its pods; by default over nodes and zones, as far as possible."
    )
    strategy: Object = Field(
        {},
        description="The update strategy of its Deployment; by default a pod is replaced when its successor is ready.",
    )
    termination_grace_period_seconds: Seconds = Field(30, description="How long it may take to stop.")
    liveness_probe: Probe = Field(Probe(), description="Whether its event loop and watches work (`/healthz`).")
    readiness_probe: Probe = Field(
        Probe(period_seconds=5), description="Whether its caches are synced, and it is not stopping (`/readyz`)."
    )
    pod_disruption_budget: PodDisruptionBudget = Field(
        PodDisruptionBudget(), description="How many pods may be unavailable while nodes are drained."
    )
    network_policy: ResolverNetworkPolicy = Field(
        ResolverNetworkPolicy(), description="The allowed connections to it and from it."
    )
