{{/*
A role and its binding to an account of the release's namespace. Arguments:
  root       the root context
  component  the component that they belong to
  name       the name of both
  namespace  their namespace; without it, both are cluster-wide
  rules      the named rules of _rules.tpl
  annotates  whether the account annotates pods and workloads, too
  account    the ServiceAccount's name
  hook       the hook event, if they exist only for a hook
*/}}
{{- define "statefulroute.grant" -}}
{{- $kind := empty .namespace | ternary "ClusterRole" "Role" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}
metadata:
  {{- include "statefulroute.grantMetadata" (list . "-2") | nindent 2 }}
rules:
  {{- include (printf "statefulroute.rules.%s" .rules) .root | nindent 2 }}
  {{- if .annotates }}
  {{- include "statefulroute.rules.annotations" .root | nindent 2 }}
  {{- end }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}Binding
metadata:
  {{- include "statefulroute.grantMetadata" (list . "-1") | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ $kind }}
  name: {{ .name }}
subjects:
  - kind: ServiceAccount
    name: {{ .account }}
    namespace: {{ .root.Release.Namespace }}
{{- end -}}

{{- define "statefulroute.grantMetadata" -}}
{{- $weight := last . -}}
{{- with first . -}}
name: {{ .name }}
{{- with .namespace }}
namespace: {{ . }}
{{- end }}
labels: {{- include "statefulroute.labels" (list .root .component) | nindent 2 }}
{{- with .hook }}
annotations: {{- include "statefulroute.hook" (list . $weight) | nindent 2 }}
{{- end }}
{{- end -}}
{{- end -}}

{{/*
A role for applications, which bind it themselves. The same arguments, without account and hook.
*/}}
{{- define "statefulroute.role" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ empty .namespace | ternary "ClusterRole" "Role" }}
metadata:
  {{- include "statefulroute.grantMetadata" (list . "") | nindent 2 }}
rules:
  {{- include (printf "statefulroute.rules.%s" .rules) .root | nindent 2 }}
{{- end -}}
