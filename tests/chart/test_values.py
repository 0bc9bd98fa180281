"""Tests that each invalid value gives one sentence that says what is wrong and what to write instead."""

from typing import Any

import pytest

from chart.releases import Helm
from chart.samples import nested
from helmchart.fields import values_of
from helmchart.schema import GLOBAL
from helmchart.values import Values

BY_THE_SCHEMA = [
    ({"replicas": "x"}, "at '/replicas': got string, want integer"),
    ({"replicas": -1}, "at '/replicas': minimum: got -1, want 0"),
    ({"logLevel": "loud"}, "at '/logLevel': value must be one of 'debug', 'info', 'warning', 'error'"),
    ({"imge": {"tag": "x"}}, "at '': additional properties 'imge' not allowed"),
    ({"image.tagg": "x"}, "at '/image': additional properties 'tagg' not allowed"),
    ({"image.repository": ""}, "at '/image/repository': minLength: got 0, want 1"),
    ({"service.port": 65536}, "at '/service/port': maximum: got 65,536, want 65,535"),
    ({"watchNamespaces": ["a", "a"]}, "at '/watchNamespaces': items at 0 and 1 are equal"),
    (
        {"podDisruptionBudget.maxUnavailable": True},
        "at '/podDisruptionBudget/maxUnavailable': got boolean, want integer",
    ),
    ({"commonLabels.a": 1}, "at '/commonLabels/a': got number, want string"),
    ({"livenessProbe.periodSeconds": 0}, "at '/livenessProbe/periodSeconds': minimum: got 0, want 1"),
    ({"resolver.unknownUid": "drop"}, "at '/resolver/unknownUid': value must be one of 'bind', 'any', 'refuse'"),
    (
        {"metrics.tls.minVersion": "1.3"},
        "at '/metrics/tls/minVersion': value must be one of 'VersionTLS12', 'VersionTLS13'",
    ),
    (
        {"resolver.tls.cipherSuites": ["ECDHE-RSA-AES128-GCM-SHA256"]},
        "at '/resolver/tls/cipherSuites/0': value must be one of 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256', ",
    ),
    ({"resolver.uidFrom": []}, "at '/resolver/uidFrom': minItems: got 0, want 1"),
    ({"commonAnnotations.a": True}, "at '/commonAnnotations/a': got boolean, want string"),
    ({"extraContainers": {"name": "proxy"}}, "at '/extraContainers': got object, want array"),
    ({"resolver.extraInitContainers": ["proxy"]}, "at '/resolver/extraInitContainers/0': got string, want object"),
    ({"hostAliases": {"collector": "10.0.0.1"}}, "at '/hostAliases': got object, want array"),
    ({"dnsConfig": "ndots"}, "at '/dnsConfig': got string, want object"),
    ({"strategy": "Recreate"}, "at '/strategy': got string, want object"),
    ({"revisionHistoryLimit": -1}, "at '/revisionHistoryLimit': minimum: got -1, want 0"),
    ({"extraObjects": {"kind": "Secret"}}, "at '/extraObjects': got object, want array"),
    (
        {"networkPolicy.kind": "cilium"},
        "at '/networkPolicy/kind': value must be one of 'NetworkPolicy', 'CiliumNetworkPolicy'",
    ),
    ({"extraObjects": [1]}, "at '/extraObjects/0': got number, want string or object"),
]

LABEL = "write at most 63 of a-z, 0-9 and -, with a letter or digit at both ends"

