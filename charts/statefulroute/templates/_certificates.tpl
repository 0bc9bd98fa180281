{{/*
The Secret with the certificate of the resolver, or nothing without TLS.
*/}}
{{- define "statefulroute.resolverSecret" -}}
{{- include "statefulroute.tlsSecret" (list . "resolver-tls" .Values.resolver.tls) -}}
{{- end -}}

{{/*
The Secret with the certificate of the metrics, or nothing without TLS.
*/}}
{{- define "statefulroute.metricsSecret" -}}
{{- include "statefulroute.tlsSecret" (list . "metrics-tls" .Values.metrics.tls) -}}
{{- end -}}

{{/*
The Secret of a certificate: the one of the values, or that of the Certificate. Arguments: the root, the name of the Certificate as a
component, and the values of TLS.
*/}}
{{- define "statefulroute.tlsSecret" -}}
{{- with last . -}}
{{- .certificate.create | ternary (include "statefulroute.componentName" (list (first $) (index $ 1))) (default "" .secretName) -}}
{{- end -}}
{{- end -}}

{{/*
A Certificate of Services. Arguments:
  root       the root context
  component  the name of the Certificate and of its Secret, as a component
  values     the values of the Certificate
  services   the components with the names of the Services
  usages     what it is for
*/}}
{{- define "statefulroute.certificate" -}}
{{- $namespace := include "statefulroute.namespace" .root -}}
{{- $names := list -}}
{{- range .services -}}
{{- $service := include "statefulroute.componentName" (list $.root .) -}}
{{- range list "" (printf ".%s" $namespace) (printf ".%s.svc" $namespace) (printf ".%s.svc.cluster.local" $namespace) -}}
{{- $names = append $names (printf "%s%s" $service .) -}}
{{- end -}}
{{- end -}}
apiVersion: cert-manager.io/v1
kind: Certificate
metadata:
  {{- include "statefulroute.metadata" (dict "root" .root "component" .component "namespace" $namespace) | nindent 2 }}
spec:
  secretName: {{ include "statefulroute.componentName" (list .root .component) }}
  {{- with .values.secretTemplate }}
  secretTemplate:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  dnsNames:
    {{- concat $names (default list .values.dnsNames) | uniq | toYaml | nindent 4 }}
  usages:
    {{- toYaml .usages | nindent 4 }}
  {{- with .values.duration }}
  duration: {{ . }}
  {{- end }}
  {{- with .values.renewBefore }}
  renewBefore: {{ . }}
  {{- end }}
  {{- with .values.privateKey }}
  privateKey:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  issuerRef:
    name: {{ .values.issuerRef.name | default (include "statefulroute.componentName" (list .root "ca")) }}
    kind: {{ .values.issuerRef.kind }}
    group: {{ .values.issuerRef.group }}
{{- end -}}

{{/*
Whether a Certificate of the release is issued by the authority of the release: `true` or nothing.
*/}}
{{- define "statefulroute.hasAuthority" -}}
{{- $metrics := .Values.metrics.tls.certificate -}}
{{- $resolver := .Values.resolver.tls.certificate -}}
{{- if or (and $metrics.create (not $metrics.issuerRef.name)) (and .Values.resolver.enabled $resolver.create (not $resolver.issuerRef.name)) -}}
true
{{- end -}}
{{- end -}}
