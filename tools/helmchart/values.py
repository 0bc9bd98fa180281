"""The values of the chart as one typed model, with their descriptions."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from helmchart.model import (
    IsEnabled,
    Name,
    Object,
    OptionalName,
    PullPolicy,
    Seconds,
    SharedValues,
    StringMap,
    ValueGroup,
    text_pattern,
)
from helmchart.observability import (
    GrafanaDashboard,
    Metrics,
    PodMonitor,
    Profiling,
    PrometheusRule,
    ServiceMonitor,
    Tracing,
)
from helmchart.pods import (
    Containers,
    EnvironmentSources,
    EnvironmentVariables,
    InitContainers,
    NetworkPolicy,
    PodDisruptionBudget,
    Probe,
    Service,
    ServiceAccount,
    VolumeMounts,
    Volumes,
    command_resources,
    container_security,
    pod_security,
    resources,
)
from helmchart.resolver import Resolver
from statefulroute.cli.logs import LogFormat, LogLevel


class AdaptSecurityContext(StrEnum):
    """When the chart leaves out what OpenShift assigns."""

    AUTO = "auto"
    FORCE = "force"
    DISABLED = "disabled"


class OpenShift(SharedValues):
    """What the charts do on OpenShift."""

    adapt_security_context: AdaptSecurityContext = Field(
        AdaptSecurityContext.AUTO,
        description="Whether `runAsUser`, `runAsGroup` and `fsGroup` of `podSecurityContext` are left out, which "
        "OpenShift assigns to each namespace: if the cluster serves `security.openshift.io/v1`, always, or never.",
    )


class Compatibility(SharedValues):
    """Platforms that charts adapt to."""

    openshift: OpenShift = Field(OpenShift(), description="OpenShift.")


class Global(SharedValues):
    """The values of all charts of an installation, which the chart's own ones take precedence over."""

    image_registry: str | None = Field(
        "",
        description="The registry of images, instead of the one in `image.repository`, unless `image.registry` is set.",
    )
    image_pull_secrets: list[Object | str] = Field(
        [], description="Pull Secrets, as `- name: ...` or as names, in addition to those of `imagePullSecrets`."
    )
    common_labels: StringMap = Field({}, description="Labels of every object.")
    priority_class_name: str | None = Field("", description="The priority class of pods without one of their own.")
    node_selector: StringMap = Field(
        {}, description="Labels of the nodes that pods may run on, besides those of `nodeSelector`."
    )
    tolerations: list[Object] = Field([], description="Tolerations of pods, unless `tolerations` is set.")
    compatibility: Compatibility = Field(Compatibility(), description="Platforms that charts adapt to.")


class Image(ValueGroup):
    """The image of all pods of the chart."""

    registry: str = Field(
        "",
        description="Its registry, instead of the one in `image.repository`; empty is `global.imageRegistry`, or the "
        "one in `image.repository`.",
    )
    repository: str = Field("statefulroute", min_length=1, description="Its repository, without a tag.")
    tag: str = Field("", description="Its tag; empty is the chart's `appVersion`.")
    digest: str = Field(
        "",
        description="Its digest (`sha256:...`), which takes precedence over the tag.",
        **text_pattern("(sha256:[0-9a-f]{64})?", "sha256: and 64 of 0-9 and a-f, or nothing"),
    )
    pull_policy: PullPolicy = Field(PullPolicy.IF_NOT_PRESENT, description="When a node pulls it.")


class PullSecret(ValueGroup):
    """An existing Secret."""

    name: str = Field(min_length=1, description="Its name, in the namespace of the pods.")


class ImageCredentials(ValueGroup):
    """Credentials of the image's registry, for which the chart creates a pull Secret."""

    registry: str = Field("", description="The registry's host; empty creates no Secret.")
    username: str = Field("", description="The user name.")
    password: str = Field("", description="The password or token.")


class WorkloadKind(ValueGroup):
    """A kind of workloads with a scale subresource."""

    api_group: str = Field(description="Its API group, such as `argoproj.io`.")
    resource: str = Field(min_length=1, description="The plural name of its resource, such as `rollouts`.")


class CustomResourceDefinitions(ValueGroup):
    """The CustomResourceDefinitions of PodLink and StatefulRoute, once per cluster."""

    install: bool = Field(
        default=True, description="Whether this release installs and upgrades them. Exactly one release should."
    )
    keep: bool = Field(
        default=True,
        description="Whether they, with every link and route, stay when the release is uninstalled. "
        "false deletes all links and routes with the release.",
    )


