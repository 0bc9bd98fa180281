{{- /* Generated from the types in operator/statefulroute/api by `make generate`. Do not edit. */ -}}

{{- define "statefulroute.presence" -}}
{{- include "statefulroute.checkPresence" (list $.Values "" (list "enabled" "image" "imageCredentials" "replicas" "crds" "admissionPolicies" "rbac" "serviceAccount" "leaderElection" "flowSchemas" "parallelWrites" "movesPerSecond" "keepManagedFields" "writeAnnotations" "planDisruptions" "createSlots" "logLevel" "logFormat" "hashUids" "tracing" "profiling" "hostUsers" "enableServiceLinks" "revisionHistoryLimit" "terminationGracePeriodSeconds" "livenessProbe" "readinessProbe" "service" "podDisruptionBudget" "networkPolicy" "metrics" "serviceMonitor" "podMonitor" "prometheusRule" "grafanaDashboard" "resolver" "releaseOnUninstall" "hooks" "test")) -}}
{{- include "statefulroute.checkPresence" (list $.Values.image "image." (list "repository" "pullPolicy")) -}}
{{- include "statefulroute.checkPresence" (list $.Values.crds "crds." (list "install" "keep")) -}}
{{- include "statefulroute.checkPresence" (list $.Values.admissionPolicies "admissionPolicies." (list "install")) -}}
{{- include "statefulroute.checkPresence" (list $.Values.rbac "rbac." (list "create" "applicationRoles" "aggregate")) -}}
{{- include "statefulroute.checkPresence" (list $.Values.serviceAccount "serviceAccount." (list "create")) -}}
{{- include "statefulroute.checkPresence" (list $.Values.leaderElection "leaderElection." (list "enabled" "leaseDurationSeconds" "renewDeadlineSeconds" "retryPeriodSeconds")) -}}
{{- include "statefulroute.checkPresence" (list $.Values.flowSchemas "flowSchemas." (list "install" "priorityLevel")) -}}
{{- include "statefulroute.checkPresence" (list $.Values.profiling "profiling." (list "enabled" "port")) -}}
{{- include "statefulroute.checkPresence" (list $.Values.livenessProbe "livenessProbe." (list "periodSeconds" "timeoutSeconds" "failureThreshold")) -}}
{{- include "statefulroute.checkPresence" (list $.Values.readinessProbe "readinessProbe." (list "periodSeconds" "timeoutSeconds" "failureThreshold")) -}}
{{- include "statefulroute.checkPresence" (list $.Values.service "service." (list "port")) -}}
{{- include "statefulroute.checkPresence" (list $.Values.podDisruptionBudget "podDisruptionBudget." (list "enabled" "maxUnavailable")) -}}
{{- include "statefulroute.checkPresence" (list $.Values.networkPolicy "networkPolicy." (list "enabled" "kind")) -}}
{{- include "statefulroute.checkPresence" (list $.Values.metrics "metrics." (list "tls" "authentication" "otlp")) -}}
{{- include "statefulroute.checkPresence" (list $.Values.metrics.tls "metrics.tls." (list "certificate" "minVersion")) -}}
{{- include "statefulroute.checkPresence" (list $.Values.metrics.tls.certificate "metrics.tls.certificate." (list "create" "issuerRef")) -}}
{{- include "statefulroute.checkPresence" (list $.Values.metrics.tls.certificate.issuerRef "metrics.tls.certificate.issuerRef." (list "kind" "group")) -}}
{{- include "statefulroute.checkPresence" (list $.Values.metrics.otlp "metrics.otlp." (list "intervalSeconds")) -}}
{{- include "statefulroute.checkPresence" (list $.Values.serviceMonitor "serviceMonitor." (list "enabled" "interval" "sampleLimit")) -}}
{{- include "statefulroute.checkPresence" (list $.Values.podMonitor "podMonitor." (list "enabled" "interval" "sampleLimit")) -}}
{{- include "statefulroute.checkPresence" (list $.Values.prometheusRule "prometheusRule." (list "enabled" "runbookUrl")) -}}
{{- include "statefulroute.checkPresence" (list $.Values.grafanaDashboard "grafanaDashboard." (list "enabled")) -}}
{{- include "statefulroute.checkPresence" (list $.Values.resolver "resolver." (list "enabled" "replicas" "autoscaling" "unknownUid" "uidFrom" "endpointHeader" "temporaryLinks" "bindingsPerSecond" "linkChanges" "requestsPerSecond" "holdSeconds" "maxHeld" "maxAgeSeconds" "drainSeconds" "picker" "authentication" "tls" "service" "metricsService" "serviceAccount" "terminationGracePeriodSeconds" "livenessProbe" "readinessProbe" "podDisruptionBudget" "networkPolicy")) -}}
{{- include "statefulroute.checkPresence" (list $.Values.resolver.autoscaling "resolver.autoscaling." (list "enabled" "minReplicas" "maxReplicas" "targetCPUUtilizationPercentage")) -}}
{{- include "statefulroute.checkPresence" (list $.Values.resolver.picker "resolver.picker." (list "enabled")) -}}
{{- include "statefulroute.checkPresence" (list $.Values.resolver.tls "resolver.tls." (list "certificate" "clientCertificates" "minVersion")) -}}
{{- include "statefulroute.checkPresence" (list $.Values.resolver.tls.certificate "resolver.tls.certificate." (list "create" "issuerRef")) -}}
{{- include "statefulroute.checkPresence" (list $.Values.resolver.tls.certificate.issuerRef "resolver.tls.certificate.issuerRef." (list "kind" "group")) -}}
{{- include "statefulroute.checkPresence" (list $.Values.resolver.service "resolver.service." (list "headless" "httpPort" "grpcPort")) -}}
{{- include "statefulroute.checkPresence" (list $.Values.resolver.metricsService "resolver.metricsService." (list "port")) -}}
{{- include "statefulroute.checkPresence" (list $.Values.resolver.serviceAccount "resolver.serviceAccount." (list "create")) -}}
{{- include "statefulroute.checkPresence" (list $.Values.resolver.livenessProbe "resolver.livenessProbe." (list "periodSeconds" "timeoutSeconds" "failureThreshold")) -}}
{{- include "statefulroute.checkPresence" (list $.Values.resolver.readinessProbe "resolver.readinessProbe." (list "periodSeconds" "timeoutSeconds" "failureThreshold")) -}}
{{- include "statefulroute.checkPresence" (list $.Values.resolver.podDisruptionBudget "resolver.podDisruptionBudget." (list "enabled" "maxUnavailable")) -}}
{{- include "statefulroute.checkPresence" (list $.Values.resolver.networkPolicy "resolver.networkPolicy." (list "enabled")) -}}
{{- include "statefulroute.checkPresence" (list $.Values.releaseOnUninstall "releaseOnUninstall." (list "enabled" "timeoutSeconds" "deadlineSeconds")) -}}
{{- include "statefulroute.checkPresence" (list $.Values.test "test." (list "timeoutSeconds")) -}}
{{- end -}}
