"""Samples for each value: every choice of an enum, otherwise the default and another value."""

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from helmchart.fields import Value, values_of
from helmchart.values import Values

#: A container that Pod Security `restricted` accepts.
_CONTAINER: dict[str, Any] = {
    "name": "proxy",
    "image": "registry.invalid/proxy:1",
    "args": ["operator", "--watch-namespace=elsewhere"],
    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
}

#: Samples of the values that the operator's pods and the resolver's pods share.
_OF_PODS: dict[str, Any] = {
    "serviceAccount.name": "somebody",
    "serviceAccount.annotations": {"example.com/role": "arn:1"},
    "extraEnv": [{"name": "OTEL_EXPORTER_OTLP_HEADERS", "valueFrom": {"secretKeyRef": {"name": "otel", "key": "h"}}}],
    "extraEnvFrom": [{"secretRef": {"name": "otel", "optional": True}}],
    "extraVolumes": [{"name": "authorities", "configMap": {"name": "authorities", "optional": True}}],
    "extraVolumeMounts": [{"name": "tmp", "mountPath": "/more", "subPath": "more"}],
    "extraInitContainers": [_CONTAINER | {"name": "wait"}, _CONTAINER | {"name": "mesh", "restartPolicy": "Always"}],
    "extraContainers": [_CONTAINER],
    "strategy": {"rollingUpdate": {"maxSurge": "50%", "maxUnavailable": 0}},
    "deploymentAnnotations": {"reloader.example.com/auto": "true"},
    "podLabels": {"sidecar": "no", "app.kubernetes.io/component": "hidden"},
    "podAnnotations": {"example.com/inject": "false"},
    "resources": {"requests": {"cpu": 1, "memory": "256Mi"}},
    "priorityClassName": "system-cluster-critical",
    "affinity": {
        "podAntiAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [
                {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "x"}}}
            ]
        }
    },
    "topologySpreadConstraints": [
        {
            "maxSkew": 2,
            "topologyKey": "example.com/rack",
            "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"app": "x"}},
        }
    ],
    "livenessProbe.periodSeconds": 20,
    "livenessProbe.timeoutSeconds": 2,
    "livenessProbe.failureThreshold": 6,
    "readinessProbe.periodSeconds": 1,
    "readinessProbe.timeoutSeconds": 1,
    "readinessProbe.failureThreshold": 1,
    "podDisruptionBudget.maxUnavailable": "50%",
    "service.ipFamilyPolicy": "RequireDualStack",
    "service.ipFamilies": ["IPv6", "IPv4"],
    "service.trafficDistribution": "PreferSameZone",
    "service.labels": {"exposed": "yes"},
    "service.annotations": {"example.com/mesh": "no"},
}

#: Samples of the values that only the resolver has.
_OF_THE_RESOLVER: dict[str, Any] = {
    "replicas": 1,
    "autoscaling.minReplicas": 1,
    "autoscaling.maxReplicas": 20,
    "autoscaling.targetCPUUtilizationPercentage": 150,
    "autoscaling.metrics": [
        {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "AverageValue", "averageValue": "500m"}}}
    ],
    "autoscaling.behavior": {"scaleDown": {"stabilizationWindowSeconds": 600}},
    "uidFrom": ["cookie:uid", "mcp-param:notebook", "jwt:https://example.com/uid@x-jwt-payload"],
    "endpointHeader": "x-pod",
    "serviceAccount.name": "asked",
    "bindingsPerSecond": 1,
    "linkChanges": True,
    "requestsPerSecond": 50,
    "holdSeconds": 60,
    "maxHeld": 500,
    "maxAgeSeconds": 300,
    "drainSeconds": 0,
    "picker.defaultRoute": "play/game",
    "picker.uidFromResponse": "mcp-session-id",
    "authentication": {"tokenAudience": "resolver", "allowUsers": ["system:serviceaccount:play:gateway"]},
    "tls.secretName": "resolver-tls",
    "tls.cipherSuites": ["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"],
    "service.httpPort": 80,
    "service.grpcPort": 50051,
    "metricsService.port": 9090,
    "metricsService.ipFamilyPolicy": "PreferDualStack",
    "metricsService.ipFamilies": ["IPv6"],
    "metricsService.trafficDistribution": "PreferSameNode",
    "metricsService.labels": {"scrape": "yes"},
    "metricsService.annotations": {"prometheus.io/scrape": "true"},
    "extraArgs": ["--bindings-per-second=7"],
    "nodeSelector": {"pool": "gateways"},
    "tolerations": [{"key": "gateways", "operator": "Exists"}],
    "terminationGracePeriodSeconds": 11,
}