class AdmissionPolicies(ValueGroup):
    """The ValidatingAdmissionPolicies, once per cluster."""

    install: bool = Field(
        default=True,
        description="Whether this release installs them: one refuses links to another namespace, one allows a server's "
        "pod to annotate only itself, one allows the operator to change only its annotations and its label of pods and "
        "workloads, one restricts it to PodDisruptionBudgets of routes. Exactly one release should.",
    )


class FlowSchemas(ValueGroup):
    """The FlowSchemas of the operator's requests, for the API server's priority and fairness."""

    install: bool = Field(
        default=True,
        description="Whether a release that serves the whole cluster installs them: the Lease has the priority level "
        "`leader-election`, all other requests a lower one. One that serves only `watchNamespaces` has none.",
    )
    priority_level: Name = Field(
        "workload-low", description="The PriorityLevelConfiguration of all other requests. It must exist."
    )


class LeaderElection(ValueGroup):
    """The election of the replica that writes: by a Lease, with the rules of client-go."""

    enabled: bool = Field(
        default=True, description="false requires `replicas: 1`, and stops the pod before its replacement starts."
    )
    lease_name: OptionalName = Field("", description="The name of the Lease; empty is the Deployment's name.")
    lease_duration_seconds: Seconds = Field(
        15,
        description="How long the other replicas wait for a leader that does not renew. More than "
        "`renewDeadlineSeconds`.",
    )
    renew_deadline_seconds: Seconds = Field(
        10,
        description="How long after its last renewal the leader stops writing. More than 1.2 times "
        "`retryPeriodSeconds`.",
    )
    retry_period_seconds: Seconds = Field(2, description="The interval between attempts to renew or acquire the Lease.")


class Rbac(ValueGroup):
    """The RBAC objects of the chart."""

    create: bool = Field(default=True, description="Whether to create the operator's roles.")
    application_roles: bool = Field(
        default=True,
        description="Whether to create roles for applications, too (`...-server` for pods that serve "
        "users, `...-client` "
        "for their clients): ClusterRoles to bind in a namespace, or Roles in each of `watchNamespaces`.",
    )
    aggregate: bool = Field(
        default=True,
        description="Whether Kubernetes' roles `view`, `edit` and `admin` include links and routes: who may edit a "
        "namespace then may create routes and links in it. A release with `watchNamespaces` creates no such roles, "
        "which are cluster-wide.",
    )


class Release(ValueGroup):
    """A Job before the uninstallation that removes the operator's finalizers, so that no deletion hangs."""

    enabled: bool = Field(
        default=True,
        description="false leaves it to you: `kubectl statefulroute release --all-namespaces --operator ...`.",
    )
    timeout_seconds: Seconds = Field(
        60,
        description="How long the operator may take to stop before the uninstallation fails. More than "
        "`terminationGracePeriodSeconds`.",
    )
    deadline_seconds: Seconds = Field(
        120,
        description="How long the Job may take before the uninstallation fails, also if its image cannot be pulled. "
        "More than `releaseOnUninstall.timeoutSeconds`.",
    )


class Hooks(ValueGroup):
    """The pods that run one command: those of `releaseOnUninstall` and of `helm test`."""

    pod_labels: StringMap = Field({}, description="Additional labels.")
    pod_annotations: StringMap = Field({}, description="Annotations.")
    resources: Object = Field(command_resources(), description="Resources of their containers.")
    priority_class_name: str = Field("", description="Their priority class.")


class Test(ValueGroup):
    """The test of `helm test`: it links a user, looks up the pod through the resolver, and removes the link."""

    timeout_seconds: Seconds = Field(60, description="How long the operator, and then the resolver, may take.")


