{{/*
The beginning of all names: the release's, with the chart's unless it is in it already. A release's name may have
dots, which a Service's may not.
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
The name of one part, at most 63 characters. Takes the root and the part: (list . "operator").
*/}}
{{- define "statefulroute.partname" -}}
{{- $part := last . -}}
{{- $fullname := include "statefulroute.fullname" (first .) -}}
{{- printf "%s-%s" ($fullname | trunc (int (sub 62 (len $part))) | trimSuffix "-") $part -}}
{{- end -}}

{{- define "statefulroute.serviceAccountName" -}}
{{- include "statefulroute.accountName" (list . "operator" .Values) -}}
{{- end -}}

{{- define "statefulroute.leaseName" -}}
{{- .Values.leaderElection.leaseName | default (include "statefulroute.partname" (list . "operator")) -}}
{{- end -}}

{{/*
What tells the objects of one part from all others. Takes the root and the part.
*/}}
{{- define "statefulroute.selectorLabels" -}}
{{- $root := first . -}}
app.kubernetes.io/name: {{ include "statefulroute.name" $root }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ last . }}
{{- end -}}

{{/*
The labels of an object. Takes the root, the part, and more labels if there are any; the chart's own win.
*/}}
{{- define "statefulroute.labels" -}}
{{- $root := first . -}}
{{- $part := index . 1 -}}
{{- $own := include "statefulroute.selectorLabels" (list $root $part) | fromYaml -}}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-") -}}
{{- $_ := set $own "app.kubernetes.io/version" ($root.Chart.AppVersion | replace "+" "_" | trunc 63 | trimSuffix "-") -}}
{{- $_ := set $own "app.kubernetes.io/part-of" "statefulroute" -}}
{{- $_ := set $own "app.kubernetes.io/managed-by" $root.Release.Service -}}
{{- $more := gt (len .) 2 | ternary (last .) dict -}}
{{- toYaml (mergeOverwrite dict (default dict $root.Values.commonLabels) (default dict $more) $own) -}}
{{- end -}}
