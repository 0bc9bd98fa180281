{{/*
The prefix of all names: the release's name, with the chart's name unless it contains it. A release's name may contain
dots, and an alias of the chart capitals and underscores, which the name of a Service must not.
*/}}
{{- define "statefulroute.fullname" -}}
{{- $name := include "statefulroute.name" . | lower | replace "_" "-" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | replace "." "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | replace "." "-" | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/*
The namespace of the chart's objects, except of those that `watchNamespaces` and the values of monitoring put into others.
*/}}
{{- define "statefulroute.namespace" -}}
{{- .Values.namespaceOverride | default .Release.Namespace -}}
{{- end -}}

{{- define "statefulroute.name" -}}
{{- .Values.nameOverride | default .Chart.Name -}}
{{- end -}}

{{/*
The name of a component, at most 63 characters. Arguments: the root and the component, as in (list . "operator").
*/}}
{{- define "statefulroute.componentName" -}}
{{- $component := last . -}}
{{- $fullname := include "statefulroute.fullname" (first .) -}}
{{- printf "%s-%s" ($fullname | trunc (int (sub 62 (len $component))) | trimSuffix "-") $component -}}
{{- end -}}

{{/*
The name of a component's object that is cluster-wide, or in another namespace than the operator. A release with
`watchNamespaces` may be one of several with its name, so the operator's namespace is a part of the name. The same arguments.
*/}}
{{- define "statefulroute.sharedName" -}}
{{- include "statefulroute.componentName" . -}}
{{- with first . -}}
{{- if .Values.watchNamespaces }}.{{ include "statefulroute.namespace" . }}{{ end -}}
{{- end -}}
{{- end -}}

{{- define "statefulroute.serviceAccountName" -}}
{{- include "statefulroute.accountName" (list . "operator" .Values) -}}
{{- end -}}

{{- define "statefulroute.leaseName" -}}
{{- .Values.leaderElection.leaseName | default (include "statefulroute.componentName" (list . "operator")) -}}
{{- end -}}

{{/*
The labels that select the objects of one component. Arguments: the root and the component.
*/}}
{{- define "statefulroute.selectorLabels" -}}
{{- $root := first . -}}
app.kubernetes.io/name: {{ include "statefulroute.name" $root }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ last . }}
{{- end -}}

{{/*
The labels of an object. Arguments: the root, the component, and optional labels; the chart's labels take precedence.
*/}}
{{- define "statefulroute.labels" -}}
{{- $root := first . -}}
{{- $component := index . 1 -}}
{{- $own := include "statefulroute.selectorLabels" (list $root $component) | fromYaml -}}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-") -}}
{{- $_ := set $own "app.kubernetes.io/version" ($root.Chart.AppVersion | replace "+" "_" | trunc 63 | trimSuffix "-") -}}
{{- $_ := set $own "app.kubernetes.io/part-of" "statefulroute" -}}
{{- $_ := set $own "app.kubernetes.io/managed-by" $root.Release.Service -}}
{{- $more := gt (len .) 2 | ternary (last .) dict -}}
{{- $common := mergeOverwrite dict (default dict ($root.Values.global).commonLabels) (default dict $root.Values.commonLabels) -}}
{{- toYaml (mergeOverwrite $common (default dict $more) $own) -}}
{{- end -}}

{{/*
The annotations of an object, or nothing. Arguments: the root, and groups of annotations, of which later ones take precedence.
*/}}
{{- define "statefulroute.annotations" -}}
{{- $all := dict -}}
{{- range prepend (rest .) (first .).Values.commonAnnotations -}}
{{- $all = mergeOverwrite $all (default dict .) -}}
{{- end -}}
{{- with $all -}}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}

{{/*
The metadata of an object. Arguments:
  root         the root context
  component    the component that it belongs to
  name         its name; by default the component's
  namespace    its namespace; without it, it is cluster-wide
  labels       labels of its own, or nothing
  annotations  annotations of its own, or nothing
  hook         the hook event, if it exists only for a hook
  weight       the weight of the hook; the lightest is created first
*/}}
{{- define "statefulroute.metadata" -}}
{{- $component := list .root .component -}}
name: {{ .name | default (include "statefulroute.componentName" $component) }}
{{- with .namespace }}
namespace: {{ . }}
{{- end }}
labels: {{- include "statefulroute.labels" (append $component .labels) | nindent 2 }}
{{- with include "statefulroute.annotations" (list .root .annotations (include "statefulroute.hook" . | fromYaml)) }}
{{ . }}
{{- end }}
{{- end -}}
