{{/*
Templates for the components, operator and resolver: each is a Deployment with an account, a PodDisruptionBudget and
monitors.
*/}}

{{/*
The Deployment of a component. Arguments: those of the template of its pods, and
  replicas   the number of its pods; nil if an autoscaler sets it
  recreates  whether all pods end before others start, unless the values say otherwise
*/}}
{{- define "statefulroute.deployment" -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  {{- include "statefulroute.metadata" (dict
    "root" .root
    "component" .component
    "namespace" (include "statefulroute.namespace" .root)
    "annotations" .values.deploymentAnnotations
  ) | nindent 2 }}
spec:
  {{- if not (kindIs "invalid" .replicas) }}
  replicas: {{ .replicas }}
  {{- end }}
  revisionHistoryLimit: {{ .root.Values.revisionHistoryLimit }}
  strategy:
    {{- with .values.strategy }}
    {{- toYaml . | nindent 4 }}
    {{- else }}
    {{- if .recreates }}
    type: Recreate
    {{- else }}
    type: RollingUpdate
    rollingUpdate:
      maxSurge: 1
      maxUnavailable: 0
    {{- end }}
    {{- end }}
  selector:
    matchLabels: {{- include "statefulroute.selectorLabels" (list .root .component) | nindent 6 }}
  template:
    {{- include "statefulroute.podTemplate" . | nindent 4 }}
{{- end -}}

{{/*
The environment variables of all components, as an array in `variables`.
*/}}
{{- define "statefulroute.environment" -}}
{{- $variables := list -}}
{{- with .Values.metrics.otlp -}}
{{- if .endpoint -}}
{{- $variables = append $variables (dict "name" "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT" "value" (printf "%s/v1/metrics" (trimSuffix "/" .endpoint))) -}}
{{- $variables = append $variables (dict "name" "OTEL_METRIC_EXPORT_INTERVAL" "value" (printf "%d000" (int .intervalSeconds))) -}}
{{- end -}}
{{- end -}}
{{- toYaml (dict "variables" $variables) -}}
{{- end -}}

{{/*
The template of a component's pods. Arguments:
  root         the root context
  component    the component
  values       the values of its pods: those of the chart, or a group of them
  account      the ServiceAccount's name
  arguments    the arguments of its command
  environment  environment variables before those of the values
  ports        the container's ports: numbers by name
  probed       the name of the port of its probes
  secrets      mounted Secrets: names by folder
*/}}
{{- define "statefulroute.podTemplate" -}}
{{- $component := . -}}
{{- $ports := .ports -}}
{{- $secrets := default dict .secrets -}}
{{- with include "statefulroute.metricsSecret" .root -}}
{{- $ports = merge (dict "secure-metrics" 8443) $ports -}}
{{- $secrets = merge (dict "metrics-tls" .) $secrets -}}
{{- end -}}
metadata:
  labels: {{- include "statefulroute.labels" (list .root .component .values.podLabels) | nindent 4 }}
  {{- include "statefulroute.annotations" (list .root (dict "kubectl.kubernetes.io/default-container" .component) .values.podAnnotations) | nindent 2 }}
spec:
  {{- include "statefulroute.pod" .root | nindent 2 }}
  {{- with include "statefulroute.nodes" (list .root .values) }}
  {{- trim . | nindent 2 }}
  {{- end }}
  serviceAccountName: {{ .account }}
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: {{ .values.terminationGracePeriodSeconds }}
  {{- with .values.priorityClassName | default (.root.Values.global).priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with .values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  topologySpreadConstraints:
    {{- with .values.topologySpreadConstraints }}
    {{- toYaml . | nindent 4 }}
    {{- else }}
    {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
    - maxSkew: 1
      topologyKey: {{ . }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels: {{- include "statefulroute.selectorLabels" (list $component.root $component.component) | nindent 10 }}
      matchLabelKeys:
        - pod-template-hash
    {{- end }}
    {{- end }}
  {{- with .values.extraInitContainers }}
  initContainers:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: {{ .component }}
      {{- include "statefulroute.container" .root | nindent 6 }}
      args:
        {{- .arguments | nindent 8 }}
      {{- $environment := get (include "statefulroute.environment" .root | fromYaml) "variables" }}
      {{- with concat (default list .environment) $environment (default list .values.extraEnv) }}
      env:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .values.extraEnvFrom }}
      envFrom:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        {{- range $name, $number := $ports }}
        - name: {{ $name }}
          containerPort: {{ $number }}
          protocol: TCP
        {{- end }}
      livenessProbe:
        httpGet:
          path: /healthz
          port: {{ .probed }}
        {{- toYaml .values.livenessProbe | nindent 8 }}
      readinessProbe:
        httpGet:
          path: /readyz
          port: {{ .probed }}
        {{- toYaml .values.readinessProbe | nindent 8 }}
      {{- with .values.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      volumeMounts:
        - name: tmp
          mountPath: /tmp
        {{- include "statefulroute.tokenMount" . | nindent 8 }}
        {{- range $folder, $secret := $secrets }}
        - name: {{ $folder }}
          mountPath: /{{ $folder }}
          readOnly: true
        {{- end }}
        {{- with .values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    {{- with .values.extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes:
    - name: tmp
      emptyDir:
        sizeLimit: 16Mi
    {{- include "statefulroute.tokenVolume" . | nindent 4 }}
    {{- range $folder, $secret := $secrets }}
    - name: {{ $folder }}
      secret:
        secretName: {{ $secret }}
    {{- end }}
    {{- with .values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{/*
The networks of a Service. The argument is its values.
*/}}
{{- define "statefulroute.serviceNetwork" -}}
{{- with .ipFamilyPolicy }}
ipFamilyPolicy: {{ . }}
{{- end }}
{{- with .ipFamilies }}
ipFamilies:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .trafficDistribution }}
trafficDistribution: {{ . }}
{{- end }}
{{- end -}}

{{/*
The ServiceAccount of a component. Arguments: the root, the component and its values.
*/}}
{{- define "statefulroute.account" -}}
{{- $root := first . -}}
{{- $component := index . 1 -}}
{{- with (last .).serviceAccount -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "statefulroute.metadata" (dict
    "root" $root
    "component" $component
    "name" (include "statefulroute.accountName" $)
    "namespace" (include "statefulroute.namespace" $root)
    "annotations" .annotations
  ) | nindent 2 }}
# Only the chart's own containers mount a token.
automountServiceAccountToken: false
{{- end -}}
{{- end -}}

{{/*
The name of that ServiceAccount. The same arguments.
*/}}
{{- define "statefulroute.accountName" -}}
{{- with (last .).serviceAccount -}}
{{- .name | default (.create | ternary (include "statefulroute.componentName" (list (first $) (index $ 1))) "default") -}}
{{- end -}}
{{- end -}}

{{/*
The PodDisruptionBudget of a component. The same arguments.
*/}}
{{- define "statefulroute.disruptionBudget" -}}
{{- $component := list (first .) (index . 1) -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "statefulroute.metadata" (dict "root" (first .) "component" (index . 1) "namespace" (include "statefulroute.namespace" (first .))) | nindent 2 }}
spec:
  maxUnavailable: {{ (last .).podDisruptionBudget.maxUnavailable }}
  # A pod that is not ready does not count as available.
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels: {{- include "statefulroute.selectorLabels" $component | nindent 6 }}
{{- end -}}

{{/*
The name of the port of a component's metrics. Arguments: the root, and the name of the port without TLS, which probes use.
*/}}
{{- define "statefulroute.metricsPort" -}}
{{- include "statefulroute.metricsSecret" (first .) | empty | ternary (last .) "secure-metrics" -}}
{{- end -}}

{{/*
How Prometheus connects to that port. Arguments: the root, the Service, and the values of the monitor.
*/}}
{{- define "statefulroute.secureScrape" -}}
{{- $root := first . -}}
{{- $monitor := last . -}}
{{- with include "statefulroute.metricsSecret" $root }}
scheme: https
tlsConfig:
  {{- with $monitor.tlsConfig }}
  {{- toYaml . | nindent 2 }}
  {{- else }}
  ca:
    secret:
      name: {{ . }}
      key: ca.crt
  serverName: {{ include "statefulroute.componentName" (list $root (index $ 1)) }}.{{ include "statefulroute.namespace" $root }}.svc
  {{- end }}
{{- if $root.Values.metrics.authentication }}
{{- with $monitor.authorization }}
authorization:
  {{- toYaml . | nindent 2 }}
{{- else }}
bearerTokenFile: /var/run/secrets/kubernetes.io/serviceaccount/token
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/*
A ServiceMonitor or PodMonitor of a component. Arguments: the root, the component, the name of its port without TLS, the
kind, the key of its endpoints, and the values of the kind.
*/}}
{{- define "statefulroute.monitor" -}}
{{- $root := first . -}}
{{- $component := list $root (index . 1) -}}
{{- with last . -}}
{{- $home := include "statefulroute.namespace" $root -}}
{{- $namespace := .namespace | default $home -}}
{{- $name := eq $namespace $home | ternary "componentName" "sharedName" -}}
apiVersion: monitoring.coreos.com/v1
kind: {{ index $ 3 }}
metadata:
  {{- include "statefulroute.metadata" (dict
    "root" $root
    "component" (last $component)
    "name" (include (printf "statefulroute.%s" $name) $component)
    "namespace" $namespace
    "labels" .labels
  ) | nindent 2 }}
spec:
  namespaceSelector:
    matchNames:
      - {{ $home }}
  selector:
    matchLabels: {{- include "statefulroute.selectorLabels" $component | nindent 6 }}
  {{- with .jobLabel }}
  jobLabel: {{ . }}
  {{- end }}
  {{- with .targetLabels }}
  targetLabels:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .podTargetLabels }}
  podTargetLabels:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with int .sampleLimit }}
  sampleLimit: {{ . }}
  {{- end }}
  {{ index $ 4 }}:
    {{- /* Not by a merge, which ignores false. */ -}}
    {{- $endpoint := include "statefulroute.endpoint" $ | fromYaml }}
    {{- range $field, $value := .endpointConfig }}
    {{- $_ := set $endpoint $field $value }}
    {{- if has $field (list "authorization" "basicAuth" "oauth2" "bearerTokenSecret") }}
    {{- /* Prometheus refuses a configuration with credentials of two kinds. */ -}}
    {{- $_ := unset $endpoint "bearerTokenFile" }}
    {{- end }}
    {{- end }}
    - {{- toYaml $endpoint | nindent 6 }}
{{- end -}}
{{- end -}}

{{/*
The endpoint of a monitor. The same arguments.
*/}}
{{- define "statefulroute.endpoint" -}}
{{- $root := first . -}}
{{- with last . -}}
port: {{ include "statefulroute.metricsPort" (list $root (index $ 2)) }}
path: /metrics
{{- with include "statefulroute.secureScrape" (list $root (eq (index $ 1) "operator" | ternary "metrics" "resolver-metrics") .) }}
{{ trim . }}
{{- end }}
# Keep the metrics' labels `namespace` and `pod`: they name the pod of the links, not the scraped pod.
honorLabels: true
interval: {{ .interval }}
{{- with .scrapeTimeout }}
scrapeTimeout: {{ . }}
{{- end }}
{{- with .relabelings }}
relabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
{{- end -}}
