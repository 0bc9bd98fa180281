"""Everything that can be set when the chart is installed: one typed model, and its only description."""

from typing import Annotated

from pydantic import Field

from helmchart.model import Name, Object, OptionalName, PullPolicy, Seconds, StringMap, ValueGroup, text_pattern
from helmchart.observability import GrafanaDashboard, PodMonitor, PrometheusRule, ServiceMonitor, Tracing
from helmchart.pods import (
    NetworkPolicy,
    PodDisruptionBudget,
    Probe,
    Service,
    ServiceAccount,
    container_security,
    pod_security,
    resources,
)
from helmchart.resolver import Resolver
from statefulroute.cli.logs import LogFormat, LogLevel


class Image(ValueGroup):
    """The image that every pod of the chart runs."""

    repository: str = Field("statefulroute", min_length=1, description="Where it is, without a tag.")
    tag: str = Field("", description="Which one; empty is the chart's `appVersion`.")
    digest: str = Field(
        "",
        description="Its digest (`sha256:...`), which wins over the tag.",
        **text_pattern("(sha256:[0-9a-f]{64})?", "sha256: and 64 of 0-9 and a-f, or nothing"),
    )
    pull_policy: PullPolicy = Field(PullPolicy.IF_NOT_PRESENT, description="When a node pulls it.")


class PullSecret(ValueGroup):
    """A Secret that is there already."""

    name: str = Field(min_length=1, description="Its name, in the release's namespace.")


class ImageCredentials(ValueGroup):
    """An account of the image's registry; with it the chart makes a pull Secret of its own."""

    registry: str = Field("", description="The registry's host; empty makes no Secret.")
    username: str = Field("", description="Who pulls.")
    password: str = Field("", description="The password or token.")


class CustomResourceDefinitions(ValueGroup):
    """The CustomResourceDefinitions of PodLink and StatefulRoute: one set a cluster."""

    install: bool = Field(
        default=True, description="Whether this release brings them and upgrades them. Exactly one release should."
    )
    keep: bool = Field(
        default=True,
        description="Whether they, and with them every link and route, stay when the release is uninstalled. "
        "false deletes all links and routes with the release.",
    )


class AdmissionPolicies(ValueGroup):
    """The ValidatingAdmissionPolicies: one set a cluster."""

    install: bool = Field(
        default=True,
        description="Whether this release brings them: one refuses links into another namespace, one holds server "
        "pods to reporting on themselves. Exactly one release should.",
    )


class LeaderElection(ValueGroup):
    """How the replicas settle which of them writes: by a Lease, with the rules of client-go."""

    enabled: bool = Field(
        default=True, description="false needs `replicas: 1`, and replaces the pod by stopping it first."
    )
    lease_name: OptionalName = Field("", description="The Lease's name; empty is the Deployment's.")
    lease_duration_seconds: Seconds = Field(
        15, description="How long the others wait for a leader that says nothing. More than `renewDeadlineSeconds`."
    )
    renew_deadline_seconds: Seconds = Field(
        10,
        description="After how long without a renewal the leader stops writing. More than 1.2 times "
        "`retryPeriodSeconds`.",
    )
    retry_period_seconds: Seconds = Field(2, description="How often the Lease is renewed, or tried for.")


class Rbac(ValueGroup):
    """What RBAC objects the chart makes."""

    create: bool = Field(default=True, description="Whether the operator is given the rights that it uses.")
    application_roles: bool = Field(
        default=True,
        description="Whether roles for applications come with it (`...-server` for pods that hold users, `...-client` "
        "for those that call them): ClusterRoles to be bound in a namespace, or Roles in each of `watchNamespaces`.",
    )


class Release(ValueGroup):
    """A Job before the uninstallation: it takes the operator's finalizers and annotations off, so nothing hangs."""

    enabled: bool = Field(
        default=True,
        description="false leaves it to you: `kubectl statefulroute release --all-namespaces --operator ...`.",
    )
    timeout_seconds: Seconds = Field(
        60,
        description="How long the operator may take to stop; the uninstallation fails then. More than "
        "`terminationGracePeriodSeconds`.",
    )


class Test(ValueGroup):
    """What `helm test` does: it has the operator bind a user, asks the resolver for the pod, and removes the link."""

    timeout_seconds: Seconds = Field(60, description="How long the operator may take, and then the resolver.")