class Values(ValueGroup):
    """The values of the chart."""

    global_: Global = Field(Global(), alias="global", description="The values of all charts of an installation.")
    enabled: IsEnabled = True
    name_override: OptionalName = Field("", description="Replaces `statefulroute` in names and labels.")
    fullname_override: OptionalName = Field("", description="Replaces the prefix of all names.")
    namespace_override: OptionalName = Field(
        "",
        description="The namespace of operator, resolver and all that belongs to them, if not that of the release. "
        "It must exist, and cannot be changed by an upgrade.",
    )
    common_labels: StringMap = Field({}, description="Labels of every object.")
    common_annotations: StringMap = Field(
        {}, description="Annotations of every object, also of pods; all other annotations take precedence."
    )
    image: Image = Field(Image(), description="The image of all pods.")
    image_pull_secrets: list[PullSecret] = Field([], description="Pull Secrets of the image, as `- name: ...`.")
    image_credentials: ImageCredentials = Field(
        ImageCredentials(), description="Credentials for the image's registry; the chart creates the pull Secret."
    )
    replicas: int = Field(
        2, ge=0, le=100, description="Pods of the operator: one leads, the others stand by with synced caches."
    )
    watch_namespaces: list[Name] = Field(
        [],
        json_schema_extra={"uniqueItems": True},
        description="The namespaces to serve, with roles only in these; empty serves the whole cluster.",
    )
    crds: CustomResourceDefinitions = Field(
        CustomResourceDefinitions(), description="The CustomResourceDefinitions of both kinds."
    )
    admission_policies: AdmissionPolicies = Field(AdmissionPolicies(), description="The admission policies.")
    rbac: Rbac = Field(Rbac(), description="Roles and their bindings.")
    service_account: ServiceAccount = Field(ServiceAccount(), description="The ServiceAccount of the operator.")
    leader_election: LeaderElection = Field(LeaderElection(), description="The election of the replica that writes.")
    flow_schemas: FlowSchemas = Field(FlowSchemas(), description="The priority of the operator's requests.")
    parallel_writes: Annotated[int, Field(ge=1, le=256)] = Field(
        32, description="How many links of one route are written concurrently."
    )
    moves_per_second: Annotated[int, Field(ge=1, le=100_000)] = Field(
        200,
        description="The maximum number of links of lost pods that are moved, deleted or marked per second. A tenth of "
        "it is the maximum number of statuses per second of which only the message changes.",
    )
    keep_managed_fields: bool = Field(
        default=False,
        description="Whether operator and resolver keep `metadata.managedFields` of links. By default each write of a "
        "link's spec removes them, unless the link was applied by kubectl: they are more than half of a link.",
    )
    write_annotations: bool = Field(
        default=True,
        description="Whether the operator annotates pods and workloads with their load and state, and pods of "
        "Deployments with their deletion cost. false grants it no right to patch them.",
    )
    plan_disruptions: bool = Field(
        default=True,
        description="Whether the operator scales workloads, and lets scale-down and node drain wait for users, where "
        "routes configure it. false grants no right to scale workloads and to write PodDisruptionBudgets.",
    )
    create_slots: bool = Field(
        default=True,
        description="Whether the operator creates the links of routes with slots. false grants it no right to create "
        "links.",
    )
    workload_kinds: list[WorkloadKind] = Field(
        [],
        description="Kinds of workloads that routes may refer to besides StatefulSets, Deployments and ReplicaSets, as "
        "`- apiGroup: argoproj.io` and `resource: rollouts`. The operator gets the rights it needs for them, and the "
        "admission policy restricts these, too.",
    )
    log_level: LogLevel = Field(LogLevel.INFO, description="The minimum level of log lines.")
    log_format: LogFormat = Field(LogFormat.JSON, description="The format of log lines.")
    hash_uids: bool = Field(
        default=False, description="Whether logs and traces contain a hash instead of each user's uid."
    )
    tracing: Tracing = Field(Tracing(), description="Traces by OpenTelemetry.")
    profiling: Profiling = Field(Profiling(), description="Profiles of the running operator and resolver.")
    extra_args: list[str] = Field([], description="Additional options of `statefulroute operator`.")
    extra_env: EnvironmentVariables = Field([])
    extra_env_from: EnvironmentSources = Field([])
    extra_volumes: Volumes = Field([])
    extra_volume_mounts: VolumeMounts = Field([])
    extra_init_containers: InitContainers = Field([])
    extra_containers: Containers = Field([])
    deployment_annotations: StringMap = Field({}, description="Annotations of the operator's Deployment.")
    pod_labels: StringMap = Field({}, description="Additional labels of the operator's pods.")
    pod_annotations: StringMap = Field({}, description="Annotations of the operator's pods.")
    resources: Object = Field(
        resources(),
        description="Resources of the operator's container. The memory at its peak is 90 MiB, 1 KiB for each link "
        "and 16 KiB for each route; a limit of 1.5 times that has room for bursts. The default suffices for 250,000 "
        "links.",
    )
    pod_security_context: Object = Field(
        pod_security(), description="The security context of every pod; passes Pod Security `restricted`."
    )
    security_context: Object = Field(
        container_security(), description="The security context of every container; passes Pod Security `restricted`."
    )
    priority_class_name: str = Field("", description="The priority class of the operator's pods.")
    host_users: bool = Field(
        default=True,
        description="false runs all pods in user namespaces of their own, in which no user is one of the node; nodes "
        "must support it, and Kubernetes does from 1.33.",
    )
    runtime_class_name: str = Field("", description="The RuntimeClass of all pods.")
    scheduler_name: str = Field("", description="The scheduler of all pods; empty is the cluster's default.")
    enable_service_links: bool = Field(
        default=True,
        description="Whether all containers get environment variables for each Service of the namespace; the "
        "chart's own need none.",
    )
    host_aliases: list[Object] = Field([], description="Additional entries of `/etc/hosts` in all pods.")
    dns_policy: str = Field(
        "",
        description="The DNS policy of all pods: `ClusterFirst`, `Default` or `None`; empty is `ClusterFirst`.",
        **text_pattern("(ClusterFirst|Default|None)?", "ClusterFirst, Default or None, or nothing"),
    )
    dns_config: Object = Field({}, description="The DNS configuration of all pods.")
    node_selector: StringMap = Field(
        {"kubernetes.io/os": "linux"},
        description="Labels of the nodes that pods may run on, unless `resolver.nodeSelector` is set for its pods. The "
        "image is for Linux.",
    )
    tolerations: list[Object] = Field(
        [], description="Tolerations of all pods, unless `resolver.tolerations` is set for those of the resolver."
    )
    affinity: Object = Field({}, description="The affinity of the operator's pods.")
    topology_spread_constraints: list[Object] = Field(
        [],
        description="The spread of the operator's pods; by default over nodes and zones, as far as possible.",
    )
    strategy: Object = Field(
        {},
        description="The update strategy of the operator's Deployment; by default a pod is replaced when its successor "
        "is ready, or without leader election, stops before it starts.",
    )
    revision_history_limit: Annotated[int, Field(ge=0, le=1000)] = Field(
        5, description="How many former ReplicaSets the Deployments of operator and resolver keep."
    )
    termination_grace_period_seconds: Annotated[int, Field(ge=0, le=86400)] = Field(
        30, description="How long the operator may take to stop; it releases its Lease."
    )
    liveness_probe: Probe = Field(Probe(), description="Whether its event loop and watches work (`/healthz`).")
    readiness_probe: Probe = Field(Probe(period_seconds=5), description="Whether its caches are synced (`/readyz`).")
    service: Service = Field(Service(), description="The Service of the metrics.")
    pod_disruption_budget: PodDisruptionBudget = Field(
        PodDisruptionBudget(), description="How many pods may be unavailable while nodes are drained."
    )
    network_policy: NetworkPolicy = Field(
        NetworkPolicy(), description="The allowed connections to the operator and from it."
    )
    metrics: Metrics = Field(Metrics(), description="How the operator and the resolver serve their metrics.")
    service_monitor: ServiceMonitor = Field(
        ServiceMonitor(), description="The ServiceMonitor of the Prometheus operator; the resolver gets one, too."
    )
    pod_monitor: PodMonitor = Field(
        PodMonitor(), description="The PodMonitor, which needs no Service; use one of the two."
    )
    prometheus_rule: PrometheusRule = Field(PrometheusRule(), description="The alerts, as a PrometheusRule.")
    grafana_dashboard: GrafanaDashboard = Field(
        GrafanaDashboard(), description="The dashboard, as a ConfigMap that Grafana's sidecar finds."
    )
    resolver: Resolver = Field(Resolver(), description="The resolver, which gives gateways the pod of a user.")
    release_on_uninstall: Release = Field(
        Release(),
        description="The Job that runs before `helm uninstall` deletes anything, and after `helm upgrade` for the "
        "namespaces that left `watchNamespaces`.",
    )
    hooks: Hooks = Field(Hooks(), description="The pods of hooks and of `helm test`.")
    test: Test = Field(Test(), description="The Pod of `helm test`.")
    extra_objects: list[Object | str] = Field(
        [],
        description="Objects of your own that the release contains, too, each as an object or as text; both are "
        'rendered as templates of the chart, in which `{{ include "statefulroute.namespace" . }}` is the namespace of '
        "the operator.",
    )


#: The values of earlier versions of the chart. The schema lets them pass: the chart says what replaces them, and with
#: `--reuse-values` they are those of the earlier version, although nobody has set them.
FORMER_VALUES = (("resolver", "service", "metricsPort"),)
