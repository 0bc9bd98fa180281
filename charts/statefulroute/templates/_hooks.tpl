{{/*
The annotations of an object of a hook; without a hook, nothing. The arguments of `statefulroute.metadata`.
*/}}
{{- define "statefulroute.hook" -}}
{{- if .hook -}}
helm.sh/hook: {{ .hook }}
helm.sh/hook-weight: {{ .weight | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}
{{- end -}}

{{/*
The name of the ServiceAccount of a hook: a separate one, unless the chart creates none. Arguments: the root and the
component.
*/}}
{{- define "statefulroute.commandAccountName" -}}
{{- $root := first . -}}
{{- $root.Values.serviceAccount.create | ternary (include "statefulroute.componentName" .) (include "statefulroute.serviceAccountName" $root) -}}
{{- end -}}

{{/*
That ServiceAccount. Arguments: the root, the component and the event.
*/}}
{{- define "statefulroute.commandAccount" -}}
{{- $root := first . -}}
{{- if $root.Values.serviceAccount.create }}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "statefulroute.metadata" (dict "root" $root "component" (index . 1) "namespace" (include "statefulroute.namespace" $root) "hook" (last .) "weight" "-3") | nindent 2 }}
automountServiceAccountToken: false
{{- end }}
{{- end -}}

{{/*
The network policy of a hook's pods, which accept no connections; `helm test` also connects to the resolver. The same arguments.
*/}}
{{- define "statefulroute.commandPolicy" -}}
{{- $root := first . -}}
{{- $component := index . 1 -}}
{{- with $root.Values.networkPolicy }}
{{- if .enabled }}
---
{{ include "statefulroute.networkPolicy" (dict
  "root" $root
  "component" $component
  "namespace" (include "statefulroute.namespace" $root)
  "hook" (last $)
  "weight" "-3"
  "egress" .egress
  "servers" (and $root.Values.resolver.enabled (eq $component "test") | ternary (list "resolver") list)
) }}
{{- end }}
{{- end }}
{{- end -}}

{{/*
A container that runs `statefulroute release`. Arguments: the root, and the option for the namespace.
*/}}
{{- define "statefulroute.releaseContainer" -}}
{{- $root := first . -}}
{{- include "statefulroute.container" $root }}
args:
  - release
  - --operator={{ include "statefulroute.namespace" $root }}/{{ include "statefulroute.componentName" (list $root "operator") }}
  - --timeout={{ int $root.Values.releaseOnUninstall.timeoutSeconds }}
  - {{ last . }}
resources: {{- include "statefulroute.commandResources" $root | nindent 2 }}
volumeMounts:
  {{- include "statefulroute.tokenMount" . | nindent 2 }}
{{- end -}}

{{/*
What the installed operator serves and the upgraded one does not, as JSON: a list of namespaces, or `["*"]` if the installed
one serves the whole cluster. Without access to the cluster (`helm template`), nothing. If `releaseOnUninstall.enabled` is
false, nothing is read from the cluster: a user who may not read a former namespace could not upgrade otherwise.
*/}}
{{- define "statefulroute.removedNamespaces" -}}
{{- $name := include "statefulroute.componentName" (list . "operator") -}}
{{- $served := include "statefulroute.operatorArguments" . | fromYamlArray | include "statefulroute.servedNamespaces" | fromJsonArray -}}
{{- $removed := list -}}
{{- if and .Release.IsUpgrade .Values.releaseOnUninstall.enabled $served -}}
{{- with lookup "apps/v1" "Deployment" (include "statefulroute.namespace" .) $name -}}
{{- range .spec.template.spec.containers -}}
{{- if eq .name "operator" -}}
{{- $installed := .args | include "statefulroute.servedNamespaces" | fromJsonArray -}}
{{- if not $installed -}}
{{- $removed = list "*" -}}
{{- end -}}
{{- range $installed -}}
{{- /* A namespace without the operator's Role was deleted, and takes no other Role either. */ -}}
{{- if and (not (has . $served)) (or (not $.Values.rbac.create) (lookup "rbac.authorization.k8s.io/v1" "Role" . $name)) -}}
{{- $removed = append $removed . -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $removed -}}
{{- end -}}

{{/*
A container that runs `statefulroute release` for namespaces that are no longer served. Arguments: the root, and a namespace
or `*`.
*/}}
{{- define "statefulroute.releaseRemovedContainer" -}}
{{- $root := first . -}}
{{- include "statefulroute.container" $root }}
args:
  - release
  {{- if eq (last .) "*" }}
  - --all-namespaces
  {{- range include "statefulroute.operatorArguments" $root | fromYamlArray | include "statefulroute.servedNamespaces" | fromJsonArray }}
  - --except-namespace={{ . }}
  {{- end }}
  {{- else }}
  - --namespace={{ last . }}
  {{- end }}
resources: {{- include "statefulroute.commandResources" $root | nindent 2 }}
volumeMounts:
  {{- include "statefulroute.tokenMount" . | nindent 2 }}
{{- end -}}
