{{/*
The arguments of the operator; `statefulroute operator --help` explains them.
*/}}
{{- define "statefulroute.operatorArguments" -}}
- operator
- --bind-address=:8080
{{- include "statefulroute.metricsArguments" . }}
{{- if .Values.leaderElection.enabled }}
- --leader-elect
- --lease-name={{ include "statefulroute.leaseName" . }}
- --lease-namespace={{ include "statefulroute.namespace" . }}
- --lease-duration-seconds={{ int .Values.leaderElection.leaseDurationSeconds }}
- --renew-deadline-seconds={{ int .Values.leaderElection.renewDeadlineSeconds }}
- --retry-period-seconds={{ int .Values.leaderElection.retryPeriodSeconds }}
{{- else }}
- --no-leader-elect
{{- end }}
{{ include "statefulroute.sharedArguments" . }}
- --parallel-writes={{ int .Values.parallelWrites }}
- --moves-per-second={{ int .Values.movesPerSecond }}
{{- if not .Values.writeAnnotations }}
- --no-annotate
{{- end }}
{{- if not .Values.planDisruptions }}
- --no-plan-disruptions
{{- end }}
{{- with .Values.extraArgs }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/*
The namespaces that an operator with these arguments serves, as JSON; an empty list is the whole cluster. The argument is a
list of arguments.
*/}}
{{- define "statefulroute.servedNamespaces" -}}
{{- $namespaces := list -}}
{{- $previous := "" -}}
{{- range . -}}
{{- if eq $previous "--watch-namespace" -}}
{{- $namespaces = append $namespaces . -}}
{{- else if hasPrefix "--watch-namespace=" (toString .) -}}
{{- $namespaces = append $namespaces (trimPrefix "--watch-namespace=" .) -}}
{{- end -}}
{{- $previous = toString . -}}
{{- end -}}
{{- toJson $namespaces -}}
{{- end -}}

{{/*
The arguments of the resolver; `statefulroute resolver --help` explains them.
*/}}
{{- define "statefulroute.resolverArguments" -}}
- resolver
- --http-address=:8080
- --bind-address=:8081
{{- include "statefulroute.metricsArguments" . }}
{{- with .Values.resolver }}
{{- if .picker.enabled }}
- --grpc-address=:9002
{{- with .picker.defaultRoute }}
- --default-route={{ . }}
{{- end }}
{{- with .picker.uidFromResponse }}
- --uid-from-response={{ . }}
{{- end }}
{{- end }}
{{ include "statefulroute.sharedArguments" $ }}
- --unknown-uid={{ .unknownUid }}
{{- range .uidFrom }}
- {{ printf "--uid-from=%s" . | quote }}
{{- end }}
- --endpoint-header={{ .endpointHeader }}
- --new-links={{ .temporaryLinks | ternary "temporary" "persistent" }}
- --bindings-per-second={{ int .bindingsPerSecond }}
{{- if .linkChanges }}
- --link-changes
{{- end }}
{{- with int .requestsPerSecond }}
- --requests-per-second={{ . }}
{{- end }}
{{- with .authentication }}
{{- with .tokenAudience }}
- {{ printf "--token-audience=%s" . | quote }}
{{- end }}
{{- range .allowUsers }}
- {{ printf "--allow-user=%s" . | quote }}
{{- end }}
{{- if .allowUsers }}
- --allow-user=system:serviceaccount:{{ include "statefulroute.namespace" $ }}:{{ include "statefulroute.commandAccountName" (list $ "test") }}
{{- end }}
{{- end }}
{{- if include "statefulroute.resolverSecret" $ }}
- --tls-certificate=/tls/tls.crt
- --tls-key=/tls/tls.key
- --tls-min-version={{ .tls.minVersion }}
{{- with .tls.cipherSuites }}
- --tls-cipher-suites={{ join "," . }}
{{- end }}
{{- if .tls.clientCertificates }}
- --client-ca=/tls/ca.crt
{{- end }}
{{- end }}
{{- with int .holdSeconds }}
- --hold-seconds={{ . }}
- --max-held={{ int $.Values.resolver.maxHeld }}
{{- end }}
{{- with int .maxAgeSeconds }}
- --max-age={{ . }}
{{- end }}
- --drain-seconds={{ int .drainSeconds }}
{{- with .extraArgs }}
{{ toYaml . }}
{{- end }}
{{- end }}
{{- end -}}

{{/*
The arguments that both have.
*/}}
{{- define "statefulroute.sharedArguments" -}}
- --log-level={{ .Values.logLevel }}
- --log-format={{ .Values.logFormat }}
{{- with .Values.profiling }}
{{- if .enabled }}
- --profiling-address=127.0.0.1:{{ int .port }}
{{- end }}
{{- end }}
{{- if .Values.hashUids }}
- --hash-uids
{{- end }}
{{- if .Values.keepManagedFields }}
- --keep-managed-fields
{{- end }}
{{- range .Values.watchNamespaces }}
- --watch-namespace={{ . }}
{{- end }}
{{- end -}}

{{/*
Those for metrics over TLS, which both have.
*/}}
{{- define "statefulroute.metricsArguments" -}}
{{- if include "statefulroute.metricsSecret" . }}
- --metrics-address=:8443
- --metrics-tls-certificate=/metrics-tls/tls.crt
- --metrics-tls-key=/metrics-tls/tls.key
{{- with .Values.metrics.tls }}
- --metrics-tls-min-version={{ .minVersion }}
{{- with .cipherSuites }}
- --metrics-tls-cipher-suites={{ join "," . }}
{{- end }}
{{- end }}
{{- if .Values.metrics.authentication }}
- --metrics-authentication
{{- end }}
{{- end }}
{{- end -}}