class Values(ValueGroup):
    """Everything that can be set."""

    name_override: OptionalName = Field("", description="Replaces `statefulroute` in names and labels.")
    fullname_override: OptionalName = Field("", description="Replaces the beginning of all names.")
    common_labels: StringMap = Field({}, description="Labels of every object.")
    image: Image = Field(Image(), description="The image of all pods.")
    image_pull_secrets: list[PullSecret] = Field([], description="Secrets for pulling the image, as `- name: ...`.")
    image_credentials: ImageCredentials = Field(
        ImageCredentials(), description="An account for pulling the image; the chart makes the Secret."
    )
    replicas: int = Field(
        2, ge=0, le=100, description="Pods of the operator: one works, the others stand by with warm caches."
    )
    watch_namespaces: list[Name] = Field(
        [],
        json_schema_extra={"uniqueItems": True},
        description="The namespaces that are served, with rights in these alone; empty is the whole cluster.",
    )
    crds: CustomResourceDefinitions = Field(
        CustomResourceDefinitions(), description="The definitions of the two kinds."
    )
    admission_policies: AdmissionPolicies = Field(AdmissionPolicies(), description="What the API server refuses.")
    rbac: Rbac = Field(Rbac(), description="Roles and their bindings.")
    service_account: ServiceAccount = Field(ServiceAccount(), description="Whom the operator is.")
    leader_election: LeaderElection = Field(LeaderElection(), description="Who of the replicas writes.")
    parallel_writes: Annotated[int, Field(ge=1, le=256)] = Field(
        32, description="How many links of one route are written at the same time."
    )
    moves_per_second: Annotated[int, Field(ge=1, le=100_000)] = Field(
        200, description="How many links of lost pods are moved in a second, at the most."
    )
    log_level: LogLevel = Field(LogLevel.INFO, description="The least level that is logged.")
    log_format: LogFormat = Field(LogFormat.JSON, description="How lines are logged.")
    hash_uids: bool = Field(
        default=False, description="Whether logs and traces have a hash in the place of each user's id."
    )
    tracing: Tracing = Field(Tracing(), description="Traces by OpenTelemetry.")
    extra_args: list[str] = Field([], description="More options of `statefulroute operator`.")
    extra_env: list[Object] = Field([], description="More environment variables, as a container has them.")
    extra_env_from: list[Object] = Field([], description="Secrets and ConfigMaps of them, as a container has them.")
    pod_labels: StringMap = Field({}, description="More labels of the operator's pods.")
    pod_annotations: StringMap = Field({}, description="Annotations of the operator's pods.")
    resources: Object = Field(
        resources(), description="Of the operator's container. With 100,000 links it was seen to use 170 MiB."
    )
    pod_security_context: Object = Field(pod_security(), description="Of every pod; passes Pod Security `restricted`.")
    security_context: Object = Field(
        container_security(), description="Of every container; passes Pod Security `restricted`."
    )
    priority_class_name: str = Field("", description="The priority of the operator's pods.")
    node_selector: StringMap = Field({}, description="The labels of nodes that pods may run on.")
    tolerations: list[Object] = Field([], description="Taints of nodes that pods bear.")
    affinity: Object = Field({}, description="The affinity of the operator's pods.")
    topology_spread_constraints: list[Object] = Field(
        [],
        description="How the operator's pods are spread; empty is over nodes and over zones, as far as there are any.",
    )
    termination_grace_period_seconds: Annotated[int, Field(ge=0, le=86400)] = Field(
        30, description="How long the operator may take to stop; it releases its Lease then."
    )
    liveness_probe: Probe = Field(Probe(), description="Whether its event loop and watches are alive (`/healthz`).")
    readiness_probe: Probe = Field(Probe(period_seconds=5), description="Whether its caches are synced (`/readyz`).")
    service: Service = Field(Service(), description="The Service of the metrics.")
    pod_disruption_budget: PodDisruptionBudget = Field(
        PodDisruptionBudget(), description="How many pods a drain of nodes may take."
    )
    network_policy: NetworkPolicy = Field(NetworkPolicy(), description="Who may reach the operator, and whom it may.")
    service_monitor: ServiceMonitor = Field(
        ServiceMonitor(), description="For the Prometheus operator; the resolver's is like the operator's."
    )
    pod_monitor: PodMonitor = Field(PodMonitor(), description="The same without a Service; one of the two is enough.")
    prometheus_rule: PrometheusRule = Field(PrometheusRule(), description="The alerts.")
    grafana_dashboard: GrafanaDashboard = Field(
        GrafanaDashboard(), description="The dashboard, as a ConfigMap that Grafana's sidecar finds."
    )
    resolver: Resolver = Field(Resolver(), description="Tells gateways which pod holds a user.")
    release_on_uninstall: Release = Field(Release(), description="What runs before `helm uninstall` deletes anything.")
    test: Test = Field(Test(), description="What `helm test` runs.")
