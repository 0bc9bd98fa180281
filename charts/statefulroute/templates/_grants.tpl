{{/*
A role and its binding to an account of the release's namespace. Takes
  root       the root
  part       the part that they belong to
  name       the name of both
  namespace  where they are; without it, both are for the whole cluster
  rules      the named rules of _rules.tpl
  account    the ServiceAccount's name
  hook       the event, where they are there for a hook only
*/}}
{{- define "statefulroute.grant" -}}
{{- $kind := empty .namespace | ternary "ClusterRole" "Role" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}
metadata:
  {{- include "statefulroute.grantMetadata" (list . "-2") | nindent 2 }}
rules:
  {{- include (printf "statefulroute.rules.%s" .rules) .root | nindent 2 }}
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
labels: {{- include "statefulroute.labels" (list .root .part) | nindent 2 }}
{{- with .hook }}
annotations: {{- include "statefulroute.hook" (list . $weight) | nindent 2 }}
{{- end }}
{{- end -}}
{{- end -}}

{{/*
A role that is to be bound by those who need it. Takes the same, without account and hook.
*/}}
{{- define "statefulroute.role" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ empty .namespace | ternary "ClusterRole" "Role" }}
metadata:
  {{- include "statefulroute.grantMetadata" (list . "") | nindent 2 }}
rules:
  {{- include (printf "statefulroute.rules.%s" .rules) .root | nindent 2 }}
{{- end -}}