BY_THE_CHART = [
    ({"nameOverride": "a.b"}, f'nameOverride is "a.b": {LABEL}, or nothing.'),
    ({"fullnameOverride": "x" * 64}, f'fullnameOverride is "{"x" * 64}": {LABEL}, or nothing.'),
    ({"watchNamespaces": ["a", "-b"]}, f'an item of watchNamespaces is "-b": {LABEL}.'),
    ({"image.digest": "abc"}, 'image.digest is "abc": write sha256: and 64 of 0-9 and a-f, or nothing.'),
    (
        {"podDisruptionBudget.maxUnavailable": "101%"},
        'podDisruptionBudget.maxUnavailable is "101%": write a number like 1, or a percentage like 50%.',
    ),
    ({"serviceMonitor.interval": "1"}, 'serviceMonitor.interval is "1": write a number and a unit, like 30s.'),
    (
        {"tracing.endpoint": "collector:4318"},
        'tracing.endpoint is "collector:4318": write a URL like http://collector:4318, or nothing.',
    ),
    (
        {"metrics.otlp.endpoint": "collector:4318"},
        'metrics.otlp.endpoint is "collector:4318": write a URL like http://collector:4318, or nothing.',
    ),
    (
        {"leaderElection.enabled": False},
        (
            "replicas is 2 and leaderElection.enabled is false: without a leader all replicas would write; set "
            "replicas to 1, or enable leader election."
        ),
    ),
    (
        {"leaderElection.enabled": False, "replicas": 1, "strategy": {"rollingUpdate": {"maxSurge": 1}}},
        (
            "strategy is set and leaderElection.enabled is false: two operators at the same time would both write; set "
            "strategy.type to Recreate, or enable leader election."
        ),
    ),
    (
        {"strategy": {"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}},
        (
            "strategy.type is Recreate, which ends all pods before others start: remove strategy.rollingUpdate, or set "
            "strategy.type to RollingUpdate."
        ),
    ),
    (
        {"resolver.strategy": {"type": "Recreate", "rollingUpdate": {"maxUnavailable": 1}}},
        (
            "resolver.strategy.type is Recreate, which ends all pods before others start: remove "
            "resolver.strategy.rollingUpdate, or set resolver.strategy.type to RollingUpdate."
        ),
    ),
    (
        {"networkPolicy.ingressFrom": [{"podselector": {}}]},
        (
            'a field of networkPolicy.ingressFrom is "podselector": write podSelector, namespaceSelector or ipBlock, '
            "as in a NetworkPolicy."
        ),
    ),
    (
        {"networkPolicy.egress": [{"toEntities": ["kube-apiserver"]}]},
        'a field of networkPolicy.egress is "toEntities": write to or ports, as in a NetworkPolicy.',
    ),
    (
        {
            "networkPolicy.kind": "CiliumNetworkPolicy",
            "resolver.networkPolicy.metricsFrom": [{"namespaceSelector": {}}],
        },
        (
            'a field of resolver.networkPolicy.metricsFrom is "namespaceSelector": write fromEndpoints, fromEntities '
            "or another source of a CiliumNetworkPolicy."
        ),
    ),
    (
        {"networkPolicy.kind": "CiliumNetworkPolicy", "networkPolicy.egress": [{"ports": [{"port": 443}]}]},
        (
            'a field of networkPolicy.egress is "ports": write toEndpoints, toEntities, toPorts or another field of a '
            "CiliumNetworkPolicy."
        ),
    ),
    ({"dnsPolicy": "None"}, "dnsPolicy is None: set dnsConfig.nameservers, too."),
    (
        {"dnsPolicy": "ClusterFirstWithHostNet"},
        'dnsPolicy is "ClusterFirstWithHostNet": write ClusterFirst, Default or None, or nothing.',
    ),
    (
        {"extraObjects": [{"kind": "Secret", "metadata": {"name": "x"}}]},
        (
            r'an item of extraObjects is "kind: Secret\nmetadata:\n  name: x": write an object with apiVersion, kind '
            "and metadata."
        ),
    ),
    (
        {"extraObjects": ["{{ .Release.Name }}"]},
        'an item of extraObjects is "statefulroute": write an object with apiVersion, kind and metadata.',
    ),
    (
        {"leaderElection.leaseDurationSeconds": 10},
        (
            "leaderElection.leaseDurationSeconds (10) must be more than leaderElection.renewDeadlineSeconds (10): the "
            "leader must stop before the next one may start."
        ),
    ),
    (
        {"leaderElection.renewDeadlineSeconds": 6, "leaderElection.retryPeriodSeconds": 5},
        (
            "leaderElection.renewDeadlineSeconds (6) must be more than 1.2 times leaderElection.retryPeriodSeconds "
            "(5): a failed renewal needs time for a retry."
        ),
    ),
    (
        {"serviceMonitor.enabled": True, "podMonitor.enabled": True},
        (
            "serviceMonitor.enabled and podMonitor.enabled are both true: every metric would be scraped twice; enable "
            "one of them."
        ),
    ),
    (
        {"image.registry": "https://registry.invalid"},
        (
            'image.registry is "https://registry.invalid": write a host like registry.example:5000, without https://, '
            "or nothing."
        ),
    ),
    (
        {"global.imageRegistry": "http://mirror.invalid"},
        (
            'global.imageRegistry is "http://mirror.invalid": write a host like registry.example:5000, without '
            "https://, or nothing."
        ),
    ),
    (
        {"imageCredentials.registry": "registry.invalid"},
        "imageCredentials.registry is set: set imageCredentials.username and imageCredentials.password, too.",
    ),
    (
        {"terminationGracePeriodSeconds": 60},
        (
            "releaseOnUninstall.timeoutSeconds (60) must be more than terminationGracePeriodSeconds (60): the operator "
            "may take that long to stop."
        ),
    ),
    (
        {"releaseOnUninstall.deadlineSeconds": 60},
        (
            "releaseOnUninstall.deadlineSeconds (60) must be more than releaseOnUninstall.timeoutSeconds (60): the Job "
            "waits that long for the operator to stop."
        ),
    ),
    (
        {"resolver.uidFrom": ["header:x-user-id", "x-user-id"]},
        (
            'an item of resolver.uidFrom is "x-user-id": write header:NAME, cookie:NAME, query:NAME, mcp-param:NAME, '
            "jwt:CLAIM or jwt:CLAIM@HEADER."
        ),
    ),
    (
        {"resolver.picker.defaultRoute": "game"},
        (
            'resolver.picker.defaultRoute is "game": write NAMESPACE/NAME of a StatefulRoute, like play/game, or '
            "nothing."
        ),
    ),
    (
        {"resolver.autoscaling.minReplicas": 11},
        "resolver.autoscaling.minReplicas (11) must not be more than resolver.autoscaling.maxReplicas (10).",
    ),
    (
        {"resolver.autoscaling.enabled": True, "resolver.resources.requests": {"cpu": None}},
        (
            "resolver.autoscaling.enabled is true: set resolver.resources.requests.cpu, of which the target is a "
            "percentage, or resolver.autoscaling.metrics."
        ),
    ),
    (
        {"service.ipFamilies": ["IPv4", "IPv6"]},
        (
            "service.ipFamilies has two families: name one, or set service.ipFamilyPolicy to PreferDualStack or "
            "RequireDualStack."
        ),
    ),
    (
        {"resolver.drainSeconds": 30},
        (
            "resolver.drainSeconds (30) must be less than resolver.terminationGracePeriodSeconds (30): the kubelet "
            "kills the pod after that time."
        ),
    ),
    (
        {"resolver.authentication.allowUsers": ["system:serviceaccount:play:gateway"]},
        (
            "resolver.authentication.allowUsers is set: set resolver.authentication.tokenAudience, too; users are "
            "authenticated by their tokens."
        ),
    ),
    (
        {"resolver.tls.clientCertificates": True},
        (
            "resolver.tls.clientCertificates is true: set resolver.tls.secretName to a Secret with tls.crt, tls.key "
            "and ca.crt, or resolver.tls.certificate.create."
        ),
    ),
    (
        {"metrics.tls.secretName": "by-hand", "metrics.tls.certificate.create": True},
        (
            'metrics.tls.certificate.create is true and metrics.tls.secretName is "by-hand": remove one of them; '
            "cert-manager would overwrite that Secret."
        ),
    ),
    (
        {"resolver.tls.certificate.create": True, "resolver.tls.certificate.issuerRef.kind": "ClusterIssuer"},
        (
            "resolver.tls.certificate.issuerRef is a ClusterIssuer of cert-manager.io without a name: set "
            "resolver.tls.certificate.issuerRef.name."
        ),
    ),
    (
        {"resolver.tls.certificate.duration": "90d"},
        'resolver.tls.certificate.duration is "90d": write hours, minutes and seconds like 2160h or 1h30m, or nothing.',
    ),
    (
        {"profiling.enabled": True, "profiling.port": 8443},
        (
            "profiling.port is 8443, at which operator or resolver listen already: use another number than 8080, 8081, "
            "8443 and 9002."
        ),
    ),
    (
        {"resolver.service.metricsPort": 8081},
        (
            "resolver.service.metricsPort is set: set resolver.metricsService.port instead, because the metrics have a "
            "Service of their own."
        ),
    ),
    (
        {"resolver.service.grpcPort": 8080},
        "resolver.service.httpPort and grpcPort must be two different numbers.",
    ),
    (
        {"resolver.enabled": True, "resolver.serviceAccount.name": "x", "serviceAccount.name": "x"},
        (
            'resolver.serviceAccount.name and serviceAccount.name are both "x": set create of one of them to false, '
            "or use two names."
        ),
    ),
]


REQUIRED = {
    ".".join(value.path): value.default
    for value in values_of(Values())
    if value.path[0] != GLOBAL and (value.is_group or not isinstance(value.default, dict | list | str) or value.choices)
}
GROUPS = sorted({path.rpartition(".")[0] for path in REQUIRED})


@pytest.mark.parametrize("group", GROUPS)
def test_chart_says_which_values_are_missing(helm4: Helm, group: str) -> None:
    missing = [path for path in REQUIRED if path.rpartition(".")[0] == group]
    (line,) = (
        line for line in helm4.render(nested(dict.fromkeys(missing))).stderr.splitlines() if line.startswith("no value")
    )
    assert set(missing) <= {*line.removeprefix("no value for ").partition(": ")[0].split(", ")}
    assert line.endswith("use --reset-then-reuse-values, which adds the defaults of new values.")


@pytest.mark.parametrize(("values", "message"), BY_THE_SCHEMA)
def test_schema_refuses_a_value_of_the_wrong_type(helm4: Helm, values: dict[str, Any], message: str) -> None:
    result = helm4.render(nested(values))
    (error,) = (line for line in result.stderr.splitlines() if line.startswith("- "))
    assert error.removeprefix("- ").startswith(message)


@pytest.mark.parametrize(("values", "message"), BY_THE_CHART)
def test_chart_refuses_a_value_with_the_wrong_pattern_and_says_what_to_write(
    helm4: Helm, values: dict[str, Any], message: str
) -> None:
    result = helm4.render(nested(values))
    assert result.code
    assert message in result.stderr.splitlines()


def test_both_versions_of_helm_print_the_error(helm: Helm) -> None:
    for values, message in (BY_THE_SCHEMA[0], BY_THE_CHART[0]):
        assert message in helm.render(nested(values)).stderr
