{{/*
The annotations of a hook. Takes the event and the weight: the lightest is made first.
*/}}
{{- define "statefulroute.hook" -}}
helm.sh/hook: {{ first . }}
helm.sh/hook-weight: {{ last . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}

{{/*
The name of the account that a hook's command has: one of its own, unless the chart is to make none. Takes the root and
the part.
*/}}
{{- define "statefulroute.commandAccountName" -}}
{{- $root := first . -}}
{{- $root.Values.serviceAccount.create | ternary (include "statefulroute.partname" .) (include "statefulroute.serviceAccountName" $root) -}}
{{- end -}}

{{/*
That account. Takes the root, the part and the event.
*/}}
{{- define "statefulroute.commandAccount" -}}
{{- $root := first . -}}
{{- if $root.Values.serviceAccount.create }}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "statefulroute.partname" (list $root (index . 1)) }}
  namespace: {{ $root.Release.Namespace }}
  labels: {{- include "statefulroute.labels" (list $root (index . 1)) | nindent 4 }}
  annotations: {{- include "statefulroute.hook" (list (last .) "-3") | nindent 4 }}
automountServiceAccountToken: false
{{- end }}
{{- end -}}

{{/*
A container that runs `statefulroute release`. Takes the root, and where.
*/}}
{{- define "statefulroute.releaseContainer" -}}
{{- $root := first . -}}
{{- include "statefulroute.container" $root }}
args:
  - release
  - --operator={{ $root.Release.Namespace }}/{{ include "statefulroute.partname" (list $root "operator") }}
  - --timeout={{ int $root.Values.releaseOnUninstall.timeoutSeconds }}
  - {{ last . }}
resources: {{- include "statefulroute.commandResources" $root | nindent 2 }}
{{- end -}}
