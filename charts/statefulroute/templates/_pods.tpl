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
What the spec of every pod of the chart begins with.
*/}}
{{- define "statefulroute.pod" -}}
{{- $secrets := .Values.imagePullSecrets -}}
{{- if .Values.imageCredentials.registry -}}
{{- $secrets = append $secrets (dict "name" (include "statefulroute.partname" (list . "pull"))) -}}
{{- end -}}
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with $secrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/*
What every container of the chart begins with.
*/}}
{{- define "statefulroute.container" -}}
image: {{ include "statefulroute.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
{{- end -}}

{{/*
The resources of a container that runs one command and ends.
*/}}
{{- define "statefulroute.commandResources" -}}
requests: {cpu: 50m, memory: 96Mi}
limits: {memory: 256Mi}
{{- end -}}
