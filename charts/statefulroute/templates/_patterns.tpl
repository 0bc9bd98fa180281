{{- /* Generated from the types in operator/statefulroute/api by `make generate`. Do not edit. */ -}}

{{- define "statefulroute.patterns" -}}
{{- include "statefulroute.checkPattern" (list "nameOverride" $.Values.nameOverride `([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?` "at most 63 of a-z, 0-9 and -, with a letter or digit at both ends, or nothing") -}}
{{- include "statefulroute.checkPattern" (list "fullnameOverride" $.Values.fullnameOverride `([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?` "at most 63 of a-z, 0-9 and -, with a letter or digit at both ends, or nothing") -}}
{{- include "statefulroute.checkPattern" (list "namespaceOverride" $.Values.namespaceOverride `([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?` "at most 63 of a-z, 0-9 and -, with a letter or digit at both ends, or nothing") -}}
{{- include "statefulroute.checkPattern" (list "image.digest" $.Values.image.digest `(sha256:[0-9a-f]{64})?` "sha256: and 64 of 0-9 and a-f, or nothing") -}}
{{- range $.Values.watchNamespaces -}}
{{- include "statefulroute.checkPattern" (list "an item of watchNamespaces" . `[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?` "at most 63 of a-z, 0-9 and -, with a letter or digit at both ends") -}}
{{- end -}}
{{- include "statefulroute.checkPattern" (list "serviceAccount.name" $.Values.serviceAccount.name `([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?` "at most 63 of a-z, 0-9 and -, with a letter or digit at both ends, or nothing") -}}
{{- include "statefulroute.checkPattern" (list "leaderElection.leaseName" $.Values.leaderElection.leaseName `([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?` "at most 63 of a-z, 0-9 and -, with a letter or digit at both ends, or nothing") -}}
{{- include "statefulroute.checkPattern" (list "flowSchemas.priorityLevel" $.Values.flowSchemas.priorityLevel `[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?` "at most 63 of a-z, 0-9 and -, with a letter or digit at both ends") -}}
{{- include "statefulroute.checkPattern" (list "tracing.endpoint" $.Values.tracing.endpoint `(https?://[^/].*)?` "a URL like http://collector:4318, or nothing") -}}
{{- include "statefulroute.checkPattern" (list "dnsPolicy" $.Values.dnsPolicy `(ClusterFirst|Default|None)?` "ClusterFirst, Default or None, or nothing") -}}
{{- include "statefulroute.checkPattern" (list "service.ipFamilyPolicy" $.Values.service.ipFamilyPolicy `(SingleStack|PreferDualStack|RequireDualStack)?` "SingleStack, PreferDualStack or RequireDualStack, or nothing") -}}
{{- include "statefulroute.checkPattern" (list "service.trafficDistribution" $.Values.service.trafficDistribution `(PreferSameZone|PreferSameNode|PreferClose)?` "PreferSameZone, PreferSameNode or PreferClose, or nothing") -}}
{{- include "statefulroute.checkPattern" (list "podDisruptionBudget.maxUnavailable" $.Values.podDisruptionBudget.maxUnavailable `[0-9]{1,5}|(100|[1-9]?[0-9])%` "a number like 1, or a percentage like 50%") -}}
{{- include "statefulroute.checkPattern" (list "metrics.tls.certificate.duration" $.Values.metrics.tls.certificate.duration `(([0-9]+(ms|[hms]))+)?` "hours, minutes and seconds like 2160h or 1h30m, or nothing") -}}
{{- include "statefulroute.checkPattern" (list "metrics.tls.certificate.renewBefore" $.Values.metrics.tls.certificate.renewBefore `(([0-9]+(ms|[hms]))+)?` "hours, minutes and seconds like 2160h or 1h30m, or nothing") -}}
{{- include "statefulroute.checkPattern" (list "metrics.otlp.endpoint" $.Values.metrics.otlp.endpoint `(https?://[^/].*)?` "a URL like http://collector:4318, or nothing") -}}
{{- include "statefulroute.checkPattern" (list "serviceMonitor.namespace" $.Values.serviceMonitor.namespace `([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?` "at most 63 of a-z, 0-9 and -, with a letter or digit at both ends, or nothing") -}}
{{- include "statefulroute.checkPattern" (list "serviceMonitor.interval" $.Values.serviceMonitor.interval `([0-9]+(ms|[smhdwy]))+` "a number and a unit, like 30s") -}}
{{- include "statefulroute.checkPattern" (list "serviceMonitor.scrapeTimeout" $.Values.serviceMonitor.scrapeTimeout `(([0-9]+(ms|[smhdwy]))+)?` "a number and a unit, like 10s, or nothing") -}}
{{- include "statefulroute.checkPattern" (list "podMonitor.namespace" $.Values.podMonitor.namespace `([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?` "at most 63 of a-z, 0-9 and -, with a letter or digit at both ends, or nothing") -}}
{{- include "statefulroute.checkPattern" (list "podMonitor.interval" $.Values.podMonitor.interval `([0-9]+(ms|[smhdwy]))+` "a number and a unit, like 30s") -}}
{{- include "statefulroute.checkPattern" (list "podMonitor.scrapeTimeout" $.Values.podMonitor.scrapeTimeout `(([0-9]+(ms|[smhdwy]))+)?` "a number and a unit, like 10s, or nothing") -}}
{{- include "statefulroute.checkPattern" (list "prometheusRule.namespace" $.Values.prometheusRule.namespace `([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?` "at most 63 of a-z, 0-9 and -, with a letter or digit at both ends, or nothing") -}}
{{- include "statefulroute.checkPattern" (list "prometheusRule.runbookUrl" $.Values.prometheusRule.runbookUrl `https?://.+/` "a URL that ends with a slash, like https://statefulroute.io/latest/runbooks/") -}}
{{- include "statefulroute.checkPattern" (list "grafanaDashboard.namespace" $.Values.grafanaDashboard.namespace `([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?` "at most 63 of a-z, 0-9 and -, with a letter or digit at both ends, or nothing") -}}
{{- range $.Values.resolver.uidFrom -}}
{{- include "statefulroute.checkPattern" (list "an item of resolver.uidFrom" . `(header|cookie|query):.+|mcp-param:[!#-'*+.0-9A-Z^-z|~-]+|jwt:[^@]+(@[^@]+)?` "header:NAME, cookie:NAME, query:NAME, mcp-param:NAME, jwt:CLAIM or jwt:CLAIM@HEADER") -}}
{{- end -}}
{{- include "statefulroute.checkPattern" (list "resolver.endpointHeader" $.Values.resolver.endpointHeader `[A-Za-z0-9_-]+` "the name of a header, like x-gateway-destination-endpoint") -}}
{{- include "statefulroute.checkPattern" (list "resolver.picker.defaultRoute" $.Values.resolver.picker.defaultRoute `([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?/[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?` "NAMESPACE/NAME of a StatefulRoute, like play/game, or nothing") -}}
{{- include "statefulroute.checkPattern" (list "resolver.picker.uidFromResponse" $.Values.resolver.picker.uidFromResponse `[A-Za-z0-9_-]*` "the name of a header, like mcp-session-id, or nothing") -}}
{{- include "statefulroute.checkPattern" (list "resolver.tls.certificate.duration" $.Values.resolver.tls.certificate.duration `(([0-9]+(ms|[hms]))+)?` "hours, minutes and seconds like 2160h or 1h30m, or nothing") -}}
{{- include "statefulroute.checkPattern" (list "resolver.tls.certificate.renewBefore" $.Values.resolver.tls.certificate.renewBefore `(([0-9]+(ms|[hms]))+)?` "hours, minutes and seconds like 2160h or 1h30m, or nothing") -}}
{{- include "statefulroute.checkPattern" (list "resolver.service.ipFamilyPolicy" $.Values.resolver.service.ipFamilyPolicy `(SingleStack|PreferDualStack|RequireDualStack)?` "SingleStack, PreferDualStack or RequireDualStack, or nothing") -}}
{{- include "statefulroute.checkPattern" (list "resolver.service.trafficDistribution" $.Values.resolver.service.trafficDistribution `(PreferSameZone|PreferSameNode|PreferClose)?` "PreferSameZone, PreferSameNode or PreferClose, or nothing") -}}
{{- include "statefulroute.checkPattern" (list "resolver.metricsService.ipFamilyPolicy" $.Values.resolver.metricsService.ipFamilyPolicy `(SingleStack|PreferDualStack|RequireDualStack)?` "SingleStack, PreferDualStack or RequireDualStack, or nothing") -}}
{{- include "statefulroute.checkPattern" (list "resolver.metricsService.trafficDistribution" $.Values.resolver.metricsService.trafficDistribution `(PreferSameZone|PreferSameNode|PreferClose)?` "PreferSameZone, PreferSameNode or PreferClose, or nothing") -}}
{{- include "statefulroute.checkPattern" (list "resolver.serviceAccount.name" $.Values.resolver.serviceAccount.name `([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?` "at most 63 of a-z, 0-9 and -, with a letter or digit at both ends, or nothing") -}}
{{- include "statefulroute.checkPattern" (list "resolver.podDisruptionBudget.maxUnavailable" $.Values.resolver.podDisruptionBudget.maxUnavailable `[0-9]{1,5}|(100|[1-9]?[0-9])%` "a number like 1, or a percentage like 50%") -}}
{{- end -}}
