{{- define "statefulroute-crds.labels" -}}
{{- $own := dict -}}
{{- $_ := set $own "app.kubernetes.io/name" .Chart.Name -}}
{{- $_ := set $own "app.kubernetes.io/instance" .Release.Name -}}
{{- $_ := set $own "app.kubernetes.io/component" "api" -}}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-") -}}
{{- $_ := set $own "app.kubernetes.io/version" (.Chart.AppVersion | replace "+" "_" | trunc 63 | trimSuffix "-") -}}
{{- $_ := set $own "app.kubernetes.io/part-of" "statefulroute" -}}
{{- $_ := set $own "app.kubernetes.io/managed-by" .Release.Service -}}
{{- toYaml (mergeOverwrite dict (default dict (.Values.global).commonLabels) (default dict .Values.commonLabels) $own) -}}
{{- end -}}

{{- define "statefulroute-crds.annotations" -}}
{{- $keep := ternary (dict "helm.sh/resource-policy" "keep") dict .Values.keep -}}
{{- with mergeOverwrite dict (default dict .Values.commonAnnotations) $keep -}}
{{- toYaml . -}}
{{- end -}}
{{- end -}}
