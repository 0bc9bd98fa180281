{{/*
A role and its binding to an account in the namespace of the operator. Arguments: those of `statefulroute.metadata` for both, and
  rules      the named rules of _rules.tpl
  moreRules  more of them, or nothing
  workloads  whether the account works with workloads, which may be of other kinds, annotates them, and plans disruptions
  account    the ServiceAccount's name
*/}}
{{- define "statefulroute.grant" -}}
{{- $kind := empty .namespace | ternary "ClusterRole" "Role" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}
metadata:
  {{- include "statefulroute.metadata" (merge (dict "weight" "-2") .) | nindent 2 }}
rules:
  {{- include (printf "statefulroute.rules.%s" .rules) .root | nindent 2 }}
  {{- if .moreRules }}
  {{- include (printf "statefulroute.rules.%s" .moreRules) .root | nindent 2 }}
  {{- end }}
  {{- if .workloads }}
  {{- if .root.Values.writeAnnotations }}
  {{- include "statefulroute.rules.annotations" .root | nindent 2 }}
  {{- end }}
  {{- if .root.Values.planDisruptions }}
  {{- include (printf "statefulroute.rules.%sDisruptions" .rules) .root | nindent 2 }}
  {{- end }}
  {{- if and .root.Values.createSlots (hasPrefix "operator" .rules) }}
  {{- include "statefulroute.rules.slots" .root | nindent 2 }}
  {{- end }}
  {{- with include "statefulroute.workloadKindRules" (list .root .component) | trim }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- end }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}Binding
metadata:
  {{- include "statefulroute.metadata" (merge (dict "weight" "-1") .) | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ $kind }}
  name: {{ .name }}
subjects:
  - kind: ServiceAccount
    name: {{ .account }}
    namespace: {{ include "statefulroute.namespace" .root }}
{{- end -}}

{{/*
The rules for the kinds of `workloadKinds`: the operator watches them, reads their scales, and annotates them; `release` removes the
annotations. Arguments: the root and the component.
*/}}
{{- define "statefulroute.workloadKindRules" -}}
{{- $root := first . -}}
{{- $annotates := $root.Values.writeAnnotations -}}
{{- $isOperator := eq (last .) "operator" -}}
{{- range $root.Values.workloadKinds }}
{{- if $isOperator }}
- apiGroups:
    - {{ .apiGroup | quote }}
  resources:
    - {{ .resource }}/scale
  verbs:
    - get
    {{- if $root.Values.planDisruptions }}
    - patch
    {{- end }}
- apiGroups:
    - {{ .apiGroup | quote }}
  resources:
    - {{ .resource }}
  verbs:
    - list
    - watch
{{- end }}
{{- if or $annotates (not $isOperator) }}
- apiGroups:
    - {{ .apiGroup | quote }}
  resources:
    - {{ .resource }}
  verbs:
    - get
    {{- if $annotates }}
    - patch
    {{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/*
The operator's account, as FlowSchemas name it.
*/}}
{{- define "statefulroute.flowSubjects" -}}
- kind: ServiceAccount
  serviceAccount:
    namespace: {{ include "statefulroute.namespace" . }}
    name: {{ include "statefulroute.serviceAccountName" . }}
{{- end -}}

{{/*
A role for applications and people, who bind it themselves. The same arguments, without the account.
*/}}
{{- define "statefulroute.role" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ empty .namespace | ternary "ClusterRole" "Role" }}
metadata:
  {{- include "statefulroute.metadata" . | nindent 2 }}
rules:
  {{- include (printf "statefulroute.rules.%s" .rules) .root | nindent 2 }}
{{- end -}}