#: Samples of a Certificate.
_OF_CERTIFICATES: dict[str, Any] = {
    "issuerRef": {"name": "platform", "kind": "ClusterIssuer", "group": "cert-manager.io"},
    "dnsNames": ["statefulroute.example.com"],
    "duration": "2160h",
    "renewBefore": "360h30m",
    "privateKey": {"algorithm": "ECDSA", "size": 384, "rotationPolicy": "Always"},
    "secretTemplate": {
        "annotations": {"replicator.example.com/replicate-to": "monitoring"},
        "labels": {"team": "games"},
    },
}

#: The values of TLS.
TLS = ("metrics.tls", "resolver.tls")

#: Samples of the clients and destinations of a network policy, by its kind.
_CLIENTS: dict[str, Any] = {
    "NetworkPolicy": [{"namespaceSelector": {"matchLabels": {"monitoring": "true"}}}],
    "CiliumNetworkPolicy": [
        {"fromEndpoints": [{"matchLabels": {"k8s:io.kubernetes.pod.namespace": "monitoring"}}]},
        {"fromCIDRSet": [{"cidr": "10.0.0.0/8", "except": ["10.9.0.0/16"]}]},
        {"fromEntities": ["host"]},
    ],
}
_DESTINATIONS: dict[str, Any] = {
    "NetworkPolicy": [{"ports": [{"port": 443, "protocol": "TCP"}]}],
    "CiliumNetworkPolicy": [
        {"toEntities": ["kube-apiserver"]},
        {"toFQDNs": [{"matchName": "collector.invalid"}], "toPorts": [{"ports": [{"port": "4318"}]}]},
    ],
}

#: Samples that depend on `networkPolicy.kind`.
OF_KINDS: Mapping[str, Mapping[str, Any]] = {
    f"{policy}.{name}": samples
    for policy in ("networkPolicy", "resolver.networkPolicy")
    for name, samples in {"ingressFrom": _CLIENTS, "metricsFrom": _CLIENTS, "egress": _DESTINATIONS}.items()
    if (policy, name) != ("networkPolicy", "metricsFrom")
}

