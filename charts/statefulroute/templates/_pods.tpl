{{- define "statefulroute.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{- printf "%s@%s" .repository .digest -}}
{{- else -}}
{{- printf "%s:%s" .repository (.tag | default $.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
The start of the spec of every pod.
*/}}
{{- define "statefulroute.pod" -}}
{{- $secrets := .Values.imagePullSecrets -}}
{{- if .Values.imageCredentials.registry -}}
{{- $secrets = append $secrets (dict "name" (include "statefulroute.componentName" (list . "pull"))) -}}
{{- end -}}
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with $secrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if not .Values.hostUsers }}
hostUsers: false
{{- end }}
{{- if not .Values.enableServiceLinks }}
enableServiceLinks: false
{{- end }}
{{- with .Values.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with .Values.schedulerName }}
schedulerName: {{ . }}
{{- end }}
{{- with .Values.hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.dnsPolicy }}
dnsPolicy: {{ . }}
{{- end }}
{{- with .Values.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/*
The nodes of a pod. Arguments: the root, and the values of the pod, whose selector and tolerations take precedence; the
operating system stays, unless the pod's selector has one.
*/}}
{{- define "statefulroute.nodes" -}}
{{- $all := (first .).Values -}}
{{- $system := pick $all.nodeSelector "kubernetes.io/os" -}}
{{- with merge dict (default $all.nodeSelector (last .).nodeSelector) $system }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with (last .).tolerations | default $all.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/*
The start of every container.
*/}}
{{- define "statefulroute.container" -}}
image: {{ include "statefulroute.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
{{- end -}}

{{/*
The resources of a container that runs one command.
*/}}
{{- define "statefulroute.commandResources" -}}
{{- toYaml .Values.hooks.resources -}}
{{- end -}}

{{/*
The labels and annotations of a pod that runs one command. Arguments: the root and the component.
*/}}
{{- define "statefulroute.commandMetadata" -}}
{{- with (first .).Values.hooks -}}
labels: {{- include "statefulroute.labels" (append $ .podLabels) | nindent 2 }}
{{- with include "statefulroute.annotations" (list (first $) .podAnnotations) }}
{{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{/*
The start of the spec of a pod that runs one command.
*/}}
{{- define "statefulroute.commandPod" -}}
{{- include "statefulroute.pod" . }}
{{- include "statefulroute.nodes" (list . .Values) }}
{{- with .Values.hooks.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}
