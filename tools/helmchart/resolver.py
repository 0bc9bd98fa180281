"""The values of the resolver: what it answers, to whom, and the pods that it runs in."""

from typing import Annotated

from pydantic import Field

from helmchart.model import Object, Seconds, StringMap, ValueGroup, text_pattern
from helmchart.pods import PodDisruptionBudget, Probe, ServiceAccount, resources
from statefulroute.resolver.settings import ENDPOINT_HEADER
from statefulroute.resolver.unlinked_uid import UnlinkedUidPolicy

#: The ports of its Service: for look-ups and gateways over HTTP, for ext_proc, and for probes and Prometheus.
HTTP_PORT, GRPC_PORT, METRICS_PORT = 8080, 9002, 8081

_NAME = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"

#: Where a uid stands in a request.
UidSource = Annotated[
    str,
    Field(
        **text_pattern(
            "(header|cookie|query):.+|jwt:[^@]+(@[^@]+)?",
            "header:NAME, cookie:NAME, query:NAME, jwt:CLAIM or jwt:CLAIM@HEADER",
        )
    ),
]

Count = Annotated[int, Field(ge=1, le=1000)]

Port = Annotated[int, Field(ge=1, le=65535)]

Rate = Annotated[int, Field(ge=1, le=100_000)]


class Autoscaling(ValueGroup):
    """The HorizontalPodAutoscaler, of `autoscaling/v2`."""

    enabled: bool = Field(default=False, description="Whether there is one; it wins over `resolver.replicas`.")
    min_replicas: Count = Field(2, description="How many pods at least.")
    max_replicas: Count = Field(10, description="How many at the most.")
    target_cpu_utilization_percentage: Count = Field(
        70,
        alias="targetCPUUtilizationPercentage",
        description="The CPU time that they should use, of what `resolver.resources` asks for.",
    )
    metrics: list[Object] = Field(
        [], description="What to scale by instead, as the `metrics` of a HorizontalPodAutoscaler; empty is the CPU."
    )
    behavior: Object = Field({}, description="How fast, as the `behavior` of a HorizontalPodAutoscaler.")


class ResolverService(ValueGroup):
    """The resolver's Service."""

    headless: bool = Field(
        default=False,
        description="Whether its name leads to each pod, and not to one address: Envoy keeps one gRPC connection to an "
        "address, and with it to one pod.",
    )
    http_port: Port = Field(HTTP_PORT, description="For look-ups, ext_authz and auth_request.")
    grpc_port: Port = Field(GRPC_PORT, description="For ext_proc.")
    metrics_port: Port = Field(METRICS_PORT, description="For Prometheus.")
    labels: StringMap = Field({}, description="More labels.")
    annotations: StringMap = Field({}, description="Its annotations.")


class Picker(ValueGroup):
    """The endpoint picker: Envoy's ext_proc over gRPC."""

    enabled: bool = Field(default=True, description="Whether it is answered.")
    default_route: str = Field(
        "",
        description="The StatefulRoute of calls that name none, as `NAMESPACE/NAME`; empty refuses them.",
        **text_pattern(f"({_NAME}/{_NAME})?", "NAMESPACE/NAME of a StatefulRoute, like play/game, or nothing"),
    )


class Authentication(ValueGroup):
    """Who may ask."""

    token_audience: str = Field(
        "",
        description="Let in only who sends a ServiceAccount's token for this audience; empty is everybody. It needs a "
        "ClusterRole, also where `watchNamespaces` is set: the API server reviews the tokens.",
    )
    allow_users: list[str] = Field(
        [],
        description="Of these, only the named users (`system:serviceaccount:play:gateway`) and the account of "
        "`helm test`; empty is each that the API server knows.",
    )


class ResolverTls(ValueGroup):
    """How connections to the resolver are made secure."""

    secret_name: str = Field(
        "", description="A Secret with `tls.crt` and `tls.key`; empty is no TLS. Renewed ones need no restart."
    )
    client_certificates: bool = Field(
        default=False,
        description="Whether callers need a certificate of the authority in the Secret's `ca.crt`. `helm test` shows "
        "the Secret's own, which must be good for clients, too.",
    )