#: Another value than the default, for each value that is not an enum.
SAMPLES: Mapping[str, Any] = {
    **{path: samples["NetworkPolicy"] for path, samples in OF_KINDS.items()},
    **_OF_PODS,
    **{f"resolver.{path}": sample for path, sample in (_OF_PODS | _OF_THE_RESOLVER).items()},
    "nameOverride": "sticky",
    "fullnameOverride": "f" * 63,
    "namespaceOverride": "kube-system",
    "commonLabels": {"team": "games", "app.kubernetes.io/part-of": "platform"},
    "commonAnnotations": {"example.com/owner": "games", "example.com/inject": "true"},
    "global.imageRegistry": "mirror.invalid",
    "global.imagePullSecrets": [{"name": "registry"}, "mirror"],
    "global.commonLabels": {"team": "platform", "cost-center": "7"},
    "global.priorityClassName": "system-node-critical",
    "global.nodeSelector": {"pool": "everything"},
    "global.tolerations": [{"key": "everything", "operator": "Exists"}],
    "image.registry": "registry.invalid:5000",
    "image.repository": "registry.invalid/team/statefulroute",
    "image.tag": "1.2.3",
    "image.digest": f"sha256:{'0123456789abcdef' * 4}",
    "imagePullSecrets": [{"name": "registry"}],
    "imageCredentials": {"registry": "registry.invalid", "username": "robot", "password": 'pass"word: {{ }}'},
    "replicas": 1,
    "watchNamespaces": ["default", "kube-public"],
    "leaderElection.leaseName": "writer",
    "leaderElection.leaseDurationSeconds": 60,
    "leaderElection.renewDeadlineSeconds": 12,
    "leaderElection.retryPeriodSeconds": 3,
    "flowSchemas.priorityLevel": "global-default",
    "parallelWrites": 4,
    "movesPerSecond": 1,
    "workloadKinds": [{"apiGroup": "argoproj.io", "resource": "rollouts"}, {"apiGroup": "", "resource": "others"}],
    "tracing.endpoint": "http://collector:4318",
    "profiling.port": 16060,
    "extraArgs": ["--parallel-writes=7"],
    "podSecurityContext": {"runAsUser": 1000, "supplementalGroups": [1]},
    "securityContext": {"runAsUser": 1000},
    "runtimeClassName": "gvisor",
    "schedulerName": "second-scheduler",
    "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["collector.invalid"]}],
    "dnsPolicy": "Default",
    "dnsConfig": {"options": [{"name": "ndots", "value": "1"}]},
    "revisionHistoryLimit": 0,
    "extraObjects": [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": "{{ .Release.Name }}-authorities",
                "namespace": '{{ include "statefulroute.namespace" . }}',
            },
            "data": {"operator": "{{ .Values.image.repository }}"},
        },
        """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}-settings
  namespace: {{ include "statefulroute.namespace" . }}
  labels: {{- include "statefulroute.labels" (list . "settings") | nindent 4 }}
""",
        "{{ if false }}kind: ConfigMap{{ end }}",
    ],
    "nodeSelector": {"kubernetes.io/arch": "arm64", "example.com/true": "true"},
    "tolerations": [{"key": "dedicated", "operator": "Exists", "effect": "NoSchedule"}],
    "terminationGracePeriodSeconds": 0,
    "service.port": 80,
    "metrics.tls.secretName": "metrics-tls",
    "metrics.otlp.endpoint": "http://prometheus:9090/api/v1/otlp/",
    "metrics.otlp.intervalSeconds": 15,
    **{f"{tls}.certificate.{name}": sample for tls in TLS for name, sample in _OF_CERTIFICATES.items()},
    "metrics.tls.cipherSuites": [
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    ],
    "serviceMonitor.targetLabels": ["app.kubernetes.io/component"],
    "prometheusRule.namespace": "default",
    "prometheusRule.labels": {"prometheus": "main"},
    "prometheusRule.runbookUrl": "https://wiki.invalid/runbooks/",
    "grafanaDashboard.namespace": "default",
    "grafanaDashboard.labels": {"grafana_dashboard": "yes"},
    "grafanaDashboard.annotations": {"grafana_folder": "Routing"},
    "releaseOnUninstall.timeoutSeconds": 31,
    "releaseOnUninstall.deadlineSeconds": 600,
    "hooks.podLabels": {"sidecar": "no", "app.kubernetes.io/component": "hidden"},
    "hooks.podAnnotations": {"example.com/inject": "false"},
    "hooks.resources": {
        "requests": {"cpu": 1, "memory": "128Mi"},
        "limits": {"cpu": 1, "memory": "256Mi"},
    },
    "hooks.priorityClassName": "system-cluster-critical",
    "test.timeoutSeconds": 5,
} | {
    f"{monitor}.{name}": sample
    for monitor in ("serviceMonitor", "podMonitor")
    for name, sample in {
        "namespace": "default",
        "labels": {"prometheus": "main"},
        "interval": "1m30s",
        "scrapeTimeout": "10s",
        "tlsConfig": {"serverName": "metrics", "ca": {"configMap": {"name": "authority", "key": "ca.crt"}}},
        "authorization": {"credentials": {"name": "prometheus", "key": "token"}},
        "relabelings": [{"sourceLabels": ["__meta_kubernetes_pod_node_name"], "targetLabel": "node"}],
        "metricRelabelings": [{"action": "drop", "regex": "x.*", "sourceLabels": ["__name__"]}],
        "endpointConfig": {"honorTimestamps": False},
        "sampleLimit": 50_000,
        "jobLabel": "app.kubernetes.io/name",
        "podTargetLabels": ["app.kubernetes.io/version"],
    }.items()
}


def dimensions(namespace: str) -> dict[str, tuple[Any, ...]]:
    """Returns the values of the chart by their path, each with all values to test, the default first.

    Args:
        namespace: the release's namespace.
    """
    sampled_groups = {path for path in SAMPLES if any(value.is_group and _path(value) == path for value in _values())}
    return {
        _path(value): _options(value, namespace)
        for value in _values()
        if (_path(value) in sampled_groups) or not (value.is_group or _path(value).rpartition(".")[0] in sampled_groups)
    }


