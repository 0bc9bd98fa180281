{{/*
The image: with `image.registry` or that of all charts, instead of the registry in `image.repository`, whose name has a dot or a port.
*/}}
{{- define "statefulroute.image" -}}
{{- $repository := .Values.image.repository -}}
{{- with .Values.image.registry | default (.Values.global).imageRegistry -}}
{{- $path := splitList "/" $repository -}}
{{- if and (rest $path) (regexMatch "[.:]|^localhost$" (first $path)) -}}
{{- $path = rest $path -}}
{{- end -}}
{{- $repository = printf "%s/%s" (trimSuffix "/" .) (join "/" $path) -}}
{{- end -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{- printf "%s@%s" $repository .digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (.tag | default $.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
The pull Secrets of a pod, each once, as JSON: those of the chart, and those of all charts, which may be names.
*/}}
{{- define "statefulroute.pullSecrets" -}}
{{- $secrets := default list .Values.imagePullSecrets -}}
{{- if .Values.imageCredentials.registry -}}
{{- $secrets = append $secrets (dict "name" (include "statefulroute.componentName" (list . "pull"))) -}}
{{- end -}}
{{- range (.Values.global).imagePullSecrets -}}
{{- $secrets = append $secrets (kindIs "string" . | ternary (dict "name" .) .) -}}
{{- end -}}
{{- toJson (uniq $secrets) -}}
{{- end -}}

{{/*
The start of the spec of every pod.
*/}}
{{- define "statefulroute.pod" -}}
securityContext:
  {{- include "statefulroute.podSecurityContext" . | nindent 2 }}
{{- with include "statefulroute.pullSecrets" . | fromJsonArray }}
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
The security context of every pod: on OpenShift, without the ids that it assigns to each namespace.
*/}}
{{- define "statefulroute.podSecurityContext" -}}
{{- $context := default dict .Values.podSecurityContext -}}
{{- $adapt := (((.Values.global).compatibility).openshift).adaptSecurityContext | default "auto" -}}
{{- if or (eq $adapt "force") (and (eq $adapt "auto") (.Capabilities.APIVersions.Has "security.openshift.io/v1")) -}}
{{- $context = omit $context "runAsUser" "runAsGroup" "fsGroup" -}}
{{- end -}}
{{- toYaml $context -}}
{{- end -}}

{{/*
The token of a pod's ServiceAccount, as a volume: only the containers that mount it can call the API server.
*/}}
{{- define "statefulroute.tokenVolume" -}}
- name: kube-api-access
  projected:
    sources:
      - serviceAccountToken:
          path: token
          expirationSeconds: 3600
      - configMap:
          name: kube-root-ca.crt
          items:
            - key: ca.crt
              path: ca.crt
      - downwardAPI:
          items:
            - path: namespace
              fieldRef:
                apiVersion: v1
                fieldPath: metadata.namespace
{{- end -}}

{{/*
The mount of that volume.
*/}}
{{- define "statefulroute.tokenMount" -}}
- name: kube-api-access
  mountPath: /var/run/secrets/kubernetes.io/serviceaccount
  readOnly: true
{{- end -}}

{{/*
The nodes of a pod. Arguments: the root, and the values of the pod, whose selector and tolerations take precedence; the
operating system stays, unless the pod's selector has one, and the labels of all charts are added.
*/}}
{{- define "statefulroute.nodes" -}}
{{- $all := (first .).Values -}}
{{- $own := default dict $all.nodeSelector -}}
{{- $system := pick $own "kubernetes.io/os" -}}
{{- with merge dict (default $own (last .).nodeSelector) $system (default dict ($all.global).nodeSelector) }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with (last .).tolerations | default $all.tolerations | default ($all.global).tolerations }}
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
{{- with .Values.hooks.priorityClassName | default (.Values.global).priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}