class ResolverNetworkPolicy(ValueGroup):
    """The resolver's NetworkPolicy."""

    enabled: bool = Field(default=True, description="Whether there is one: nothing but its ports can be reached.")
    ingress_from: list[Object] = Field(
        [],
        description="Who may ask it, as the `from` of a NetworkPolicy, with `helm test`; empty is everybody.",
    )
    metrics_from: list[Object] = Field([], description="Who may reach the metrics' port; empty is everybody.")
    egress: list[Object] = Field(
        [],
        description="Whom it may reach, as the `egress` of a NetworkPolicy; empty is everybody. It needs the API "
        "server and DNS.",
    )


class Resolver(ValueGroup):
    """The resolver: it tells gateways which pod holds a user."""

    enabled: bool = Field(default=False, description="Whether it runs; `docs/resolver.md` says what it does.")
    replicas: Annotated[int, Field(ge=0, le=1000)] = Field(2, description="Its pods; each answers everything.")
    autoscaling: Autoscaling = Field(Autoscaling(), description="Pods as the load needs them.")
    unknown_uid: UnlinkedUidPolicy = Field(
        UnlinkedUidPolicy.BIND,
        description="What becomes of a gateway's request whose uid is not linked: bind it to the best pod, pass it to "
        "any available pod, or refuse it.",
    )
    uid_from: list[UidSource] = Field(
        ["header:x-user-id"],
        min_length=1,
        description="Where a gateway's request says whose it is, the first place that has it: `header:NAME`, "
        "`cookie:NAME`, `query:NAME`, `jwt:CLAIM` or `jwt:CLAIM@HEADER`.",
    )
    endpoint_header: str = Field(
        ENDPOINT_HEADER,
        description="The header that a gateway is told the pod's address in.",
        **text_pattern("[A-Za-z0-9_-]+", "the name of a header, like x-gateway-destination-endpoint"),
    )
    temporary_links: bool = Field(
        default=False,
        description="Whether links that it makes live as long as the route's `links.temporarySeconds` says; else until "
        "they are removed.",
    )
    bindings_per_second: Rate = Field(
        100, description="How many new links of one route each pod makes in a second, at the most."
    )
    requests_per_second: Annotated[int, Field(ge=0, le=100_000)] = Field(
        0, description="How often one caller may ask a pod in a second; 0 is as often as it likes."
    )
    drain_seconds: Annotated[int, Field(ge=0, le=3600)] = Field(
        10,
        description="How long a pod that is told to stop answers on, for gateways that do not know yet. Less than "
        "`resolver.terminationGracePeriodSeconds`.",
    )
    picker: Picker = Field(Picker(), description="The endpoint picker, for Envoy's ext_proc over gRPC.")
    authentication: Authentication = Field(Authentication(), description="Who may ask, by their tokens.")
    tls: ResolverTls = Field(ResolverTls(), description="TLS, and who may ask by their certificates.")
    service: ResolverService = Field(ResolverService(), description="The Service that gateways ask.")
    service_account: ServiceAccount = Field(ServiceAccount(), description="Whom it is.")
    extra_args: list[str] = Field([], description="More options of `statefulroute resolver`.")
    extra_env: list[Object] = Field([], description="More environment variables, as a container has them.")
    extra_env_from: list[Object] = Field([], description="Secrets and ConfigMaps of them, as a container has them.")
    pod_labels: StringMap = Field({}, description="More labels of its pods.")
    pod_annotations: StringMap = Field({}, description="Annotations of its pods.")
    resources: Object = Field(
        resources(), description="Of its container. It has every link in memory, as the operator has."
    )
    priority_class_name: str = Field("", description="The priority of its pods: users wait while there is none.")
    affinity: Object = Field({}, description="The affinity of its pods.")
    topology_spread_constraints: list[Object] = Field(
        [], description="How its pods are spread; empty is over nodes and over zones, as far as there are any."
    )
    termination_grace_period_seconds: Seconds = Field(30, description="How long it may take to stop.")
    liveness_probe: Probe = Field(Probe(), description="Whether its event loop and watches are alive (`/healthz`).")
    readiness_probe: Probe = Field(
        Probe(period_seconds=5), description="Whether its caches are synced, and it is not stopping (`/readyz`)."
    )
    pod_disruption_budget: PodDisruptionBudget = Field(
        PodDisruptionBudget(), description="How many pods a drain of nodes may take."
    )
    network_policy: ResolverNetworkPolicy = Field(
        ResolverNetworkPolicy(), description="Who may reach it, and whom it may."
    )