def nested(row: Mapping[str, Any]) -> dict[str, Any]:
    """Converts values by path to nested values."""
    values: dict[str, Any] = {}
    for path, value in row.items():
        *groups, key = path.split(".")
        target = values
        for group in groups:
            target = target.setdefault(group, {})
        target[key] = value
    return values


#: The values of the chart's Services.
SERVICES = ("service", "resolver.service", "resolver.metricsService")


def is_allowed(row: Mapping[str, Any]) -> bool:
    """Returns whether the chart accepts these values together."""
    has_two_writers = row.get("leaderElection.enabled") is False and row.get("replicas") == 2
    has_two_monitors = row.get("serviceMonitor.enabled") and row.get("podMonitor.enabled")
    has_two_writers_in_turn = row.get("leaderElection.enabled") is False and row.get("strategy")
    # Without a resolver its values have no effect: such a row tests no pair.
    has_vain_values = row.get("resolver.enabled") is False and any(
        value != DEFAULTS[path]
        for path, value in (row.get("choices", {}) | row).items()
        if path.startswith("resolver.") and path in DEFAULTS
    )
    values = row.get("choices", {}) | row
    has_one_stack_of_two = any(
        len(values.get(f"{service}.ipFamilies", ())) > 1
        and values.get(f"{service}.ipFamilyPolicy") not in {"PreferDualStack", "RequireDualStack"}
        for service in SERVICES
    )
    has_two_certificates = any(
        values.get(f"{tls}.secretName") and values.get(f"{tls}.certificate.create") for tls in TLS
    )
    has_no_certificate = any(
        values.get(user) and values.get(f"{tls}.secretName") == "" and values.get(f"{tls}.certificate.create") is False
        for user, tls in zip(("metrics.authentication", "resolver.tls.clientCertificates"), TLS, strict=True)
    )
    has_no_credentials = (
        values.get("metrics.authentication")
        and values.get("podMonitor.enabled")
        and values.get("podMonitor.authorization") == {}
    )
    return len(_kinds_of_policies(values)) <= 1 and not (
        has_two_writers
        or has_two_writers_in_turn
        or has_two_monitors
        or has_vain_values
        or has_one_stack_of_two
        or has_two_certificates
        or has_no_certificate
        or has_no_credentials
    )


def _kinds_of_policies(values: Mapping[str, Any]) -> set[str]:
    """Returns the kinds of network policies that the values have the format of."""
    of_samples = {kind for path, samples in OF_KINDS.items() for kind in samples if values.get(path) == samples[kind]}
    return of_samples | ({values["networkPolicy.kind"]} if "networkPolicy.kind" in values else set())


def everything_on(namespace: str, kind_of_policies: str = "NetworkPolicy") -> dict[str, Any]:
    """Returns values that enable everything, with a sample of every other value."""
    row = {path: options[-1] for path, options in dimensions(namespace).items()}
    switched = {path: True for path, value in row.items() if isinstance(value, bool)}
    policies = {path: samples[kind_of_policies] for path, samples in OF_KINDS.items()}
    chosen = {"podMonitor.enabled": False, "networkPolicy.kind": kind_of_policies}
    # Certificates instead of Secrets, of which the resolver's is by the release's own authority.
    certificates = {f"{tls}.secretName": "" for tls in TLS}
    certificates["resolver.tls.certificate.issuerRef"] = DEFAULTS["resolver.tls.certificate.issuerRef"]
    return nested(row | switched | policies | chosen | certificates)


def _values() -> Iterator[Value]:
    return values_of(Values())


def _path(value: Value) -> str:
    return ".".join(value.path)


def _options(value: Value, namespace: str) -> tuple[Any, ...]:
    if isinstance(value.default, bool):
        return (value.default, not value.default)
    if value.choices:
        return tuple(dict.fromkeys(chain((value.default,), value.choices)))
    if _path(value) in OF_KINDS:
        return (value.default, *OF_KINDS[_path(value)].values())
    own = ([namespace],) if _path(value) == "watchNamespaces" else ()
    return (value.default, *own, SAMPLES[_path(value)])


#: The default of each value by its path.
DEFAULTS: Mapping[str, Any] = {_path(value): value.default for value in _values()}
