{{/*
The prefix of all names: the release's name, with the chart's name unless it contains it. A release's name may contain
dots, which the name of a Service must not.
*/}}
{{- define "statefulroute.fullname" -}}
{{- $name := include "statefulroute.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | replace "." "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | replace "." "-" | trunc 63 | trimSuffix "-" -}}
{{- end -}}
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
{{- toYaml (mergeOverwrite dict (default dict $root.Values.commonLabels) (default dict $more) $own) -}}
{{- end -}}
